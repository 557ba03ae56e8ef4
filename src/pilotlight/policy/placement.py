"""Where a replica fits, and whether it ever can."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set

import msgspec

from pilotlight.fleet.deployment import Device, Host, Need
from pilotlight.fleet.fleet import Fleet, Replica
from pilotlight.fleet.host import HostState
from pilotlight.fleet.states import GOING
from pilotlight.units import format_size


class Place(msgspec.Struct, frozen=True):
    host: str
    devices: tuple[int, ...]
    gpu_memory: tuple[int, ...]


class Claims(msgspec.Struct, frozen=True):
    """Bytes and addresses kept free for those who have waited longer."""

    memory: Mapping[str, int] = {}
    """By host: who waits for memory claims it wherever there is enough."""
    devices: Mapping[int, int] = {}
    """By device; no two hosts have one of the same number."""
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


class Freed:
    """The sum of what is counted as free already; one that sleeps counts once, also as the one that is to be woken."""

    __slots__ = ("devices", "gone", "memory")

    def __init__(self, less: Iterable[Less] = ()) -> None:
        self.memory: dict[str, int] = {}
        """Bytes, by host."""
        self.devices: dict[str, dict[int, int]] = {}
        """Bytes on each device, by host."""
        self.gone: set[str] = set()
        """Ids of those whose address is free too."""
        for x in less:
            self.add(x)

    def add(self, x: Less, times: int = 1) -> None:
        """As often as `times`; -1 takes it back."""
        r = x.replica
        host = r.host
        self.memory[host] = self.memory.get(host, 0) + times * x.memory
        if x.gpu_memory:
            on = self.devices.setdefault(host, {})
            for device, size in zip(r.devices, x.gpu_memory, strict=True):
                on[device] = on.get(device, 0) + times * size
        if not x.gone:
            return
        if times > 0:
            self.gone.add(r.id)
        else:
            self.gone.discard(r.id)

    def remove(self, x: Less) -> None:
        self.add(x, -1)

    def and_of(self, replicas: Sequence[Replica]) -> "Freed":
        """With these gone, too."""
        more = Freed()
        more.memory, more.gone = self.memory.copy(), self.gone.union([r.id for r in replicas])
        more.devices = {host: on.copy() for host, on in self.devices.items()}
        for r in replicas:  # `add`, without a call for each
            more.memory[r.host] = more.memory.get(r.host, 0) + r.memory
            if any(r.gpu_memory):
                on = more.devices.setdefault(r.host, {})
                for device, size in zip(r.devices, r.gpu_memory, strict=True):
                    on[device] = on.get(device, 0) + size
        return more


NOTHING = Freed()


class Wish(msgspec.Struct, frozen=True):
    """Room for one replica: a new one anywhere, or one that sleeps where it is."""

    need: Need
    sleeper: Replica | None = None


def place(
    fleet: Fleet,
    wish: Wish,
    claims: Claims = NO_CLAIMS,
    less: Freed = NOTHING,
    *,
    overhead: bool = True,
) -> Place | None:
    """The first host with room, on its emptiest devices; None where there is none.

    `less`: what is counted as free already. Without `overhead`, so is what zygotes and primed processes take.
    """
    need, sleeper = wish.need, wish.sleeper
    own, asleep = 0, {}
    if sleeper is not None and sleeper.id not in less.gone:
        own, asleep = sleeper.memory, dict(zip(sleeper.devices, sleeper.gpu_memory, strict=True))
    for host in fleet.hosts.values():
        name = host.spec.id
        if sleeper is not None and sleeper.host != name:
            continue
        taken = host.memory + (host.overhead if overhead else 0) + claims.memory.get(name, 0)
        if taken - less.memory.get(name, 0) - own + need.memory > host.spec.memory:
            continue
        if sleeper is None and need.exclusive and _is_taken(fleet, host, need.exclusive, claims, less):
            continue
        devices = _devices(host, wish, claims, less.devices.get(name, {}), asleep)
        if devices is not None:
            sizes = [d.memory if need.gpu_memory is None else need.gpu_memory for d in devices]
            return Place(name, tuple([d.id for d in devices]), tuple(sizes))
    return None


def has_enough(host: Host, need: Need) -> bool:
    """Whether the host would do if nothing else were on it."""
    size = need.gpu_memory or 0
    return need.memory <= host.memory and sum(d.memory >= size for d in host.devices) >= need.gpus


def _is_taken(fleet: Fleet, host: HostState, address: str, claims: Claims, less: Freed) -> bool:
    """A replica has its address until it is gone, stopping and asleep included."""
    return address in claims.addresses or any(
        r.exclusive == address and r.host == host.spec.id and r.id not in less.gone
        for r in fleet.replicas.values()
    )


def _devices(
    host: HostState, wish: Wish, claims: Claims, freed: Mapping[int, int], asleep: Mapping[int, int]
) -> list[Device] | None:
    """`freed`: bytes of each that are counted as free; `asleep`: and of the sleeper's."""
    need, sleeper = wish.need, wish.sleeper
    if not need.gpus:
        return []
    taken, claimed = host.devices, claims.devices
    fits: list[tuple[int, int, Device]] = []
    for d in host.spec.devices:
        i, has = d.id, d.memory
        if sleeper is not None and i not in sleeper.devices:
            continue
        over = taken.get(i, 0) - has
        if claimed:  # each is empty more often than not
            over += claimed.get(i, 0)
        if freed:
            over -= freed.get(i, 0)
        if asleep:
            over -= asleep.get(i, 0)
        if over + (has if need.gpu_memory is None else need.gpu_memory) <= 0:
            fits.append((over, i, d))
    if len(fits) < need.gpus:
        return None
    fits.sort()
    return [d for _, _, d in fits[: need.gpus]]


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


