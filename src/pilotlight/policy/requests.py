"""What the kernel does when a request comes, ends, or could not reach its replica."""

from pilotlight.fleet.actions import Action, Hold, Probe, Refuse
from pilotlight.fleet.events import Arrived, Bounced, Finished
from pilotlight.fleet.fleet import NEVER, DeploymentState, Fleet, Held
from pilotlight.fleet.states import Cause, State
from pilotlight.policy import base, cold_rate, effects, routing, value
from pilotlight.policy import demand as traffic
from pilotlight.policy.balance import balance, dispatch, settle

FULL_RETRY_AFTER = 2.0
"""Seconds after which a client may try again when the queue was full [G]."""


def arrived(fleet: Fleet, e: Arrived, out: list[Action]) -> None:
    if fleet.closing:
        out.append(Refuse(e.request, 503, "shutting_down", "the server is shutting down"))
        return
    d = fleet.deployments.get(e.deployment)
    if d is None or d.removed:
        out.append(Refuse(e.request, 404, "model_not_found", f"the model {e.deployment!r} does not exist"))
        return
    value.saw(d, e.at)
    if not d.held:
        r = routing.pick(d)
        if r is not None:
            effects.assign(fleet, d, r, e.request, e.keep_alive, out, "a replica is ready")
            if d.demand is not None:
                traffic.began(d, e.request, e.at)
                _counts(fleet, d, e.at, out)
                return
            # It was the least busy one; and another start is possible at all.
            if r.in_flight > d.spec.target_requests and len(d.current()) < d.spec.max_replicas:
                balance(fleet, d, e.at, out)
            return
    if len(d.held) >= d.spec.max_pending_requests:
        text = f"{d.spec.id} already holds {len(d.held)} requests (max_pending_requests); try again"
        out.append(Refuse(e.request, 429, "too_many_pending_requests", text, FULL_RETRY_AFTER))
        return
    d.held[e.request] = Held(e.request, e.at, e.keep_alive)
    fleet.holding[e.request] = d.spec.id
    out.append(Hold(e.request, _why(d, e.at)))
    if d.demand is not None:
        _counts(fleet, d, e.at, out)
    # One that waits for room gets none by one more request, and is looked at again anyway.
    if d.demand is not None and d.current():
        effects.look_again(fleet, d, e.at + traffic.LASTS * fleet.goal.wait)
    elif NEVER in (d.waiting_since, d.timer_at):
        balance(fleet, d, e.at, out)


def _counts(fleet: Fleet, d: DeploymentState, now: float, out: list[Action]) -> None:
    """For the policies that learn from traffic."""
    demand = d.demand
    assert demand is not None
    cold_rate.came(fleet, demand)
    if d.in_flight + len(d.held) > demand.above:
        traffic.follow(fleet, d, now)
        base.look(fleet, d, now, out)


def finished(fleet: Fleet, e: Finished, out: list[Action]) -> None:
    r = effects.release(fleet, e.request, e.at)
    if r is None:
        _left(fleet, e, out)
        return
    d = fleet.deployments.get(r.deployment)
    if d is None:
        return
    if e.ok:
        r.served += 1
        d.failures = 0
    if d.held and r.state is State.READY:
        dispatch(fleet, d, e.at, out)
    demand = d.demand
    if demand is not None:
        if demand.timed == e.request:
            traffic.ended(demand, e.at)
        if d.in_flight + len(d.held) <= demand.until:
            traffic.follow(fleet, d, e.at)
    if r.in_flight:
        return
    if r.state is State.DRAINING:
        effects.stop(r, e.at, out, "its last request finished", Cause.DRAINED)
    elif r.state is State.READY:
        effects.let_leave(fleet, d, r, e.at, out)
        if fleet.waiting:
            settle(fleet, e.at, out)


def _left(fleet: Fleet, e: Finished, out: list[Action]) -> None:
    """A held request's client has gone. A start goes on; a wish for room that nobody else has is dropped."""
    name = fleet.holding.pop(e.request, None)
    if name is None:
        return
    d = fleet.deployments[name]
    del d.held[e.request]
    if d.demand is not None and d.in_flight + len(d.held) <= d.demand.until:
        traffic.follow(fleet, d, e.at)
    if name in fleet.waiting:
        balance(fleet, d, e.at, out)


def bounced(fleet: Fleet, e: Bounced, out: list[Action]) -> None:
    r = effects.release(fleet, e.request, e.at)
    if r is None:
        return
    d = fleet.deployments.get(r.deployment)
    if d is None or d.removed or fleet.closing:
        out.append(Refuse(e.request, 503, "model_gone", f"{r.deployment} is being taken down"))
    else:
        d.held = {e.request: Held(e.request, e.at, r.keep_alive), **d.held}
        fleet.holding[e.request] = d.spec.id
        out.append(Hold(e.request, f"{r.id} could not be reached"))
    if r.state is State.READY:
        effects.move(r, Cause.BOUNCED, e.at, out, "a request could not reach it")
        out.append(Probe(r.id, "a request could not reach it"))
    elif r.state is State.DRAINING and not r.in_flight:
        effects.stop(r, e.at, out, "its last request finished", Cause.DRAINED)
    if d is not None:
        balance(fleet, d, e.at, out)


def _why(d: DeploymentState, now: float) -> str:
    if now < d.retry_at:
        return f"the last start failed; the next one is due in {d.retry_at - now:.3g} s"
    if any(r.state is State.READY for r in d.replicas.values()):
        return "all replicas are busy"
    states = [r.state for r in d.replicas.values()]
    if State.STARTING in states:
        return "a replica is starting"
    if State.WAKING in states:
        return "a replica is waking"
    if State.ASLEEP in states or State.GOING_TO_SLEEP in states:
        return "its replica sleeps"
    return "no replica is up"
