"""The verbs of the kernel: each changes the fleet and records the action that goes with it.

Every list `out` collects the actions of one step, in order.
"""

from pilotlight.fleet.actions import Action, Assign, Moved, Refuse, Sleep, Start, Stop, Wake
from pilotlight.fleet.deployment import Need
from pilotlight.fleet.fleet import NEVER, DeploymentState, Fleet, Held, Replica
from pilotlight.fleet.states import COMING, GOING, Cause, State, after
from pilotlight.policy import keep_alive, sleeping
from pilotlight.policy.placement import Place


def move(r: Replica, cause: Cause, now: float, out: list[Action], because: str) -> None:
    was, r.state = r.state, after(r.state, cause)
    r.since = now
    out.append(Moved(now, r.id, r.deployment, was, r.state, cause, because))


def start(
    fleet: Fleet, d: DeploymentState, place: Place, now: float, out: list[Action], because: str
) -> None:
    d.started += 1
    need = fleet.need_of(d)
    r = Replica(
        id=f"{d.spec.id}-{d.started}",
        deployment=d.spec.id,
        fingerprint=d.spec.fingerprint,
        state=State.STARTING,
        since=now,
        host=place.host,
        devices=place.devices,
        memory=need.memory,
        gpu_memory=place.gpu_memory,
        ordered_at=now,
        exclusive=need.exclusive,
    )
    host = fleet.hosts[place.host]
    host.memory += r.memory
    for device, size in zip(r.devices, r.gpu_memory, strict=True):
        host.devices[device] = host.devices.get(device, 0) + size
    d.replicas[r.id] = fleet.replicas[r.id] = r
    look_at(fleet, r, now + d.spec.startup_timeout)
    out.append(Moved(now, r.id, d.spec.id, None, State.STARTING, None, because))
    out.append(Start(r.id, d.spec.id, place.host, place.devices, d.spec.plan, because, d.spec.techniques))


def resize(fleet: Fleet, r: Replica, memory: int, gpu_memory: int | None) -> None:
    """Sets aside so much of host memory and of each of its devices; None leaves its devices as they are."""
    reserve(fleet, r, memory, r.gpu_memory if gpu_memory is None else (gpu_memory,) * len(r.devices))


def reserve(fleet: Fleet, r: Replica, memory: int, gpu_memory: tuple[int, ...]) -> None:
    """The same, device by device."""
    host = fleet.hosts[r.host]
    host.memory += memory - r.memory
    r.memory = memory
    for device, before, size in zip(r.devices, r.gpu_memory, gpu_memory, strict=True):
        host.devices[device] += size - before
    r.gpu_memory = gpu_memory


def put_to_sleep(
    fleet: Fleet, r: Replica, level: int, now: float, out: list[Action], because: str, put_aside: bool = False
) -> None:
    """An idle one. Its room is free once it sleeps; what moves to host memory is set aside before."""
    d = fleet.deployments[r.deployment]
    move(r, Cause.TO_SLEEP, now, out, because)
    has = {device.id: device.memory for device in fleet.hosts[r.host].spec.devices}
    whole = all(has.get(i) == size for i, size in zip(r.devices, r.gpu_memory, strict=True))
    more = -sleeping.less(d, r, level).memory
    r.awake = Need(r.memory, len(r.devices), None if whole else max(r.gpu_memory))
    r.put_aside = put_aside
    if more > 0:
        reserve(fleet, r, r.memory + more, r.gpu_memory)
    look_at(fleet, r, now + d.spec.startup_timeout)
    out.append(Sleep(r.id, level, because))


def wake(fleet: Fleet, r: Replica, place: Place, now: float, out: list[Action], because: str) -> None:
    """One that sleeps, in the room that it is to have again."""
    assert r.awake is not None
    move(r, Cause.TO_WAKE, now, out, because)
    sizes = dict(zip(place.devices, place.gpu_memory, strict=True))
    reserve(fleet, r, r.awake.memory, tuple(sizes[device] for device in r.devices))
    r.awake, r.put_aside, r.woken = None, False, True
    r.ordered_at, r.ready_at, r.idle_since = now, NEVER, NEVER
    look_at(fleet, r, now + fleet.deployments[r.deployment].spec.startup_timeout)
    out.append(Wake(r.id, because))


def stop(r: Replica, now: float, out: list[Action], because: str, cause: Cause = Cause.TO_STOP) -> None:
    move(r, cause, now, out, because)
    out.append(Stop(r.id, because))