def can_fit(fleet: Fleet, wish: Wish, kept: Set[str], *, overhead: bool = False) -> bool:
    """Whether there is room with everything gone but `kept`, the ids of the replicas that nothing may evict."""
    return place(fleet, wish, less=all_but(fleet, kept), overhead=overhead) is not None


def all_but(fleet: Fleet, kept: Set[str]) -> Freed:
    """Everything gone but `kept`, ids of replicas: without a look at each, for hosts know what all take."""
    freed = Freed()
    for name, host in fleet.hosts.items():
        freed.memory[name], freed.devices[name] = host.memory, host.devices.copy()
    for replica in kept:
        freed.remove(all_of(fleet.replicas[replica]))
    freed.gone = set(fleet.replicas).difference(kept)
    return freed


def never_fits(fleet: Fleet, need: Need, kept: Set[str]) -> str | None:
    """Why there can be no room for one more even with everything gone but `kept`; None when there can."""
    if can_fit(fleet, Wish(need), kept):
        return None
    stay = [r for r in fleet.replicas.values() if r.id in kept]
    for r in stay:
        if need.exclusive is not None and r.exclusive == need.exclusive:
            return f"it needs {need.exclusive}, which {r.id} has, and that one stays"
    held = sum(r.memory for r in stay)
    wants = f"needs {format_size(need.memory)} of host memory"
    if need.gpus:
        each = "all" if need.gpu_memory is None else format_size(need.gpu_memory)
        wants += f" and {each} of each of {need.gpus} GPU{'s' if need.gpus > 1 else ''}"
    said = _of_one if len(fleet.hosts) < 2 else _of_several
    stays = f", of which {format_size(held)} is held by replicas that stay" if held else ""
    return f"one replica {wants}; {said([h.spec for h in fleet.hosts.values()], stays, need)}"


def _of_one(hosts: Sequence[Host], stays: str, need: Need) -> str:
    has = f"the budget is {format_size(max((h.memory for h in hosts), default=0))}{stays}"
    if not need.gpus:
        return has
    devices = [f"{d.id} ({format_size(d.memory)})" for h in hosts for d in h.devices]
    return f"{has}; GPUs: {', '.join(devices) or 'none'}"


def _of_several(hosts: Sequence[Host], stays: str, need: Need) -> str:
    """Those that are alike together, by the name of the first."""
    alike: dict[tuple[int, tuple[int, ...]], list[str]] = {}
    for host in hosts:
        alike.setdefault((host.memory, tuple(d.memory for d in host.devices)), []).append(host.id)
    return f"the hosts have {', '.join(_has(*of, names) for of, names in alike.items())}{stays}"


def _has(memory: int, devices: Sequence[int], names: Sequence[str]) -> str:
    who = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1:,} like it"
    sizes = ", ".join(f"{n} of {format_size(size)}" for size, n in Counter(devices).items())
    return f"{format_size(memory)} and {f'GPUs: {sizes}' if sizes else 'no GPU'} ({who})"
