"""What the kernel does when the declaration changes, an operator asks, the server leaves, or a moment has come."""

import heapq

from pilotlight.fleet.actions import Action, Note, Rented
from pilotlight.fleet.events import ClockSet, Configured, ShutDown, StopAsked, Tick, WarmAsked
from pilotlight.fleet.fleet import NEVER, DeploymentState, Fleet, Replica
from pilotlight.fleet.host import HostState
from pilotlight.fleet.states import COMING, Cause, State
from pilotlight.policy import base, burst, cold_rate, effects, providers, rest, scaling, warming
from pilotlight.policy import demand as traffic
from pilotlight.policy.balance import balance, settle, within_budget
from pilotlight.policy.outlook import Outlook
from pilotlight.policy.replicas import failed
from pilotlight.units import format_duration


def configured(fleet: Fleet, e: Configured, out: list[Action]) -> None:
    fleet.goal, fleet.unix = e.goal, e.unix
    for host in e.hosts:
        known = fleet.hosts.get(host.id)
        if known is None:
            fleet.hosts[host.id] = HostState(host)
        else:
            known.spec = host
    providers.declared(fleet, e)
    declared = {spec.id for spec in e.deployments}
    for name, d in list(fleet.deployments.items()):
        if name not in declared:
            _remove(fleet, d, e.at, out)
    for spec in e.deployments:
        d = fleet.deployments.get(spec.id)
        if d is None:
            fleet.deployments[spec.id] = d = DeploymentState(spec)
        elif d.spec.fingerprint != spec.fingerprint:
            d.failures, d.retry_at, d.measured, d.measured_gpu = 0, 0.0, 0, 0
            d.sleep_failures, d.no_sleep_before = 0, 0.0
            d.asleep = d.start_took = d.wake_took = None
            d.starts_took.clear()
        rented = 0 if d.removed else d.rented
        before, d.spec, d.removed = d.spec.warmer, spec, False
        warming.declared(d, before)
        burst.declared(d)
        base.declared(fleet, d, rented, e.at, out)
        scaling.declared(fleet, d, e.at)
    cold_rate.declared(fleet)
    for spec in e.deployments:
        d = fleet.deployments[spec.id]
        for r in d.every:
            if r.state in COMING:
                effects.look_at(fleet, r, max(e.at, r.ordered_at + spec.startup_timeout))
            effects.let_leave(fleet, d, r, e.at, out)
        balance(fleet, d, e.at, out)
    burst.release_all(fleet, e.at, out)
    within_budget(fleet, e.at, out)
    settle(fleet, e.at, out)


def _remove(fleet: Fleet, d: DeploymentState, now: float, out: list[Action]) -> None:
    if d.rented and not d.removed:
        out.append(Rented(now, d.spec.id, 0, "removed from the configuration"))
    d.removed = True
    text = f"the model {d.spec.id!r} was removed from the configuration"
    effects.refuse_held(fleet, d, out, 404, "model_not_found", text)
    for r in d.every:
        effects.drain(fleet, r, now, out, "removed from the configuration", now + d.spec.drain_timeout)
    if not d.every:
        del fleet.deployments[d.spec.id]
    fleet.waiting.pop(d.spec.id, None)
    d.waiting_since = NEVER


def clock_set(fleet: Fleet, e: ClockSet, out: list[Action]) -> None:
    """Other windows are in force, another time of the day, and another hour of the budget."""
    fleet.unix = e.unix
    for d in list(fleet.deployments.values()):
        if d.ahead is not None and not d.removed:
            _look_at_deployment(fleet, d, e.at, out)
    burst.release_all(fleet, e.at, out)  # another hour may have its own budget


def warm_asked(fleet: Fleet, e: WarmAsked, out: list[Action]) -> None:
    d = fleet.deployments.get(e.deployment)
    if d is None or d.removed or fleet.closing:
        return
    if not any(r.state is State.READY for r in d.current()):
        d.want_up("one was asked for")
    d.retry_at = e.at
    balance(fleet, d, e.at, out)


def stop_asked(fleet: Fleet, e: StopAsked, out: list[Action]) -> None:
    """Everything of the deployment goes; with min_replicas above zero it comes right back."""
    d = fleet.deployments.get(e.deployment)
    if d is None:
        return
    d.want_up()
    scaling.stopped(d)
    effects.forgo_warmer(d)
    if not any(r.state is State.READY for r in d.every):
        effects.refuse_held(fleet, d, out, 503, "model_stopped", f"{d.spec.id} was stopped by an operator")
    for r in d.every:
        effects.drain(fleet, r, e.at, out, "an operator stopped it", e.at + d.spec.drain_timeout)
    balance(fleet, d, e.at, out)