def drain(fleet: Fleet, r: Replica, now: float, out: list[Action], because: str, by: float) -> None:
    """Lets a replica go: at once when it is idle, asleep or coming up, else after its last request or at `by`."""
    if r.state in GOING:
        return
    if r.state in COMING or not r.in_flight:
        stop(r, now, out, because)
        return
    if r.state in (State.READY, State.SUSPECT):
        move(r, Cause.TO_GO, now, out, because)
    if by < r.drain_by:
        r.drain_by = by
        look_at(fleet, r, by)


def forget(fleet: Fleet, r: Replica, cause: Cause, now: float, out: list[Action], because: str) -> None:
    """The replica is gone: its room is free. Requests that were on it report for themselves."""
    move(r, cause, now, out, because)
    host = fleet.hosts[r.host]
    host.memory -= r.memory
    for device, size in zip(r.devices, r.gpu_memory, strict=True):
        host.devices[device] -= size
    del fleet.replicas[r.id]
    d = fleet.deployments[r.deployment]
    del d.replicas[r.id]
    d.in_flight -= r.in_flight
    if d.removed and not d.replicas:
        del fleet.deployments[r.deployment]


def assign(
    fleet: Fleet,
    d: DeploymentState,
    r: Replica,
    request: str,
    keep_alive: float | None,
    out: list[Action],
    because: str,
) -> None:
    r.in_flight += 1
    d.in_flight += 1
    r.idle_since = NEVER
    r.keep_alive = keep_alive
    fleet.assigned[request] = r
    out.append(Assign(request, r.id, because))


def release(fleet: Fleet, request: str, now: float) -> Replica | None:
    """Takes a running request off its replica; None when it is not running."""
    r = fleet.assigned.pop(request, None)
    if r is None:
        return None
    r.in_flight -= 1
    if not r.in_flight:
        r.idle_since = now
    if r.state is not State.GONE:
        fleet.deployments[r.deployment].in_flight -= 1
    return r


def refuse_held(
    fleet: Fleet,
    d: DeploymentState,
    out: list[Action],
    status: int,
    code: str,
    because: str,
    replica: str | None = None,
    retry_after: float | None = None,
) -> None:
    held: list[Held] = list(d.held.values())
    d.held.clear()
    for h in held:
        del fleet.holding[h.id]
        out.append(Refuse(h.id, status, code, because, retry_after, replica))


def look_at(fleet: Fleet, r: Replica, when: float) -> None:
    """Has a Tick look at the replica at `when`, unless one does so earlier anyway."""
    if when < r.timer_at:
        r.timer_at = when
        fleet.timer(when, "replica", r.id)


def look_again(fleet: Fleet, d: DeploymentState, when: float) -> None:
    if when < d.timer_at:
        d.timer_at = when
        fleet.timer(when, "deployment", d.spec.id)


def let_leave(fleet: Fleet, d: DeploymentState, r: Replica, now: float, out: list[Action]) -> None:
    """Stops a replica whose keep-alive is over, puts one to sleep that was idle for long enough, or has a Tick look
    again when that will be.

    One that only starts is no reason to go, for its start may fail; once it is up, all are asked again.
    """
    if r.in_flight or r.state not in (State.READY, State.ASLEEP) or _is_kept(d, r):
        return
    there = sum(o.state in (State.READY, State.ASLEEP) for o in d.replicas.values())
    leaves = keep_alive.learned(fleet, d, r, last=there <= 1)
    sleeps = max(keep_alive.sleeps_at(r, d.spec), d.no_sleep_before)
    if leaves <= now:
        stop(r, now, out, f"idle for {now - r.idle_since:.3g} s, its keep-alive")
    elif sleeps > now:
        when = min(leaves, sleeps)
        if when != NEVER:
            look_at(fleet, r, when)
    elif sleeping.fits(fleet, d, r, d.spec.sleep_level):
        because = f"idle for {now - r.idle_since:.3g} s (sleep_after)"
        put_to_sleep(fleet, r, d.spec.sleep_level, now, out, because)
    elif leaves != NEVER:
        look_at(fleet, r, leaves)


def _is_kept(d: DeploymentState, r: Replica) -> bool:
    """For the sake of min_replicas, towards which those count that an operator has put aside."""
    floor = d.floor
    if d.removed or not floor:
        return False
    counted = [o for o in d.replicas.values() if o.state is State.READY or o.is_put_aside]
    if r not in counted:  # one that sleeps by itself is woken where too few are up
        return len(counted) < floor
    return len(counted) <= floor
