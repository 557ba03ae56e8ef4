"""What the kernel does when a request comes, ends, or could not reach its replica."""

from math import inf

from msgspec.structs import replace

from pilotlight.fleet.actions import Action, Assign, Hold, Probe, Refuse
from pilotlight.fleet.classes import BATCH, CRITICAL, STANDARD
from pilotlight.fleet.demand import Demand
from pilotlight.fleet.events import Arrived, Bounced, Finished
from pilotlight.fleet.fleet import NEVER, Aside, DeploymentState, Fleet, Held, Replica
from pilotlight.fleet.states import ASLEEP, DRAINING, GONE, READY, SERVING, Cause, State
from pilotlight.policy import (
    base,
    burst,
    classes,
    effects,
    local_promise,
    predictive,
    scaling,
    stand_in,
    urgent,
    value,
)
from pilotlight.policy import demand as traffic
from pilotlight.policy.balance import balance, dispatch, settle
from pilotlight.policy.routing import pick
from pilotlight.policy.value import LUMP


def arrived(fleet: Fleet, e: Arrived, out: list[Action]) -> None:
    if fleet.closing:
        out.append(Refuse(e.request, 503, "shutting_down", "the server is shutting down"))
        return
    d = fleet.deployments.get(e.deployment)
    if d is None or d.removed:
        out.append(Refuse(e.request, 404, "model_not_found", f"the model {e.deployment!r} does not exist"))
        return
    now, request, rank = e.at, e.request, e.rank
    if now - d.used_at < LUMP:  # value.saw, without the call
        d.uses += 1.0
    else:
        value.saw(d, now)
    if rank == BATCH and classes.batch(fleet, d, e, out):
        return
    if d.forecast is not None:
        predictive.saw(fleet, d, now)
    if not d.held:
        r = pick(d)
        if r is not None:
            r.in_flight += 1  # effects.assign, without the call
            d.in_flight = n = d.in_flight + 1
            r.idle_since = NEVER
            r.keep_alive = e.keep_alive
            fleet.assigned[request] = r
            out.append(Assign(request, r.id, "a replica is ready"))
            if d.delays is not None:
                scaling.changed(fleet, d, now)
            if rank != STANDARD:
                fleet.asides[request] = Aside(Held(request, now, e.keep_alive, rank, e.remote))
            demand = d.demand
            if demand is not None:
                demand.requests = seen = demand.requests + 1
                if seen >= demand.work_up:
                    traffic.sample(fleet, demand, request, now)
                if n > demand.above:
                    if n == 1 and demand.levels and not demand.busy and not d.away:
                        traffic.begin(fleet, d, demand, now)
                        if (
                            not demand.base
                            and (now >= demand.look_at or demand.awaited == inf)
                            and base.look(fleet, d, now, out)
                        ):
                            balance(fleet, d, now, out)
                    else:
                        _more_work(fleet, d, demand, now, out)
                if r.small:
                    balance(fleet, d, now, out)  # a full one starts beside it
                return
            # It was the least busy one; and another start is possible at all.
            if (r.small or r.in_flight > d.spec.target_requests) and len(d.current()) < d.spec.max_replicas:
                balance(fleet, d, e.at, out)
            return
    if (e.stand_in is None or not stand_in.takes(fleet, d, e, out)) and not _waits(fleet, d, e, out):
        return
    if d.demand is not None:
        _more_held(fleet, d, d.demand, e.at, out)
        if d.replicas and _serves(d) and not (rank == CRITICAL and urgent.replicas(fleet, d)):
            return  # its next replica is seen to when it has wanted one for long enough
    # One that waits for room gets none by one more request, and is looked at again anyway.
    if NEVER in (d.waiting_since, d.timer_at):
        balance(fleet, d, e.at, out)


