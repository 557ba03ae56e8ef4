"""How many requests a deployment's own replicas will have taken up within some time: what a provider must beat."""

from collections.abc import Iterator

from pilotlight.fleet.fleet import NEVER, Aside, DeploymentState, Fleet, Held, Replica
from pilotlight.fleet.states import COMING, READY, RESTING, State
from pilotlight.policy import value

UNTIMED = 5.0
"""Seconds that a request is taken to run before one has been timed [G]."""

WEIGHT = 0.1
"""Of the latest request in how long one is taken to run [G]."""

OVERDUE = 0.2
"""Of the time that a start has taken already, what it is taken to take still when it is later than usual [G]."""


def service(d: DeploymentState) -> float:
    """Seconds that a request runs."""
    if d.demand is not None and d.demand.service is not None:
        return max(d.demand.service, 1e-3)
    if d.bursting is not None and d.bursting.service is not None:
        return max(d.bursting.service, 1e-3)
    return UNTIMED


def time(fleet: Fleet, d: DeploymentState, h: Held, now: float) -> None:
    """One that was held runs from now on; one at a time is timed, where nobody else does it."""
    b = d.bursting
    if b is not None and not b.timed and d.demand is None:
        b.timed = True
        fleet.asides[h.id] = Aside(h, timed=now)


def timed(fleet: Fleet, ran: Replica, seconds: float | None) -> None:
    """It is over; None where it was cut short."""
    d = fleet.deployments.get(ran.deployment)
    if d is None or d.bursting is None:
        return
    b = d.bursting
    b.timed = False
    if seconds is not None:
        b.service = seconds if b.service is None else b.service + WEIGHT * (seconds - b.service)


def served_within(d: DeploymentState, seconds: float, now: float) -> float:
    """Requests of those that wait, and one that has just come.

    Slots that are taken come free evenly, one every service time on average; a replica that comes up brings all of
    its own.
    """
    runs, n = service(d), 0.0
    for r in d.every:
        if r.state is READY:
            n += max(0, _slots(d, r) - r.in_flight) + r.in_flight * seconds / runs
    return n + sum(
        slots * (1.0 + (seconds - left) / runs) for left, slots in _coming(d, now) if left <= seconds
    )


def _coming(d: DeploymentState, now: float) -> Iterator[tuple[float, int]]:
    """Seconds until each is up, and its slots."""
    for r in d.every:
        if r.state in COMING:
            whole = value.wake_seconds(d) if r.state is State.WAKING else value.start_seconds(d)
            yield _left(whole, now - r.ordered_at), _slots(d, r)
        elif r.state in RESTING:
            yield value.wake_seconds(d), _slots(d, r)
    if len(d.current()) < d.spec.max_replicas and d.waiting_since == NEVER:
        left = max(0.0, d.retry_at - now) + value.start_seconds(d)
        yield left, d.spec.slots or d.spec.target_requests


def _left(whole: float, passed: float) -> float:
    return whole - passed if passed < whole else OVERDUE * passed


def _slots(d: DeploymentState, r: Replica) -> int:
    of = d.spec.warmer.slots if r.small and d.spec.warmer is not None else d.spec.slots
    return of or d.spec.target_requests
