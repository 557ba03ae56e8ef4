"""A pool that all models share: its hosts, what a replica takes of one, what it costs, and what is to be known."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from pilotlight.fleet.deployment import Device, Host, Need
from pilotlight.fleet.fleet import Fleet
from pilotlight.fleet.host import HostState
from pilotlight.policy.placement import never_fits
from pilotlight.policy.sleeping import KEPT
from pilotlight.spec.model import HostKind, Model
from pilotlight.units import format_size


def hosts(kinds: Iterable[HostKind]) -> tuple[Host, ...]:
    """In the order of the kinds. A kind's only host has its name; of several, `a100#2` is the second. No two devices
    of the pool have the same number."""
    found: list[Host] = []
    first = 0
    for kind in kinds:
        for i in range(1, kind.count + 1):
            devices = tuple(Device(first + k, kind.gpu_memory) for k in range(kind.gpus))
            found.append(Host(kind.name if kind.count == 1 else f"{kind.name}#{i}", kind.memory, devices))
            first += kind.gpus
    return tuple(found)


def need(model: Model, kinds: Sequence[HostKind]) -> Need:
    """What is not said of a model is such that as many fit on the smallest device as may, or one, and that one which is
    put to sleep for another makes room enough, also before it was seen what a sleeper keeps of the device. The same of
    the memory of the smallest host without devices, where there is such a host and the model takes no device."""
    if _takes_none(model, kinds):
        memory = _host_share(kinds) if model.memory is None else model.memory
        return Need(memory, estimated=False)
    size = _share(kinds) if model.gpu_memory is None else model.gpu_memory
    return Need(model.memory or 0, max(1, model.gpus), size, estimated=False)


def needs(model: Model, kinds: Sequence[HostKind]) -> tuple[Need, Need]:
    """Of a full replica and of its warmer, which never takes more of a host's memory alone."""
    full, small = need(model, kinds), need(model.small(), kinds)
    if not full.gpus and not small.gpus:
        small = msgspec.structs.replace(small, memory=min(full.memory, small.memory))
    return full, small


def cost(kinds: Iterable[HostKind], seconds: float, dedicated: float) -> tuple[float, float]:
    """GPU seconds and USD of all hosts for so long, whatever is in them. `dedicated`: USD for a second of one GPU."""
    gpus, usd = 0.0, 0.0
    for kind in kinds:
        of = kind.count * kind.gpus * seconds
        gpus += of
        usd += of * dedicated if kind.hour_usd is None else kind.count * seconds * (kind.hour_usd / 3600)
    return gpus, usd


def notes(kinds: Sequence[HostKind], models: Mapping[str, Model]) -> tuple[str, ...]:
    """What is to be known of a pool before anything is replayed in it."""
    return (*_misfits(kinds, models), *_assumed(kinds, models), *_free(kinds))


def _takes_none(model: Model, kinds: Iterable[HostKind]) -> bool:
    return not model.gpus and any(not kind.gpus for kind in kinds)


def _share(kinds: Iterable[HostKind]) -> int | None:
    """Bytes of a device; None where there is none."""
    return min((_of_device(kind) for kind in kinds if kind.gpus), default=None)


def _of_device(kind: HostKind) -> int:
    return int(kind.gpu_memory / ((kind.models_per_gpu or 1) + KEPT))


def _host_share(kinds: Iterable[HostKind]) -> int:
    return int(min(kind.memory for kind in kinds if not kind.gpus) / (1 + KEPT))


def _misfits(kinds: Sequence[HostKind], models: Mapping[str, Model]) -> Iterator[str]:
    fleet = Fleet(hosts={host.id: HostState(host) for host in hosts(kinds)})
    by_need: dict[Need, list[str]] = {}
    for name, model in models.items():
        by_need.setdefault(need(model, kinds), []).append(name)
    for each, names in by_need.items():
        if (why := never_fits(fleet, each, frozenset())) is not None:
            yield (
                f"{_some(names)} fits on no host of simulation.hosts: {why}; lower its `gpus`, `gpu_memory` or "
                "`memory`, or add a host that is large enough"
            )


def _assumed(kinds: Sequence[HostKind], models: Mapping[str, Model]) -> Iterator[str]:
    bare = [n for n, m in models.items() if _takes_none(m, kinds) and m.memory is None]
    if bare:
        yield (
            f"{_some(bare)} is taken to need {format_size(_host_share(kinds))} of host memory, which fits once on the "
            "smallest host without a GPU, until `memory` says what it needs"
        )
    size = _share(kinds)
    silent = [n for n, m in models.items() if not _takes_none(m, kinds) and m.gpu_memory is None]
    if silent and size is not None and len({_of_device(kind) for kind in kinds if kind.gpus}) > 1:
        yield (
            f"{_some(silent)} is taken to need {format_size(size)} of a GPU, which fits on the smallest of the pool, "
            "until `gpu_memory` says what it needs; a larger GPU has more of it awake at once"
        )


def _free(kinds: Iterable[HostKind]) -> Iterator[str]:
    for kind in kinds:
        if not kind.gpus and kind.hour_usd is None:
            yield f"hosts of the kind {kind.name} cost nothing here: they have no GPU, and no `hour_usd` is set"


def _some(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"each of {names[0]} and {len(names) - 1:,} more"