def shut_down(fleet: Fleet, e: ShutDown, out: list[Action]) -> None:
    fleet.closing = True
    for d in list(fleet.deployments.values()):
        effects.refuse_held(fleet, d, out, 503, "shutting_down", "the server is shutting down")
        for r in d.every:
            effects.drain(fleet, r, e.at, out, "the server is shutting down", e.at + d.spec.drain_timeout)
    fleet.waiting.clear()


def tick(fleet: Fleet, e: Tick, out: list[Action]) -> None:
    if e.at >= fleet.wake_at:
        fleet.wake_at = NEVER
    outlook = None
    while fleet.timers and fleet.timers[0][0] <= e.at:
        when, _, kind, key = heapq.heappop(fleet.timers)
        if kind != "deployment":
            outlook = None
        if kind == "replica":
            r = fleet.replicas.get(key)
            if r is not None:
                r.timer_at = NEVER
                _look(fleet, r, e.at, out)
        elif kind in ("provider", "ping"):
            providers.tick(fleet, kind, key, when, e.at, out)
        elif kind == "base":
            d = fleet.deployments.get(key)
            if d is not None and base.ticked(fleet, d, when, e.at, out):
                balance(fleet, d, e.at, out)
        else:
            d = fleet.deployments.get(key)
            if d is not None and _is_asked(d, when):
                outlook = outlook.renewed() if outlook is not None else Outlook(fleet, e.at, out)
                if not _look_at_deployment(fleet, d, e.at, out, outlook):
                    outlook = None


def _is_asked(d: DeploymentState, when: float) -> bool:
    """Whether anybody still wants this look. Who did and was looked at before has asked again then: else what is asked
    at every look would come to be looked at once more with each of them."""
    if when == d.timer_at:
        d.timer_at = NEVER
        return True
    own = () if d.ahead is None else (d.ahead.look_at, d.ahead.hope_at)
    return when in own or (d.delays is not None and when == d.delays.look_at)


def _look_at_deployment(
    fleet: Fleet, d: DeploymentState, now: float, out: list[Action], outlook: Outlook | None = None
) -> bool:
    """Whether the outlook is as it was, but for what was ordered: who is kept may have changed."""
    if d.demand is not None:
        traffic.follow(fleet, d, now)
    if (d.ahead is not None or d.delays is not None) and not (d.removed or fleet.closing):
        outlook = None
        _look_ahead(fleet, d, now, out)
    balance(fleet, d, now, out, outlook)
    return outlook is not None


def _look_ahead(fleet: Fleet, d: DeploymentState, now: float, out: list[Action]) -> None:
    """What was kept for a schedule, a forecast or a delay may be free to go."""
    floor, fell = d.floor, False
    scaling.look(fleet, d, now)
    if d.delays is not None:
        scaling.changed(fleet, d, now)
        fell, d.delays.fell = d.delays.fell, False
    if fell or d.floor < floor:
        for r in list(d.replicas.values()):
            effects.let_leave(fleet, d, r, now, out)


def _look(fleet: Fleet, r: Replica, now: float, out: list[Action]) -> None:
    d = fleet.deployments[r.deployment]
    if r.state in COMING:
        due = r.ordered_at + d.spec.startup_timeout
        if now < due:
            effects.look_at(fleet, r, due)
            return
        reason = f"it was not ready within {format_duration(d.spec.startup_timeout)} (startup_timeout)"
        effects.stop(r, now, out, reason, Cause.TIMED_OUT)
        failed(fleet, d, r, now, out, reason)
    elif r.state is State.GOING_TO_SLEEP:
        due = r.since + d.spec.startup_timeout
        if now < due:
            effects.look_at(fleet, r, due)
        else:
            limit = format_duration(d.spec.startup_timeout)
            rest.gave_up_sleep(fleet, r, now, out, f"it did not sleep within {limit} (startup_timeout)")
    elif r.state in (State.READY, State.ASLEEP):
        effects.let_leave(fleet, d, r, now, out)
    elif r.state is State.DRAINING and now < r.drain_by:
        effects.look_at(fleet, r, r.drain_by)
    elif r.state is State.DRAINING:
        out.append(Note(d.spec.id, f"{r.id} is stopped with {r.in_flight} requests still running"))
        effects.stop(r, now, out, f"still busy after {format_duration(d.spec.drain_timeout)} (drain_timeout)")