def _waits(fleet: Fleet, d: DeploymentState, e: Arrived, out: list[Action]) -> bool:
    """It is held, or sent to a provider, or both. False where it is refused."""
    full = classes.is_full(d)
    remote = e.remote
    h = Held(e.request, e.at, e.keep_alive, e.rank, remote)
    hedged = remote is not None and remote.hedge
    if remote is not None and (full or not hedged) and burst.takes(fleet, d, h, e.at, out, full=full):
        if d.delays is not None:
            scaling.changed(fleet, d, e.at)
        return True
    if full and not classes.push_out(fleet, d, out):
        classes.refuse(d, e.request, out)
        return False
    _hold(fleet, d, h, out)
    if hedged:
        burst.hedge(fleet, d, h, e.at, out)
    return True


def _hold(fleet: Fleet, d: DeploymentState, e: Held, out: list[Action]) -> None:
    d.held[e.id] = e
    if e.rank == CRITICAL:
        d.urgent[e.id] = None
    fleet.holding[e.id] = d.spec.id
    out.append(Hold(e.id, _why(d, e.at)))


def _serves(d: DeploymentState) -> bool:
    """Whether one that is as declared serves or will."""
    mark = d.spec.fingerprint
    for r in d.replicas.values():  # noqa: SIM110 (any takes twice as long, and this runs with every held request)
        if r.state in SERVING and r.fingerprint == mark:
            return True
    return False


def _more_work(fleet: Fleet, d: DeploymentState, demand: Demand, now: float, out: list[Action]) -> None:
    """For the policies that learn from traffic."""
    traffic.follow(fleet, d, now)
    if demand.busy > 1 and demand.levels[demand.busy - 1].unmet:
        effects.look_again(fleet, d, now + traffic.lasting(fleet))
    more = demand.busy > demand.base
    if more and (now >= demand.look_at or demand.awaited > demand.look_at) and base.look(fleet, d, now, out):
        balance(fleet, d, now, out)


def _more_held(fleet: Fleet, d: DeploymentState, demand: Demand, now: float, out: list[Action]) -> None:
    """The same for one that waits, or that a provider may answer. Those who have providers are counted when one meets
    a replica: a server whose providers answer everything has no price to learn."""
    demand.requests += 1
    if demand.requests >= traffic.AT_LEAST_EVERY and d.bursting is None:
        traffic.count(fleet, demand, now)
    if d.in_flight + len(d.held) > demand.above:
        _more_work(fleet, d, demand, now, out)


def finished(fleet: Fleet, e: Finished, out: list[Action]) -> None:
    request = e.request
    r = fleet.assigned.pop(request, None)
    if r is None:
        _left(fleet, e, out)
        return
    r.in_flight = running = r.in_flight - 1  # effects.release, without the call
    if not running:
        r.idle_since = e.at
    if fleet.asides:
        _aside(fleet, request, r, e.at, over=True)
    if fleet.sent:
        _nobody_waits(fleet, request)
    d = fleet.deployments.get(r.deployment)
    if d is None:
        return
    state = r.state
    if state is not GONE:
        d.in_flight -= 1
    if e.ok:
        r.served += 1
        if r.small:
            if d.warming is not None:
                d.warming.failures = 0
        elif d.failures:
            d.failures = 0
    if state is READY and (d.held or d.patient):
        dispatch(fleet, d, e.at, out)
    demand = d.demand
    if demand is not None:
        if demand.timed == request:
            traffic.ended(demand, e.at)
        if d.in_flight <= demand.until:
            if demand.busy == 1 and not d.held:
                traffic.end(demand, e.at)
            else:
                traffic.follow(fleet, d, e.at)
    if d.delays is not None:
        scaling.changed(fleet, d, e.at)
    if running or r.in_flight:
        return
    if state is DRAINING:
        effects.stop(r, e.at, out, "its last request finished", Cause.DRAINED)
    elif state is READY:
        if r.timer_at > e.at + r.rests or r.keep_alive is not None:
            effects.let_leave(fleet, d, r, e.at, out)
        if fleet.waiting:
            settle(fleet, e.at, out)


