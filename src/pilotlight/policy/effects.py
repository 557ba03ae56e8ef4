"""The verbs of the kernel: each changes the fleet and records the action that goes with it.

Every list `out` collects the actions of one step, in order.
"""

from pilotlight.fleet.actions import Action, Assign, Moved, Refuse, Sleep, Start, Stop, Wake
from pilotlight.fleet.deployment import Need
from pilotlight.fleet.fleet import NEVER, DeploymentState, Fleet, Held, Replica
from pilotlight.fleet.states import ASLEEP, COMING, GOING, GONE, READY, Cause, State, after
from pilotlight.policy import keep_alive, rental, sleeping, warmer
from pilotlight.policy.placement import Place

RECHECK = 60.0
"""Seconds after which a learned keep-alive is looked at again; later in proportion to how long it has lasted."""


def move(r: Replica, cause: Cause, now: float, out: list[Action], because: str) -> None:
    was, r.state = r.state, after(r.state, cause)
    r.since = now
    out.append(Moved(now, r.id, r.deployment, was, r.state, cause, because, r.small))


def start(
    fleet: Fleet, d: DeploymentState, place: Place, now: float, out: list[Action], because: str
) -> None:
    _start(fleet, d, place, now, out, because, fleet.need_of(d), d.spec.fingerprint, d.replicas, small=False)


def start_small(
    fleet: Fleet, d: DeploymentState, place: Place, now: float, out: list[Action], because: str
) -> None:
    """A warmer."""
    mark, of = d.spec.warmer, d.warming
    assert mark is not None and of is not None
    need = fleet.small_need_of(d)
    _start(fleet, d, place, now, out, because, need, mark.fingerprint, of.replicas, small=True)


def _start(
    fleet: Fleet,
    d: DeploymentState,
    place: Place,
    now: float,
    out: list[Action],
    because: str,
    need: Need,
    fingerprint: str,
    among: dict[str, Replica],
    small: bool,
) -> None:
    d.started += 1
    r = Replica(
        id=f"{d.spec.id}-{d.started}",
        deployment=d.spec.id,
        fingerprint=fingerprint,
        state=State.STARTING,
        since=now,
        host=place.host,
        devices=place.devices,
        memory=need.memory,
        gpu_memory=place.gpu_memory,
        ordered_at=now,
        exclusive=need.exclusive,
        small=small,
    )
    host = fleet.hosts[place.host]
    host.memory += r.memory
    for device, size in zip(r.devices, r.gpu_memory, strict=True):
        host.devices[device] = host.devices.get(device, 0) + size
    d.reconsider()
    if d.bursting is not None and not small:
        rental.started(d.bursting)
    among[r.id] = fleet.replicas[r.id] = r
    look_at(fleet, r, now + d.spec.startup_timeout)
    plan, techniques = d.spec.plan, d.spec.techniques
    out.append(Moved(now, r.id, d.spec.id, None, State.STARTING, None, because, small))
    out.append(Start(r.id, d.spec.id, place.host, place.devices, plan, because, techniques, small))


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
    if r.state in (READY, State.SUSPECT):
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
    if r.small and d.warming is not None:
        del d.warming.replicas[r.id]
    else:
        del d.replicas[r.id]
        d.reconsider()
    d.in_flight -= r.in_flight
    if d.removed and not d.every:
        del fleet.deployments[r.deployment]
    elif d.forecast is not None and not d.every:
        look_again(fleet, d, now)  # from now on it is met cold


def assign(
    fleet: Fleet,
    d: DeploymentState,
    r: Replica,
    request: str,
    keep_alive: float | None,
    out: list[Action],
    because: str,
    stands_in: str | None = None,
) -> None:
    if not r.in_flight:
        r.idle_since = NEVER
    r.in_flight += 1
    d.in_flight += 1
    r.keep_alive = keep_alive
    fleet.assigned[request] = r
    out.append(Assign(request, r.id, because, stands_in))


