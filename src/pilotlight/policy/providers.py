"""Providers as they are declared, and what is known of each."""

from collections.abc import Iterable
from math import isfinite
from typing import Any

import msgspec

from pilotlight.fleet.actions import Action
from pilotlight.fleet.events import Configured
from pilotlight.fleet.fleet import Fleet
from pilotlight.fleet.provider import Tariff
from pilotlight.fleet.remotes import FOREVER, FirstToken, ProviderState
from pilotlight.policy import breaker, budget, burst, first_token, pings

UNKNOWN = "what earlier servers spent there cannot be read (bill.sqlite), so it is not asked"


class Amounts(msgspec.Struct, frozen=True):
    """USD of this hour, day and month of the calendar; None without a limit."""

    hour: float | None
    day: float | None
    month: float | None


class Known(msgspec.Struct, frozen=True):
    """Of a provider."""

    id: str
    breaker: str
    """`closed`: well; `paused`: it asked to be left alone; `open`: ill, and not asked; `half-open`: one request is to
    try it."""
    pause_left_s: float
    """Seconds until it may be asked again; 0 where it may be now."""
    first_token_s: float
    """While it is warm: learned, or as declared."""
    cold_start_s: float
    """How much longer that takes when it is cold."""
    promise_s: float
    """To the first token of a request that is sent now."""
    cold_rate: float | None
    """Share of its answers that were taken to be cold ones; None without any."""
    requests: int
    """Ever sent since this server came up, as are the next two."""
    failures: int
    pings: int
    in_flight: int
    max_requests: int
    reserved_usd: float
    """For those in flight, at their dearest."""
    spent: Amounts
    left: Amounts
    """Of the budget, without what is reserved."""
    priced: bool
    """Whether it has a price; where it has none, its requests count as 0 USD."""
    last_reason: str
    """Of the latest failure."""


def declared(fleet: Fleet, e: Configured) -> None:
    """After every declaration; those in flight at one that is gone end as they would."""
    named = {spec.id for spec in e.providers}
    for name, p in fleet.providers.items():
        p.removed = p.removed or name not in named
    for spec in e.providers:
        p = fleet.providers.get(spec.id)
        if p is None:
            p = fleet.providers[spec.id] = ProviderState(spec)
        elif p.spec.fingerprint != spec.fingerprint:
            _forget(p)
        breaker.declared(p.breaker, e.at, changed=p.removed or p.spec != spec)
        p.spec, p.removed = spec, False
    for p in fleet.providers.values():
        pings.declared(fleet, p, e.at)


def _forget(p: ProviderState) -> None:
    """It is another endpoint now; what was spent stays spent."""
    p.breaker = type(p.breaker)()
    p.first_token = FirstToken()
    p.used_at = p.filled_at = -FOREVER
    p.waking_since, p.last_reason = FOREVER, ""


def tick(fleet: Fleet, kind: str, key: str, when: float, now: float, out: list[Action]) -> None:
    """A timer of a provider has come, which may be one that nobody waits for any more."""
    p = fleet.providers.get(key)
    if p is None:
        return
    if kind == "ping" and when == p.ping_at:
        pings.look(fleet, p, now, out)
    elif kind == "provider" and when == p.look_at:
        p.look_at = FOREVER
        burst.release_all(fleet, now, out)


def known(fleet: Fleet, p: ProviderState, now: float) -> Known:
    """Changes nothing."""
    f, limits = p.first_token, p.spec.budget
    hour, day, month = budget.spent(fleet, p, now)
    reserved = p.spend.set_aside
    left = (limits.hour - hour - reserved, limits.day - day - reserved, limits.month - month - reserved)
    unknown = not fleet.spend_known and limits != budget.UNLIMITED
    if unknown:
        left = tuple(min(0.0, usd) if isfinite(usd) else usd for usd in left)
    return Known(
        id=p.spec.id,
        breaker=breaker.state(p.breaker, now),
        pause_left_s=round(breaker.again(p.breaker, now) - now, 3),
        first_token_s=round(first_token.warm(p), 3),
        cold_start_s=round(first_token.cold(p), 3),
        promise_s=round(first_token.promise(p, now), 3),
        cold_rate=f.colds / f.answers if f.answers else None,
        requests=p.requests,
        failures=p.failures,
        pings=p.pings,
        in_flight=p.in_flight,
        max_requests=p.spec.max_requests,
        reserved_usd=reserved,
        spent=Amounts(hour, day, month),
        left=Amounts(*(max(0.0, usd) if isfinite(usd) else None for usd in left)),
        last_reason=UNKNOWN if unknown else p.last_reason,
        priced=p.spec.tariff != Tariff(),
    )


def of(fleet: Fleet, names: Iterable[str], now: float) -> list[Known]:
    """Of those that are declared."""
    found = (fleet.providers.get(name) for name in names)
    return [known(fleet, p, now) for p in found if p is not None and not p.removed]


def rows(fleet: Fleet, now: float) -> list[dict[str, Any]]:
    """Of all that are declared, as programs read it."""
    return [msgspec.to_builtins(each) for each in of(fleet, fleet.providers, now)]
