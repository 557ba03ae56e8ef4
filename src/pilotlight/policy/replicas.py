"""What the kernel does when a replica comes up, fails, dies, is gone, or was measured."""

import msgspec

from pilotlight.fleet.actions import Action
from pilotlight.fleet.events import (
    Died,
    Failing,
    Measured,
    Progressed,
    Ready,
    Recovered,
    Sized,
    StartFailed,
    Stopped,
)
from pilotlight.fleet.fleet import DeploymentState, Fleet, Replica
from pilotlight.fleet.states import COMING, GOING, RESTING, SERVING, Cause, State
from pilotlight.policy import backoff, burst, effects, eviction, placement, scheduled, value, warming
from pilotlight.policy.balance import balance, settle, within_budget


def progressed(fleet: Fleet, e: Progressed, out: list[Action]) -> None:
    r = fleet.replicas.get(e.replica)
    if r is not None and r.state is State.STARTING:
        r.stage = e.stage


def ready(fleet: Fleet, e: Ready, out: list[Action]) -> None:
    r = fleet.replicas.get(e.replica)
    if r is None or r.state not in COMING:
        return
    d = fleet.deployments[r.deployment]
    how = "awake" if r.state is State.WAKING else "up"
    effects.move(r, Cause.CAME_UP, e.at, out, f"{how} after {e.at - r.ordered_at:.3g} s")
    if not r.small:
        value.learn(d, r, e)
    r.ready_at = r.idle_since = e.at
    r.stage = None
    if not r.small:
        if d.resumes is not None:
            r.idle_since, r.keep_alive = d.resumes.idle_since, d.resumes.keep_alive
        d.want_up()
    if d.spec.schedule:
        scheduled.look(fleet, d, e.at)  # it is known better how long before a window begins a start must
    d.reconsider()
    balance(fleet, d, e.at, out)
    for other in list(d.replicas.values()):
        effects.let_leave(fleet, d, other, e.at, out)
    settle(fleet, e.at, out)


def start_failed(fleet: Fleet, e: StartFailed, out: list[Action]) -> None:
    r = fleet.replicas.get(e.replica)
    if r is None:
        return
    if r.state is not State.STARTING:
        gone(fleet, r, e.at, out)
        return
    d = fleet.deployments[r.deployment]
    effects.forget(fleet, r, Cause.START_FAILED, e.at, out, e.reason)
    failed(fleet, d, r, e.at, out, e.reason)
    settle(fleet, e.at, out)


def failed(fleet: Fleet, d: DeploymentState, r: Replica, now: float, out: list[Action], reason: str) -> None:
    """A start came to nothing: those who waited for it learn why, unless another replica can serve them."""
    if r.small:
        warming.failed(d, now)
        balance(fleet, d, now, out)
        return
    d.failures += 1
    d.retry_at = now + backoff.delay(d.failures)
    d.last_reason = reason
    d.want_up()
    if not any(o.state in SERVING or o.state in RESTING for o in d.every):
        burst.release(fleet, d, now, out, refused=True)
        text = f"{d.spec.id} could not be started: {reason}"
        effects.refuse_held(fleet, d, out, 503, "start_failed", text, r.id, d.retry_at - now, patient=False)
    balance(fleet, d, now, out)


def died(fleet: Fleet, e: Died, out: list[Action]) -> None:
    r = fleet.replicas.get(e.replica)
    if r is None:
        return
    if r.state is State.STARTING:
        start_failed(fleet, StartFailed(e.at, e.replica, e.reason), out)
        return
    if r.state not in GOING:
        _crashed(fleet, r, e.at, out, e.reason)
    gone(fleet, r, e.at, out)


def failing(fleet: Fleet, e: Failing, out: list[Action]) -> None:
    """What it was is made good at once where there is room; its own room is free once it has Died."""
    r = fleet.replicas.get(e.replica)
    if r is None or r.state in GOING or r.state is State.STARTING:
        return
    _crashed(fleet, r, e.at, out, e.reason)
    balance(fleet, fleet.deployments[r.deployment], e.at, out)


def _crashed(fleet: Fleet, r: Replica, now: float, out: list[Action], reason: str) -> None:
    d = fleet.deployments[r.deployment]
    was_to_go = r.state is State.DRAINING
    effects.move(r, Cause.DIED, now, out, reason)
    if was_to_go:
        return
    if r.small:
        warming.failed(d, now, grace=1 if r.served else 0)
        return
    d.failures += 1
    d.last_reason = reason
    # The first crash of a replica that did serve is made good at once; after that, each waits longer.
    grace = 1 if r.served else 0
    d.retry_at = now + (backoff.delay(d.failures - grace) if d.failures > grace else 0.0)


