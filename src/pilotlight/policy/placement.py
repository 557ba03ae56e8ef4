"""Where a replica fits, and whether it ever can."""

from collections.abc import Collection, Mapping

import msgspec

from pilotlight.fleet.deployment import Device, Need
from pilotlight.fleet.fleet import Fleet, HostState, Replica
from pilotlight.fleet.states import GOING
from pilotlight.units import format_size


class Place(msgspec.Struct, frozen=True):
    host: str
    devices: tuple[int, ...]
    gpu_memory: tuple[int, ...]


class Claims(msgspec.Struct, frozen=True):
    """Bytes and addresses kept free for those who have waited longer."""

    memory: int = 0
    devices: Mapping[int, int] = {}
    addresses: frozenset[str] = frozenset()


NO_CLAIMS = Claims()


class Less(msgspec.Struct, frozen=True):
    """A replica that takes so much less than is set aside for it now."""

    replica: Replica
    memory: int
    """Bytes; below zero for one that takes more."""
    gpu_memory: tuple[int, ...]
    """On each of its devices."""
    gone: bool = True
    """With its process, so that its address is free too."""
    cost: float = 0.0
    """Seconds of waiting, a second, that this is expected to bring; see `policy/value.py`."""


def all_of(r: Replica) -> Less:
    return Less(r, r.memory, r.gpu_memory)


class Wish(msgspec.Struct, frozen=True):
    """Room for one replica: a new one anywhere, or one that sleeps where it is."""

    need: Need
    sleeper: Replica | None = None


def place(
    fleet: Fleet,
    wish: Wish,
    claims: Claims = NO_CLAIMS,
    less: Collection[Less] = (),
    *,
    overhead: bool = True,
) -> Place | None:
    """The first host with room, on its emptiest devices; None where there is none.

    `less`: what is counted as free already. Without `overhead`, so is what zygotes and primed processes take.
    """
    need, sleeper = wish.need, wish.sleeper
    if sleeper is not None:
        less = [*less, all_of(sleeper)]
    for host in fleet.hosts.values():
        if sleeper is not None and sleeper.host != host.spec.id:
            continue
        taken = host.memory + (host.overhead if overhead else 0)
        freed = sum(x.memory for x in less if x.replica.host == host.spec.id)
        if taken - freed + claims.memory + need.memory > host.spec.memory:
            continue
        if sleeper is None and need.exclusive and _is_taken(fleet, host, need.exclusive, claims, less):
            continue
        devices = _devices(host, wish, claims, less)
        if devices is not None:
            return Place(
                host.spec.id,
                tuple(d.id for d in devices),
                tuple(d.memory if need.gpu_memory is None else need.gpu_memory for d in devices),
            )
    return None


def _is_taken(fleet: Fleet, host: HostState, address: str, claims: Claims, less: Collection[Less]) -> bool:
    """A replica has its address until it is gone, stopping and asleep included."""
    gone = [x.replica for x in less if x.gone]
    return address in claims.addresses or any(
        r.exclusive == address and r.host == host.spec.id and r not in gone for r in fleet.replicas.values()
    )


def _devices(host: HostState, wish: Wish, claims: Claims, less: Collection[Less]) -> list[Device] | None:
    need, sleeper = wish.need, wish.sleeper
    if not need.gpus:
        return []
    taken = dict(host.devices)
    for device, size in claims.devices.items():
        taken[device] = taken.get(device, 0) + size
    for x in less:
        if x.replica.host == host.spec.id:
            for device, size in zip(x.replica.devices, x.gpu_memory, strict=True):
                taken[device] -= size
    fits = [
        d
        for d in host.spec.devices
        if (sleeper is None or d.id in sleeper.devices)
        and taken.get(d.id, 0) + (d.memory if need.gpu_memory is None else need.gpu_memory) <= d.memory
    ]
    fits.sort(key=lambda d: (taken.get(d.id, 0) - d.memory, d.id))
    return fits[: need.gpus] if len(fits) >= need.gpus else None


def exceeds(fleet: Fleet, r: Replica) -> bool:
    """Whether more is taken than there is where the replica runs: of host memory, or of one of its devices.

    Replicas that are going count as gone, and what zygotes and primed processes take does not count.
    """
    host = fleet.hosts[r.host]
    going = [o for o in fleet.replicas.values() if o.state in GOING and o.host == r.host]
    if host.memory - sum(o.memory for o in going) > host.spec.memory:
        return True
    has = {d.id: d.memory for d in host.spec.devices}
    for device in r.devices:
        freed = sum(dict(zip(o.devices, o.gpu_memory, strict=True)).get(device, 0) for o in going)
        if host.devices[device] - freed > has.get(device, 0):
            return True
    return False


def can_fit(fleet: Fleet, wish: Wish, kept: Collection[str], *, overhead: bool = False) -> bool:
    """Whether there is room with everything gone but `kept`, the ids of the replicas that nothing may evict."""
    sleeper = wish.sleeper
    others = [all_of(r) for r in fleet.replicas.values() if r.id not in kept and r is not sleeper]
    return place(fleet, wish, less=others, overhead=overhead) is not None


def never_fits(fleet: Fleet, need: Need, kept: Collection[str]) -> str | None:
    """Why there can be no room for one more even with everything gone but `kept`; None when there can."""
    if can_fit(fleet, Wish(need), kept):
        return None
    stay = [r for r in fleet.replicas.values() if r.id in kept]
    for r in stay:
        if need.exclusive is not None and r.exclusive == need.exclusive:
            return f"it needs {need.exclusive}, which {r.id} has, and that one stays"
    have = max((h.spec.memory for h in fleet.hosts.values()), default=0)
    held = sum(r.memory for r in stay)
    wants = f"needs {format_size(need.memory)} of host memory"
    has = f"the budget is {format_size(have)}"
    if held:
        has += f", of which {format_size(held)} is held by replicas that stay"
    if need.gpus:
        each = "all" if need.gpu_memory is None else format_size(need.gpu_memory)
        wants += f" and {each} of each of {need.gpus} GPU{'s' if need.gpus > 1 else ''}"
        devices = [d for h in fleet.hosts.values() for d in h.spec.devices]
        has += f"; GPUs: {', '.join(f'{d.id} ({format_size(d.memory)})' for d in devices) or 'none'}"
    return f"one replica {wants}; {has}"
