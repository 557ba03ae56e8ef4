"""Small requests that keep a provider from going cold, for an endpoint that cannot be pinned.

So many at once, after so many seconds in which there was never as much traffic at once: requests one after the other
keep one instance warm, and no more. Those in flight count. Each is a request as any other for the budget, the breaker
and the limit of requests in flight. One that fails is tried again after the same time.
"""

from pilotlight.fleet.actions import Action, Ping
from pilotlight.fleet.fleet import Fleet, Sent
from pilotlight.fleet.provider import KeepWarm, Remote
from pilotlight.fleet.remotes import FOREVER, ProviderState
from pilotlight.policy import breaker, budget, burst, first_token

SIZE = Remote(input_tokens=64, output_tokens=1)
"""Of a ping, at most: one short message, with what a chat template adds to it [G]."""


def declared(fleet: Fleet, p: ProviderState, now: float) -> None:
    """After every declaration. One that nobody has asked yet is cold, so it is pinged at once."""
    keep = p.spec.keep_warm
    if keep is None or p.removed:
        p.ping_at = FOREVER
        return
    _look_at(fleet, p, max(now, p.filled_at + keep.every), now)


def used(p: ProviderState, now: float, in_flight: int) -> None:
    """There was traffic, so many at once."""
    p.used_at = now
    if p.spec.keep_warm is not None and in_flight >= p.spec.keep_warm.requests:
        p.filled_at = now


def look(fleet: Fleet, p: ProviderState, now: float, out: list[Action]) -> None:
    """Its timer has come."""
    p.ping_at = FOREVER
    keep = p.spec.keep_warm
    if keep is None or p.removed or fleet.closing:
        return
    due = p.filled_at + keep.every
    if now < due:
        _look_at(fleet, p, due, now)
        return
    _ping(fleet, p, keep, now, out)
    _look_at(fleet, p, max(now + keep.every, breaker.again(p.breaker, now)), now)


def _ping(fleet: Fleet, p: ProviderState, keep: KeepWarm, now: float, out: list[Action]) -> None:
    because = f"no traffic for {keep.every:.3g} s" if p.requests or p.pings else "nobody has asked it yet"
    idle = first_token.is_idle(p, now)
    usd = budget.dearest(p.spec, SIZE)
    for _ in range(min(keep.requests, p.spec.max_requests) - p.in_flight):
        if not breaker.may(p.breaker, now) or not budget.fits(fleet, p, usd, now):
            return
        p.pings += 1
        name = f"ping-{p.spec.id}-{p.pings}"
        s = Sent(name, p.spec.id, now, usd, budget.hour(fleet, now), idle)
        burst.underway(fleet, p, s)
        out.append(Ping(name, p.spec.id, keep.deployment, because, usd))


def _look_at(fleet: Fleet, p: ProviderState, when: float, now: float) -> None:
    if p.ping_at <= now or when < p.ping_at:
        p.ping_at = when
        fleet.timer(when, "ping", p.spec.id)
