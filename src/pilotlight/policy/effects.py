"""The verbs of the kernel: each changes the fleet and records the action that goes with it.

Every list `out` collects the actions of one step, in order.
"""

from pilotlight.fleet.actions import Action, Assign, Moved, Refuse, Start, Stop
from pilotlight.fleet.fleet import NEVER, DeploymentState, Fleet, Held, Replica
from pilotlight.fleet.states import Cause, State, after
from pilotlight.policy import keep_alive
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
    out.append(Start(r.id, d.spec.id, place.host, place.devices, d.spec.plan, because))


def resize(fleet: Fleet, r: Replica, memory: int, gpu_memory: int | None) -> None:
    """Sets aside so much of host memory and of each of its devices; None leaves its devices as they are."""
    host = fleet.hosts[r.host]
    host.memory += memory - r.memory
    r.memory = memory
    if gpu_memory is not None:
        for device, size in zip(r.devices, r.gpu_memory, strict=True):
            host.devices[device] += gpu_memory - size
        r.gpu_memory = (gpu_memory,) * len(r.devices)


def stop(r: Replica, now: float, out: list[Action], because: str, cause: Cause = Cause.TO_STOP) -> None:
    move(r, cause, now, out, because)
    out.append(Stop(r.id, because))


def drain(fleet: Fleet, r: Replica, now: float, out: list[Action], because: str, by: float) -> None:
    """Lets a replica go: at once when it is idle or starting, else after its last request or at `by`."""
    if r.state is State.STARTING or not r.in_flight:
        if r.state not in (State.STOPPING, State.GONE):
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
    """Stops a replica whose keep-alive is over, or has a Tick look again when it will be.

    One that only starts is no reason to go, for its start may fail; once it is up, all are asked again.
    """
    if r.state is not State.READY or r.in_flight:
        return
    up = sum(o.state is State.READY for o in d.replicas.values())
    if up <= d.spec.min_replicas and not d.removed:
        return
    leaves = keep_alive.leaves_at(r, d.spec, last=up <= 1)
    if leaves <= now:
        stop(r, now, out, f"idle for {now - r.idle_since:.3g} s, its keep-alive")
    elif leaves != NEVER:
        look_at(fleet, r, leaves)