def _left(fleet: Fleet, e: Finished, out: list[Action]) -> None:
    """A held request's client has gone. A start goes on; a wish for room that nobody else has is dropped."""
    _nobody_waits(fleet, e.request)
    name = fleet.holding.pop(e.request, None)
    if name is None:
        return
    d = fleet.deployments[name]
    if d.patient.pop(e.request, None) is not None:
        return
    h = d.held.pop(e.request)
    if e.at - h.at > fleet.goal.wait and h.rank != BATCH:
        traffic.was_cold(fleet, d, h.at, e.at)
    d.urgent.pop(e.request, None)
    if d.demand is not None and d.in_flight + len(d.held) <= d.demand.until:
        traffic.follow(fleet, d, e.at)
    if d.delays is not None:
        scaling.changed(fleet, d, e.at)
    if name in fleet.waiting:
        balance(fleet, d, e.at, out)


def _nobody_waits(fleet: Fleet, request: str) -> None:
    """For what a provider does with it; it has to be paid all the same."""
    sent = fleet.sent.get(request)
    if sent is not None:
        sent.over = True


def _aside(fleet: Fleet, request: str, ran: Replica, now: float, *, over: bool) -> Aside | None:
    """What is known of a request that no longer runs, beside where it ran. `over`: it ran to its end."""
    aside = fleet.asides.pop(request, None)
    if aside is None:
        return None
    if aside.asked is not None:
        stand_in.over(fleet, aside.asked, now)
    if aside.timed is not None:
        local_promise.timed(fleet, ran, now - aside.timed if over else None)
    return aside


def bounced(fleet: Fleet, e: Bounced, out: list[Action]) -> None:
    """It waits again, for a replica of what it asked for."""
    r = effects.release(fleet, e.request, e.at)
    if r is None:
        return
    aside = _aside(fleet, e.request, r, e.at, over=False) if fleet.asides else None
    ran = fleet.deployments.get(r.deployment)
    d = ran
    if aside is not None and aside.asked is not None:
        d = fleet.deployments.get(aside.asked.spec.id)
    suspect = r.state is READY
    if suspect:
        effects.move(r, Cause.BOUNCED, e.at, out, "a request could not reach it")
    if d is None or d.removed or fleet.closing:
        name = r.deployment if d is None else d.spec.id
        out.append(Refuse(e.request, 503, "model_gone", f"{name} is being taken down"))
    else:
        _back(fleet, d, _again(e, r, aside), r, e.at, out)
    if suspect:
        out.append(Probe(r.id, "a request could not reach it"))
    elif r.state is DRAINING and not r.in_flight:
        effects.stop(r, e.at, out, "its last request finished", Cause.DRAINED)
    if ran is not None:
        balance(fleet, ran, e.at, out)
    if d is not None and d is not ran:
        balance(fleet, d, e.at, out)


def _back(fleet: Fleet, d: DeploymentState, h: Held, r: Replica, now: float, out: list[Action]) -> None:
    if h.id in fleet.sent:  # it was hedged, and its provider may still answer, or has
        if fleet.sent[h.id].answered_at is not None:
            return
    elif h.remote is not None and h.rank != BATCH and burst.takes(fleet, d, h, now, out, full=False):
        return
    classes.back(fleet, d, h, now)
    out.append(Hold(h.id, f"{r.id} could not be reached"))


def _again(e: Bounced, r: Replica, aside: Aside | None) -> Held:
    if aside is None:
        return Held(e.request, e.at, r.keep_alive, remote=e.remote)
    # A batch request keeps its deadline; how long others have waited counts from now.
    return aside.held if aside.held.rank == BATCH else replace(aside.held, at=e.at)


def _why(d: DeploymentState, now: float) -> str:
    if now < d.retry_at:
        return f"the last start failed; the next one is due in {d.retry_at - now:.3g} s"
    for r in d.replicas.values():
        if r.state is READY:
            return "all replicas are busy"
    states = [r.state for r in d.replicas.values()]
    if State.STARTING in states:
        return "a replica is starting"
    if State.WAKING in states:
        return "a replica is waking"
    if ASLEEP in states or State.GOING_TO_SLEEP in states:
        return "its replica sleeps"
    return "no replica is up"