def recovered(fleet: Fleet, e: Recovered, out: list[Action]) -> None:
    r = fleet.replicas.get(e.replica)
    if r is None or r.state is not State.SUSPECT:
        return
    d = fleet.deployments[r.deployment]
    effects.move(r, Cause.RECOVERED, e.at, out, "it answered a probe")
    d.want_up()
    d.reconsider()
    balance(fleet, d, e.at, out)
    for other in list(d.replicas.values()):
        effects.let_leave(fleet, d, other, e.at, out)


def stopped(fleet: Fleet, e: Stopped, out: list[Action]) -> None:
    r = fleet.replicas.get(e.replica)
    if r is not None and r.state in GOING:
        gone(fleet, r, e.at, out)


def gone(fleet: Fleet, r: Replica, now: float, out: list[Action]) -> None:
    d = fleet.deployments[r.deployment]
    effects.forget(fleet, r, Cause.ENDED, now, out, "its process has ended")
    balance(fleet, d, now, out)
    if d.resumes is r and not d.current():
        d.want_up()  # others have its room
    settle(fleet, now, out)


def measured(fleet: Fleet, e: Measured, out: list[Action]) -> None:
    """Sets aside what the replica was seen to take; less than the estimate only once it has served.

    Of one that sleeps, or is about to or to wake, nothing is learned by it.
    """
    r = fleet.replicas.get(e.replica)
    if r is None or r.state in RESTING or r.state is State.WAKING:
        return
    d = fleet.deployments[r.deployment]
    current, gpu = d.is_current(r), None
    need = d.spec.warmer.need if r.small and d.spec.warmer is not None else d.spec.need
    before, before_gpu = r.memory, max(r.gpu_memory, default=0)
    # One of an earlier declaration, and one that was measured after it had served, keeps what it was given.
    keeps = r.measured or not current
    least = 0 if not current or (need.estimated and r.served) else need.memory
    memory = max(e.memory, least, before if keeps else 0)
    if e.gpu_memory is not None and need.gpu_memory is not None:
        least = 0 if not current or (need.gpu_estimated and r.served) else need.gpu_memory
        gpu = max(e.gpu_memory, least, before_gpu if keeps else 0)
    effects.resize(fleet, r, memory, gpu)
    if r.served:
        r.measured = True
    of = d.warming if r.small else d
    if r.served and current and of is not None:
        of.measured = max(of.measured, e.memory)
        of.measured_gpu = max(of.measured_gpu, e.gpu_memory or 0)
    if placement.exceeds(fleet, r):
        within_budget(fleet, e.at, out)
    if memory < before or (gpu is not None and gpu < before_gpu):
        settle(fleet, e.at, out)


def sized(fleet: Fleet, e: Sized, out: list[Action]) -> None:
    """The weights are here: what was set aside blindly is corrected, and a start that can never fit ends."""
    d = fleet.deployments.get(e.deployment)
    if d is None:
        return
    if not _is_news(d, e):
        return
    starting = [r for r in d.every if r.state is State.STARTING and r.small == e.small]
    never = placement.never_fits(fleet, e.need, eviction.kept(fleet, d))
    for r in starting:
        effects.resize(fleet, r, e.need.memory, e.need.gpu_memory)
        if never is not None:
            effects.stop(r, e.at, out, never, Cause.TOO_LARGE)
    if starting and never is not None:
        failed(fleet, d, starting[0], e.at, out, f"it does not fit: {never}")
    within_budget(fleet, e.at, out)
    _call_off(fleet, e.at, out)
    settle(fleet, e.at, out)


def _is_news(d: DeploymentState, e: Sized) -> bool:
    """Takes over what is estimated now; whether that is anything else than before."""
    before = d.spec
    if not e.small:
        d.spec = msgspec.structs.replace(before, need=e.need)
    elif before.warmer is not None:
        d.spec = msgspec.structs.replace(before, warmer=msgspec.structs.replace(before.warmer, need=e.need))
    return d.spec != before


def _call_off(fleet: Fleet, now: float, out: list[Action]) -> None:
    """Starts that were ordered blindly and do not fit side by side: the latest go back to wait for room."""
    starting = [r for r in fleet.replicas.values() if r.state is State.STARTING]
    called_off: list[Replica] = []
    for r in reversed(starting):
        if placement.exceeds(fleet, r):
            effects.stop(r, now, out, "it does not fit beside the others that start; it waits for room")
            called_off.append(r)
    for r in called_off:
        balance(fleet, fleet.deployments[r.deployment], now, out)
