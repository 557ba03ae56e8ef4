"""How many replicas a deployment wants: the most that any policy asks for, within bounds and delays."""

from collections.abc import Callable

from pilotlight.fleet.ahead import Ahead, Delays
from pilotlight.fleet.fleet import DeploymentState, Fleet
from pilotlight.fleet.forecast import Forecast
from pilotlight.policy import (
    base,
    bounds,
    by_load,
    effects,
    operator,
    persistent,
    predictive,
    rental,
    scheduled,
    urgent,
)
from pilotlight.policy import demand as traffic
from pilotlight.policy.ask import Ask

POLICIES: tuple[Callable[[Fleet, DeploymentState, float], Ask | None], ...] = (
    persistent.ask,
    base.ask,
    scheduled.ask,
    predictive.ask,
    operator.ask,
    by_load.ask,
    urgent.ask,
)


def wanted(fleet: Fleet, d: DeploymentState, now: float) -> int:
    """Only ever a reason to start or to wake: replicas leave by their keep-alive. What an operator has put to sleep
    is not woken for min_replicas, a base or a schedule alone.
    """
    demand = d.demand
    if demand is not None and not demand.until < d.in_flight + len(d.held) <= demand.above:
        traffic.follow(fleet, d, now)  # its replica has died, and its requests with it, or they wait again
    n = by_load.replicas(fleet, d, now)
    if demand is not None and n < demand.busy:  # those above have not lasted yet
        effects.look_again(fleet, d, demand.levels[n].busy_since + traffic.lasting(fleet))
    n = _not_left(fleet, d, n, now)
    if d.delays is not None:
        n = min(n, follow(fleet, d, n, now))
    if d.urgent:
        n = max(n, urgent.replicas(fleet, d))
    if n < 1 and d.wanted_up:
        n = 1
    floor = d.floor
    if floor > n:
        n = max(n, floor - sum(r.is_put_aside for r in d.replicas.values()))
    return min(n, d.spec.max_replicas)


def asks(fleet: Fleet, d: DeploymentState, now: float) -> list[Ask]:
    """What each policy asks for, before bounds and delays; changes nothing."""
    found = (policy(fleet, d, now) for policy in POLICIES)
    return [ask for ask in found if ask is not None]


def answer(d: DeploymentState, asked: list[Ask]) -> int:
    """What `wanted` made of it when it was last asked."""
    n = 0
    for ask in asked:
        granted = d.delays.granted if d.delays is not None and ask.policy == by_load.NAME else ask.replicas
        n = max(n, min(ask.replicas, granted))
    return min(n, d.spec.max_replicas)


def follow(fleet: Fleet, d: DeploymentState, wish: int, now: float) -> int:
    """Replicas that its requests are granted; has a Tick look again when that may change."""
    s, spec = d.delays, d.spec
    assert s is not None
    bounds.follow(s, min(wish, spec.max_replicas), spec.scale_up_delay, spec.scale_down_delay, now)
    s.look_at = effects.look_once(fleet, d, s.look_at, now if s.fell else changes_at(d, s), now)
    return s.granted


def changes_at(d: DeploymentState, s: Delays) -> float:
    """When its requests may be granted more or fewer though nothing happens."""
    return bounds.next_look(s, d.spec.scale_up_delay, d.spec.scale_down_delay)


def changed(fleet: Fleet, d: DeploymentState, now: float) -> None:
    """Its requests are more or fewer; for the sake of the delays."""
    follow(fleet, d, _not_left(fleet, d, by_load.replicas(fleet, d, now), now), now)


def _not_left(fleet: Fleet, d: DeploymentState, n: int, now: float) -> int:
    """Of the replicas that its requests ask for, those that are not left to providers."""
    b = d.bursting
    return n if b is None or not b.sent else rental.wanted(fleet, d, b, n, now)


def only_hopes(d: DeploymentState) -> bool:
    """Whether one more is wanted for nobody who is there: no reason to take another's room."""
    hoped = d.resumes is not None or (d.ahead is not None and d.ahead.hoped and not d.wanted_up)
    if not hoped or d.held or d.in_flight:
        return False
    return len(d.current()) >= max(d.rented, d.reserved)


def because(fleet: Fleet, d: DeploymentState, now: float) -> str:
    """Who asks for the floor."""
    most = max(asks(fleet, d, now), key=lambda ask: (ask.replicas, ask.policy != by_load.NAME), default=None)
    return "it is to be up" if most is None else f"{most.policy} asks for {most.replicas}: {most.because}"


def declared(fleet: Fleet, d: DeploymentState, now: float) -> None:
    """After every declaration, once its traffic is remembered or not."""
    spec = d.spec
    if not spec.predictive:
        d.forecast = None
    elif d.forecast is None:
        d.forecast = Forecast()
    if not (spec.schedule or spec.predictive):
        d.ahead = None
    elif d.ahead is None:
        d.ahead = Ahead()
    if not (spec.scale_up_delay or spec.scale_down_delay):
        d.delays = None
    elif d.delays is None:
        d.delays = Delays(by_load.replicas(fleet, d, now))
    if d.ahead is not None:
        _cleared(d, d.ahead)
        look(fleet, d, now)
    d.settle_floor()


def _cleared(d: DeploymentState, ahead: Ahead) -> None:
    """Of what is not declared any more."""
    if not d.spec.schedule:
        ahead.scheduled, ahead.until = 0, Ahead().until
    if not d.spec.predictive:
        ahead.hoped, ahead.hoped_until = 0, Ahead().hoped_until


def look(fleet: Fleet, d: DeploymentState, now: float) -> None:
    """What is to be up ahead of requests."""
    if d.ahead is not None:
        scheduled.look(fleet, d, now)
        predictive.look(fleet, d, now)


def stopped(d: DeploymentState) -> None:
    """An operator has: what was granted, or hoped for, is no reason to start."""
    if d.delays is not None:
        d.delays = Delays()
    if d.ahead is not None:
        d.ahead.hoped, d.ahead.hoped_until = 0, Ahead().hoped_until
        d.settle_floor()
