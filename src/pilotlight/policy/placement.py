"""Where a replica fits, and whether it ever can."""

from collections.abc import Collection, Mapping

import msgspec

from pilotlight.fleet.deployment import Device, Need
from pilotlight.fleet.fleet import Fleet, HostState, Replica
from pilotlight.fleet.states import State
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


def place(
    fleet: Fleet, need: Need, claims: Claims = NO_CLAIMS, without: Collection[Replica] = ()
) -> Place | None:
    """The first host with room, on its emptiest devices; None where there is none.

    `without`: replicas counted as gone.
    """
    for host in fleet.hosts.values():
        freed = sum(r.memory for r in without if r.host == host.spec.id)
        if host.memory - freed + claims.memory + need.memory > host.spec.memory:
            continue
        if need.exclusive is not None and _is_taken(fleet, host, need.exclusive, claims, without):
            continue
        devices = _devices(host, need, claims, without)
        if devices is not None:
            return Place(
                host.spec.id,
                tuple(d.id for d in devices),
                tuple(d.memory if need.gpu_memory is None else need.gpu_memory for d in devices),
            )
    return None


def _is_taken(
    fleet: Fleet, host: HostState, address: str, claims: Claims, without: Collection[Replica]
) -> bool:
    """A replica has its address until it is gone, stopping included."""
    return address in claims.addresses or any(
        r.exclusive == address and r.host == host.spec.id and r not in without
        for r in fleet.replicas.values()
    )


def _devices(
    host: HostState, need: Need, claims: Claims, without: Collection[Replica]
) -> list[Device] | None:
    if not need.gpus:
        return []
    taken = dict(host.devices)
    for device, size in claims.devices.items():
        taken[device] = taken.get(device, 0) + size
    for r in without:
        if r.host == host.spec.id:
            for device, size in zip(r.devices, r.gpu_memory, strict=True):
                taken[device] -= size
    fits = [
        d
        for d in host.spec.devices
        if taken.get(d.id, 0) + (d.memory if need.gpu_memory is None else need.gpu_memory) <= d.memory
    ]
    fits.sort(key=lambda d: (taken.get(d.id, 0) - d.memory, d.id))
    return fits[: need.gpus] if len(fits) >= need.gpus else None


def exceeds(fleet: Fleet, r: Replica) -> bool:
    """Whether more is taken than there is where the replica runs: of host memory, or of one of its devices.

    Replicas that are stopping count as gone.
    """
    host = fleet.hosts[r.host]
    going = [o for o in fleet.replicas.values() if o.state is State.STOPPING and o.host == r.host]
    if host.memory - sum(o.memory for o in going) > host.spec.memory:
        return True
    has = {d.id: d.memory for d in host.spec.devices}
    for device in r.devices:
        freed = sum(dict(zip(o.devices, o.gpu_memory, strict=True)).get(device, 0) for o in going)
        if host.devices[device] - freed > has.get(device, 0):
            return True
    return False


def never_fits(fleet: Fleet, need: Need, kept: Collection[str]) -> str | None:
    """Why there can be no room even with everything gone but `kept`; None when there can.

    `kept` are the ids of the replicas that nothing may evict.
    """
    others = [r for r in fleet.replicas.values() if r.id not in kept]
    if place(fleet, need, without=others) is not None:
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
