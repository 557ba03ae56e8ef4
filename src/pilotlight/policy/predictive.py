"""`predictive`: one replica is up ahead of the requests that are forecast, where that is expected to pay.

Nothing is looked at while a replica is up, for its keep-alive decides then; and only deployments for which a request
is likely at some time of the day to come are looked at before that.
"""

from pilotlight.fleet.ahead import Ahead
from pilotlight.fleet.fleet import DeploymentState, Fleet
from pilotlight.fleet.forecast import BIN, Forecast
from pilotlight.fleet.states import SERVING
from pilotlight.policy import cold_price, effects, forecast, value
from pilotlight.policy.ask import Ask
from pilotlight.units import format_duration

MAYBE = 0.5
"""Share of the chance that would pay from which on a moment to come is looked at [G]: prices and forecasts change."""

GRACE = 1.0
"""Hopes that are taken to have come true before the first [G]."""

FORGET = 0.95
"""What the hopes so far count for when another one is over [G]."""

DAY = 86400.0

SOON = 1e-3
"""Seconds from now before which it is not looked again."""


def look(fleet: Fleet, d: DeploymentState, now: float) -> None:
    """Decides for `now`, and has a Tick look again when it may decide otherwise."""
    f, ahead = d.forecast, d.ahead
    if f is None or ahead is None:
        return
    if now < ahead.hoped_until:
        _look_at(fleet, d, ahead, ahead.hoped_until, now)
        return
    hoped, ahead.hoped = ahead.hoped, 0
    if hoped:
        _learn(d, ahead)
    up = any(r.state in SERVING for r in d.replicas.values())
    # One that was hoped to be of use, and was not yet, may be kept for longer; else its keep-alive takes over.
    if not up or (hoped and d.used_at < ahead.hoped_at):
        _decide(fleet, d, f, ahead, 0.0 if up else _seconds(d), now, up)
    d.settle_floor()


def _decide(
    fleet: Fleet, d: DeploymentState, f: Forecast, ahead: Ahead, start: float, now: float, up: bool
) -> None:
    if not up and start <= fleet.goal.wait:
        return  # nobody's wait would be called cold
    unix = now + fleet.unix
    idle, cold = prices(fleet, d)
    cold *= trust(ahead)
    if forecast.prewarm_at(f, unix, start, idle, cold):
        ahead.hoped, ahead.hoped_at, ahead.hoped_until = 1, now, now + start + BIN
        ahead.expected = forecast.expected(f, unix + start, BIN)
        ahead.chance = forecast.chance(f, unix + start, BIN)
        _look_at(fleet, d, ahead, ahead.hoped_until, now)
    elif not up and not forecast.hopeless(f):
        when = _next(f, unix, start, idle * (start + BIN) / cold) - fleet.unix
        _look_at(fleet, d, ahead, max(when, now + SOON), now)


def _look_at(fleet: Fleet, d: DeploymentState, ahead: Ahead, when: float, now: float) -> None:
    ahead.hope_at = effects.look_once(fleet, d, ahead.hope_at, when, now)


def _next(f: Forecast, unix: float, start: float, pays: float) -> float:
    """Unix second at which a start may come in time for a bin in which a request is likely; a day on where none is."""
    begin = forecast.first_likely(f, unix + start + SOON, MAYBE * pays)
    return unix + DAY if begin is None else begin - start


def _learn(d: DeploymentState, ahead: Ahead) -> None:
    """From a hope whose time is over."""
    came = d.used_at >= ahead.hoped_until - BIN
    ahead.promised = FORGET * ahead.promised + ahead.chance
    ahead.kept = FORGET * ahead.kept + came


def trust(ahead: Ahead) -> float:
    """What the chances that are forecast are multiplied by: how often it came true, where that was less often."""
    return min(1.0, (ahead.kept + GRACE) / (ahead.promised + GRACE))


def prices(fleet: Fleet, d: DeploymentState) -> tuple[float, float]:
    """USD for a second of an idle replica, and for meeting the next spell of traffic without one."""
    second = cold_price.second(fleet, d)
    if d.demand is None or not d.demand.levels:
        return second, value.start_seconds(d) * second
    return second, cold_price.worth(fleet, d, d.demand.levels[0]) * second


def _seconds(d: DeploymentState) -> float:
    return value.wake_seconds(d) if d.resting() else value.start_seconds(d)


def saw(fleet: Fleet, d: DeploymentState, now: float) -> None:
    """A request has come."""
    if d.forecast is not None:
        forecast.saw(d.forecast, now + fleet.unix)


def ask(fleet: Fleet, d: DeploymentState, now: float) -> Ask | None:
    ahead = d.ahead
    if ahead is None or not ahead.hoped:
        return None
    lasts = format_duration(round(ahead.hoped_until - ahead.hoped_at))
    because = f"prewarmed: {ahead.expected:.2g} arrivals were expected within {lasts}"
    return Ask("predictive", ahead.hoped, ahead.hoped_until, because)
