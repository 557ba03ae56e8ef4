"""Where a replica fits, and whether it ever can."""

from collections.abc import Collection

import msgspec

from pilotlight.fleet.deployment import Device, Need
from pilotlight.fleet.fleet import Fleet, HostState, Replica
from pilotlight.units import format_size


class Place(msgspec.Struct, frozen=True):
    host: str
    devices: tuple[int, ...]
    gpu_memory: tuple[int, ...]


def place(fleet: Fleet, need: Need, reserved: int = 0, without: Collection[Replica] = ()) -> Place | None:
    """The first host with room, on its emptiest devices; None where there is none.

    `reserved`: bytes of host memory kept for those who have waited longer. `without`: replicas counted as gone.
    """
    for host in fleet.hosts.values():
        freed = sum(r.memory for r in without if r.host == host.spec.id)
        if host.memory - freed + reserved + need.memory > host.spec.memory:
            continue
        devices = _devices(host, need, without)
        if devices is not None:
            return Place(
                host.spec.id,
                tuple(d.id for d in devices),
                tuple(d.memory if need.gpu_memory is None else need.gpu_memory for d in devices),
            )
    return None


def _devices(host: HostState, need: Need, without: Collection[Replica]) -> list[Device] | None:
    if not need.gpus:
        return []
    taken = dict(host.devices)
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


def never_fits(fleet: Fleet, need: Need, kept: Collection[Replica]) -> str | None:
    """Why there can be no room even with everything gone but `kept`; None when there can.

    `kept` are the replicas that nothing may evict.
    """
    others = [r for r in fleet.replicas.values() if r not in kept]
    if place(fleet, need, without=others) is not None:
        return None
    have = max((h.spec.memory for h in fleet.hosts.values()), default=0)
    held = sum(r.memory for r in kept)
    wants = f"needs {format_size(need.memory)} of host memory"
    has = f"the budget is {format_size(have)}"
    if held:
        has += f", of which {format_size(held)} is held by replicas that are never evicted"
    if need.gpus:
        each = "all" if need.gpu_memory is None else format_size(need.gpu_memory)
        wants += f" and {each} of each of {need.gpus} GPU{'s' if need.gpus > 1 else ''}"
        devices = [d for h in fleet.hosts.values() for d in h.spec.devices]
        has += f"; GPUs: {', '.join(f'{d.id} ({format_size(d.memory)})' for d in devices) or 'none'}"
    return f"one replica {wants}; {has}"
