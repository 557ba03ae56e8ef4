"""What is advised, as values."""

from collections.abc import Sequence

import msgspec

from pilotlight.advise.even import Even
from pilotlight.advise.needs import Needs
from pilotlight.advise.played import Played
from pilotlight.advise.sensitivity import Change, Flip
from pilotlight.advise.shape import Shape
from pilotlight.sim.trace import Trace


class PricesFrom(msgspec.Struct, frozen=True):
    """Where prices are from."""

    gpu_month_usd: float
    premium: float
    date: str
    examples: bool
    """They are not the operator's own."""
    which: tuple[str, ...] = ()
    """The examples among the two, in words."""
    used: tuple[str, ...] = ()
    """Entries of the price book that were used, each with its source."""
    own: tuple[str, ...] = ()
    """Those of them that are the operator's."""


class Advice(msgspec.Struct, frozen=True):
    trace: str
    shape: Shape
    needs: Needs
    prices: PricesFrom
    start_time: float
    """Seconds of a start on average."""
    start_time_from: str
    played: tuple[Played, ...]
    """All that was simulated on the whole traffic, the cheapest first."""
    recommended: Played
    runner_up: Played | None
    today: Played | None
    kept: tuple[str, ...]
    """Models of the config that nobody asks for: they stay as they are."""
    awake: tuple[str, ...]
    """Those of them that stand in for others."""
    no_endpoint: str
    """Why no provider was tried; empty where one was."""
    even: Even | None
    changes: tuple[Change, ...]
    flips: tuple[Flip, ...]
    why: tuple[str, ...]
    warnings: tuple[str, ...]
    simulations: int
    """Of all kinds, those on parts of the traffic and with other prices among them."""
    config: str
    """The recommended one's, ready to be used."""


def simulated_on(trace: Trace, p: Played) -> Played:
    """Itself; nothing else may be advised. Raises AssertionError for what was not simulated on this traffic."""
    assert p.result.config == p.id, f"{p.id} has the figures of {p.result.config}"
    assert p.result.requests == len(trace), (
        f"{p.id} was simulated on {p.result.requests} of {len(trace)} requests"
    )
    assert abs(p.result.span_s - trace.span) < 1e-6, f"{p.id} was simulated on another time"
    return p


def by_id(found: Sequence[Played], id: str) -> Played:
    return next(p for p in found if p.id == id)
