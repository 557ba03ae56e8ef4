"""From which rate on which tier is the cheaper, by formula, beside what was simulated at other rates."""

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from pilotlight.advise.played import Played
from pilotlight.advise.written import number
from pilotlight.cost.break_even import BreakEven, requests_per_hour, utilisation
from pilotlight.fleet.declared import MONTH

MOST = 3000
"""Requests of the trace's beginning that are simulated at other rates [G]."""
STRETCHES = (8.0, 2.0, 0.5, 0.125)
"""Times as far apart."""
GRID = 40
"""Points of a line."""
DECADE = 10.0
"""The lines go from a tenth of today's rate to ten times it."""


class Line(msgspec.Struct, frozen=True):
    tier: str
    points: tuple[tuple[float, float], ...]
    """Requests an hour, USD a month."""
    simulated: tuple[tuple[float, float], ...] = ()


class Even(msgspec.Struct, frozen=True):
    per_hour: float
    """Requests of this traffic."""
    value: float
    """Requests an hour above which what is dedicated is the cheaper."""
    formula: str
    with_numbers: str
    explained: tuple[str, ...]
    lines: tuple[Line, ...]


def of_gpus(
    per_hour: float,
    serverless: Played,
    dedicated: Played,
    simulated: dict[str, tuple[tuple[float, float], ...]],
) -> Even:
    """By the billed seconds that a request of this traffic was simulated to take on demand."""
    prices = serverless.candidate.config.prices
    billed = serverless.result.gpu_hours * 3600 / max(1, serverless.result.evaluated)
    n = max(1, round(dedicated.result.dedicated_gpu_hours * 3600 / counted(dedicated)))
    one = requests_per_hour(prices.serverless_premium, max(billed, 1e-9))
    share = utilisation(prices.serverless_premium)
    month = prices.gpu_month_usd
    each = month / MONTH * prices.serverless_premium * billed
    rates = _rates(per_hour, one.value * n)
    flat = tuple((r, month * max(1, math.ceil(n * r / per_hour))) for r in rates)
    line = tuple((r, each * r * MONTH / 3600) for r in rates)
    return Even(
        per_hour,
        one.value * n,
        one.formula + (f", for each of {n} GPUs" if n > 1 else ""),
        _numbers(one, n),
        (
            f"At {serverless.candidate.words} a request of this traffic makes {billed:.3g} GPU "
            "seconds billed, its share "
            "of starts and idling included; at other rates it is another number, as the simulated points show.",
            "One replica on demand costs more than a dedicated GPU when it is billed for more than "
            f"{share.with_numbers} "
            f"of the time ({share.formula}); here it was billed for "
            f"{100 * serverless.result.gpu_hours * 3600 / counted(serverless) / n:.3g} % of {_gpus(n)}.",
        ),
        (
            Line(dedicated.candidate.tier, flat, simulated.get(dedicated.id, ())),
            Line(serverless.candidate.tier, line, simulated.get(serverless.id, ())),
        ),
    )  # fmt: skip


def of_cpus(per_hour: float, by_use: Played, always: Played, machines: int) -> Even:
    """Of a function, and of machines that are always on."""
    requests = by_use.result.evaluated / counted(by_use) * MONTH
    each = by_use.month_usd / max(1.0, requests)
    hour = always.month_usd / MONTH * 3600
    value = hour / each if each else math.inf
    rates = _rates(per_hour, value)
    steps = tuple(
        (r, always.month_usd / machines * max(1, math.ceil(machines * r / per_hour))) for r in rates
    )
    line = tuple((r, each * r * MONTH / 3600) for r in rates)
    return Even(
        per_hour,
        value,
        "N = price of an hour of the machines / price of a request",
        f"{number(value)}/h = ${hour:,.4g} / ${each:.3g}",
        (
            f"A request costs ${each:.3g} at {by_use.candidate.words}, its share of billed starts included; "
            f"{always.candidate.words} cost ${hour:,.4g} an hour.",
        ),
        (Line(always.candidate.tier, steps), Line(by_use.candidate.tier, line)),
    )


def counted(p: Played) -> float:
    """Seconds of the trace that count."""
    return max(1e-9, p.result.span_s * (1 - p.candidate.config.simulation.warm_up))


def _numbers(one: BreakEven, n: int) -> str:
    return one.with_numbers if n == 1 else f"{number(one.value * n)}/h = {n} x ({one.with_numbers})"


def _gpus(n: int) -> str:
    return "one GPU" if n == 1 else f"{n} GPUs"


def _rates(per_hour: float, value: float) -> Sequence[float]:
    """Around the traffic, and as far as the break-even, where that is not much farther."""
    low = min(per_hour / DECADE, max(value / 2, per_hour / DECADE**3))
    high = max(per_hour * DECADE, min(value * 2, per_hour * DECADE**3))
    return np.geomspace(low, high, GRID).tolist()
