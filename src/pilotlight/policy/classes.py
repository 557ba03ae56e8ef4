"""Critical requests go first; batch requests take what capacity is idle, and wait for it until their deadline.

A batch request is no reason to start or to wake a replica before its deadline (`batch_deadline` after it came), and
none for a replica that starts to be joined by another. It goes to a replica with fewer than `target_requests` in
flight when no other request of its deployment waits, and leaves one slot of the deployment free, so that one that is
critical finds a place at once; where there is but a single slot it takes that. Past its deadline it counts as a
standard request that has just come.
"""

from pilotlight.fleet.actions import Action, Hold, Refuse
from pilotlight.fleet.classes import BATCH, CRITICAL
from pilotlight.fleet.events import Arrived
from pilotlight.fleet.fleet import Aside, DeploymentState, Fleet, Held, Replica
from pilotlight.fleet.states import State
from pilotlight.policy import demand as traffic
from pilotlight.policy import effects, routing, scaling

FULL_RETRY_AFTER = 2.0
"""Seconds after which a client may try again when the queue was full [G]."""


def batch(fleet: Fleet, d: DeploymentState, e: Arrived, out: list[Action]) -> bool:
    """One of the class batch has come. False when it has no time to wait, and counts as standard at once."""
    if d.spec.batch_deadline <= 0.0:
        return False
    r = _spare(d) if not d.held and not d.patient else None
    h = Held(e.request, e.at, e.keep_alive, e.rank, e.remote)
    if r is not None:
        _run(fleet, d, r, h, e.at, out, "capacity is idle")
    elif is_full(d):
        refuse(d, e.request, out)
    else:
        d.patient[h.id] = h
        fleet.holding[h.id] = d.spec.id
        out.append(Hold(h.id, "it waits for idle capacity"))
        _look_at_deadline(fleet, d)
    return True


def come_of_age(fleet: Fleet, d: DeploymentState, now: float) -> None:
    """Batch requests whose deadline has passed wait as standard ones."""
    before = len(d.patient)
    while d.patient:
        h = next(iter(d.patient.values()))
        if h.at + d.spec.batch_deadline > now:
            break
        del d.patient[h.id]
        d.held[h.id] = h
    if len(d.patient) < before and d.demand is not None:
        traffic.follow(fleet, d, now)


def serve(fleet: Fleet, d: DeploymentState, now: float, out: list[Action]) -> None:
    """Idle capacity to batch requests, first come first served."""
    while d.patient and not d.held:
        r = _spare(d)
        if r is None:
            break
        h = d.patient.pop(next(iter(d.patient)))
        del fleet.holding[h.id]
        _run(fleet, d, r, h, now, out, "was held until capacity was idle")
    if d.patient:
        _look_at_deadline(fleet, d)


def assigned(fleet: Fleet, d: DeploymentState, h: Held) -> None:
    """One that is not standard runs now."""
    if h.rank == CRITICAL:
        d.urgent.pop(h.id, None)
    fleet.asides[h.id] = Aside(h)


def back(fleet: Fleet, d: DeploymentState, h: Held, now: float) -> None:
    """One that its replica failed waits again, before the others of its class. A batch request has no new deadline."""
    fleet.holding[h.id] = d.spec.id
    if h.rank == BATCH and h.at + d.spec.batch_deadline > now:
        # Several may come back in any order, and the first in the line is the one that comes of age first.
        d.patient = dict(sorted({h.id: h, **d.patient}.items(), key=lambda item: item[1].at))
        return
    d.held = {h.id: h, **d.held}
    if h.rank == CRITICAL:
        d.urgent = {h.id: None, **d.urgent}


def is_full(d: DeploymentState) -> bool:
    return len(d.held) + len(d.patient) >= d.spec.max_pending_requests


def refuse(d: DeploymentState, request: str, out: list[Action]) -> None:
    number = len(d.held) + len(d.patient)
    text = f"{d.spec.id} already holds {number} requests (max_pending_requests); try again"
    out.append(Refuse(request, 429, "too_many_pending_requests", text, FULL_RETRY_AFTER))


def push_out(fleet: Fleet, d: DeploymentState, out: list[Action]) -> bool:
    """The youngest that waits for idle capacity gives its place in a full queue to one of a higher class."""
    if not d.patient or len(d.held) + len(d.patient) > d.spec.max_pending_requests:
        return False  # one that bounced may have made the queue longer than it may be
    h = d.patient.pop(next(reversed(d.patient)))
    del fleet.holding[h.id]
    text = f"{d.spec.id} holds no more requests (max_pending_requests), and one of a higher class has come; try again"
    out.append(Refuse(h.id, 429, "too_many_pending_requests", text, FULL_RETRY_AFTER))
    return True


def _run(
    fleet: Fleet, d: DeploymentState, r: Replica, h: Held, now: float, out: list[Action], because: str
) -> None:
    effects.assign(fleet, d, r, h.id, h.keep_alive, out, because)
    fleet.asides[h.id] = Aside(h)
    if d.demand is not None and d.in_flight + len(d.held) > d.demand.above:
        traffic.follow(fleet, d, now)
    if d.delays is not None:
        scaling.changed(fleet, d, now)


def _spare(d: DeploymentState) -> Replica | None:
    """The replica with idle capacity that a batch request may have."""
    r = routing.pick(d)
    if r is None or r.small or r.in_flight >= d.spec.target_requests:
        return None  # beside a warmer that is asked a full one would be started
    slots = d.spec.slots
    if slots is None:
        return r
    ready = [o for o in d.replicas.values() if o.state is State.READY]
    free = sum(slots - o.in_flight for o in ready)
    return r if free > 1 or slots * len(ready) == 1 else None


def _look_at_deadline(fleet: Fleet, d: DeploymentState) -> None:
    first = next(iter(d.patient.values()))
    effects.look_again(fleet, d, first.at + d.spec.batch_deadline)
