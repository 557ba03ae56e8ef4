"""What the kernel does when a replica has gone to sleep or could not, an operator wants one asleep, or zygotes and
primed processes take more or less."""

from pilotlight.fleet.actions import Action, Note
from pilotlight.fleet.events import Overhead, SleepAsked, SleepFailed, Slept
from pilotlight.fleet.fleet import DeploymentState, Fleet, Replica, Stays
from pilotlight.fleet.states import GOING, Cause, State
from pilotlight.policy import backoff, effects, keep_alive, placement, sleeping
from pilotlight.policy.balance import balance, settle, within_budget
from pilotlight.units import format_size


def slept(fleet: Fleet, e: Slept, out: list[Action]) -> None:
    """What is set aside for it is what was measured; more only for a model that moved from a device."""
    r = fleet.replicas.get(e.replica)
    if r is None or r.state is not State.GOING_TO_SLEEP:
        return
    d = fleet.deployments[r.deployment]
    kept = Stays(e.memory, e.gpu_memory)
    memory = e.memory if r.devices else min(e.memory, r.memory)
    because = f"after {e.at - r.since:.3g} s; it takes {format_size(memory)} of host memory still"
    effects.move(r, Cause.SLEPT, e.at, out, because)
    effects.reserve(fleet, r, memory, tuple(sleeping.on_device(kept, size) for size in r.gpu_memory))
    if not r.small:
        d.asleep = kept if d.asleep is None else _more(d.asleep, kept)
    d.sleep_failures = 0
    if d.forecast is not None:
        effects.look_again(fleet, d, e.at)
    if placement.exceeds(fleet, r):
        within_budget(fleet, e.at, out)
    balance(fleet, d, e.at, out)
    effects.let_leave(fleet, d, r, e.at, out)
    settle(fleet, e.at, out)


def _more(a: Stays, b: Stays) -> Stays:
    known = [size for size in (a.gpu_memory, b.gpu_memory) if size is not None]
    return Stays(max(a.memory, b.memory), max(known, default=None))


def sleep_failed(fleet: Fleet, e: SleepFailed, out: list[Action]) -> None:
    r = fleet.replicas.get(e.replica)
    if r is not None and r.state is State.GOING_TO_SLEEP:
        gave_up_sleep(fleet, r, e.at, out, e.reason)


def gave_up_sleep(fleet: Fleet, r: Replica, now: float, out: list[Action], reason: str) -> None:
    """It is stopped, which frees what its sleep was to free, and the only one is started anew for what is left of its
    keep-alive; not where others want its room, or an operator put it aside."""
    d = fleet.deployments[r.deployment]
    alone = not r.small and all(o is r or o.state in GOING for o in d.replicas.values())
    if alone and not r.put_aside and not fleet.waiting and keep_alive.leaves(fleet, d, r) > now:
        d.want_up("the one before could not sleep", resumes=r)
    d.sleep_failures += 1
    d.no_sleep_before = now + backoff.sleep_delay(d.sleep_failures)
    effects.stop(r, now, out, reason, Cause.SLEEP_FAILED)
    balance(fleet, d, now, out)


def sleep_asked(fleet: Fleet, e: SleepAsked, out: list[Action]) -> None:
    """Its idle replicas, also those that min_replicas keeps up; a request, or `warm`, wakes them."""
    d = fleet.deployments.get(e.deployment)
    if d is None or d.removed or fleet.closing:
        return
    if not d.spec.can_sleep:
        out.append(Note(d.spec.id, "its engine cannot sleep"))
        return
    level = d.spec.sleep_level if e.level is None else e.level
    effects.forgo_warmer(d)
    for r in [*d.current(), *d.small]:
        if r.state is State.READY and not r.in_flight:
            _put_aside(fleet, d, r, level, e.at, out)


def _put_aside(
    fleet: Fleet, d: DeploymentState, r: Replica, level: int, now: float, out: list[Action]
) -> None:
    if sleeping.fits(fleet, d, r, level):
        effects.put_to_sleep(fleet, r, level, now, out, "an operator put it to sleep", put_aside=True)
    else:
        out.append(
            Note(d.spec.id, f"{r.id} stays awake: what its sleep puts into host memory has no room there")
        )


def overhead(fleet: Fleet, e: Overhead, out: list[Action]) -> None:
    """The first one after a Trim counts as its answer, whatever it says: who waits for room looks on from there."""
    host = fleet.hosts.get(e.host)
    if host is None:
        return
    told, less = host.trimming, e.memory < host.overhead
    host.overhead, host.trimming = e.memory, False
    host.kept = e.memory if told else min(host.kept, e.memory)
    if told or less:
        settle(fleet, e.at, out)