def release(fleet: Fleet, request: str, now: float) -> Replica | None:
    """Takes a running request off its replica; None when it is not running."""
    r = fleet.assigned.pop(request, None)
    if r is None:
        return None
    r.in_flight -= 1
    if not r.in_flight:
        r.idle_since = now
    if r.state is not GONE:
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
    *,
    patient: bool = True,
) -> None:
    """All that wait; without `patient` those stay that only wait for idle capacity."""
    held: list[Held] = list(d.held.values())
    d.held.clear()
    d.urgent.clear()
    if patient and d.patient:
        held += d.patient.values()
        d.patient.clear()
    for h in held:
        del fleet.holding[h.id]
        if h.id in fleet.sent:  # it is hedged, and its provider may answer it still
            rental.alone(fleet, d, fleet.sent[h.id], fleet.sent[h.id].at)
        else:
            out.append(Refuse(h.id, status, code, because, retry_after, replica))


def forgo_warmer(d: DeploymentState) -> None:
    """It was evicted, or an operator wants it gone: the next one comes only after traffic."""
    if d.warming is not None:
        d.warming.wanted = d.warming.no_room = False


def look_at(fleet: Fleet, r: Replica, when: float) -> None:
    """Has a Tick look at the replica at `when`, unless one does so earlier anyway."""
    if when < r.timer_at:
        r.timer_at = when
        fleet.timer(when, "replica", r.id)


def look_again(fleet: Fleet, d: DeploymentState, when: float) -> None:
    if when < d.timer_at:
        d.timer_at = when
        fleet.timer(when, "deployment", d.spec.id)


def look_once(fleet: Fleet, d: DeploymentState, asked: float, when: float, now: float) -> float:
    """Has a Tick look at `when`, unless one does so before, or at, `asked`, which is still to come. Returns which.

    For what is asked again at every look: the heap holds one moment of it, not one for each time that it was asked.
    """
    if when == NEVER or now < asked <= when:
        return asked
    fleet.timer(when, "deployment", d.spec.id)
    return when


def let_leave(fleet: Fleet, d: DeploymentState, r: Replica, now: float, out: list[Action]) -> None:
    """Stops a replica whose keep-alive is over, puts one to sleep that was idle for long enough, or has a Tick look
    again when that will be.

    One that only starts is no reason to go, for its start may fail; once it is up, all are asked again.
    """
    if r.small or r.in_flight or r.state not in (READY, ASLEEP):
        return
    plain = d.delays is None and d.spec.warmer is None and r.keep_alive is None
    if is_kept(d, r):
        r.rests = NEVER if plain else 0.0  # it is asked again when who is kept changes
        return
    leaves = keep_alive.leaves(fleet, d, r)
    has_warmer = d.spec.warmer is not None and warmer.last(d) is r
    if has_warmer:
        leaves = NEVER if warmer.is_full(d) else warmer.due(d, r, leaves)
    sleeps = max(keep_alive.sleeps_at(r, d.spec), d.no_sleep_before)
    if leaves <= now and has_warmer:
        look_again(fleet, d, now)  # it goes once the warmer is up
    elif leaves <= now:
        stop(r, now, out, f"idle for {now - r.idle_since:.3g} s, its keep-alive")
    elif sleeps > now:
        when = min(leaves, sleeps)
        if d.demand is not None:  # what is learned may change meanwhile
            when = min(when, now + max(RECHECK, now - r.idle_since))
        r.rests = min(when, keep_alive.sleeps_at(r, d.spec)) - r.idle_since if plain else 0.0
        if when != NEVER:
            look_at(fleet, r, when)
    elif sleeping.fits(fleet, d, r, d.spec.sleep_level):
        because = f"idle for {now - r.idle_since:.3g} s (sleep_after)"
        put_to_sleep(fleet, r, d.spec.sleep_level, now, out, because)
    elif leaves != NEVER:
        look_at(fleet, r, leaves)


def is_kept(d: DeploymentState, r: Replica) -> bool:
    """For the sake of the floor, towards which those count that an operator has put aside, or of scale_down_delay."""
    floor = d.floor
    if d.delays is not None and d.spec.scale_down_delay:
        floor = max(floor, d.delays.granted)
    if not floor or d.removed or len(d.replicas) <= floor:
        return bool(floor) and not d.removed
    counted = [o for o in d.replicas.values() if o.state is READY or o.is_put_aside]
    if r not in counted:  # one that sleeps by itself is woken where too few are up
        return len(counted) < floor
    return len(counted) <= floor
