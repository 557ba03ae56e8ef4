"""What this machine has to give to replicas."""

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import psutil

from pilotlight.errors import ConfigError, Problem
from pilotlight.fleet.deployment import Device, Host
from pilotlight.spec.model import Config, Gpu

log = logging.getLogger(__name__)

RESERVE = 0.10
"""The share of the memory available at start that is left to everything else [G]."""

_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")
_FILES = {
    "": ("", "memory.max", "memory.current"),
    "memory": ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
}
"""By the controllers of a line of `_OWN_GROUPS`, of version 2 of control groups (one hierarchy for all) and of version
1: the folder, and the files of the limit and of what is taken."""


class Inventory:
    """What there is, each measured once, the first time that somebody asks.

    Once, because later the replicas' own share would be missing from it.
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        self._visible = env.get("CUDA_VISIBLE_DEVICES")

    @cached_property
    def _memory(self) -> int:
        return available_memory()

    @cached_property
    def _gpus(self) -> dict[int, int]:
        return measured_gpus(self._visible)

    def host(self, config: Config) -> Host:
        """The budgets: as configured, else as measured. Raises ConfigError when `gpus` names what is not there."""
        return Host("local", config.memory or self._memory, self._devices(config.gpus))

    def _devices(self, wanted: str | tuple[int | Gpu, ...]) -> tuple[Device, ...]:
        if isinstance(wanted, str):  # auto
            return tuple(Device(i, free) for i, free in self._gpus.items())
        found: list[Device] = []
        for gpu in wanted:
            if isinstance(gpu, Gpu):
                found.append(Device(gpu.id, gpu.memory))
            elif gpu in self._gpus:
                found.append(Device(gpu, self._gpus[gpu]))
            else:
                listed = ", ".join(map(str, self._gpus)) or "none"
                text = f"there is no GPU {gpu}; NVML lists {listed}. State one by hand as {{id: {gpu}, memory: 24GiB}}"
                raise ConfigError([Problem("the configuration", 0, "gpus", text)])
        return tuple(found)


def available_memory() -> int:
    """Bytes that replicas may take: what is free for this process, less a reserve."""
    return int(free_memory() * (1 - RESERVE))


def free_memory() -> int:
    """Bytes that this process can get, the limits of its control groups heeded, as of a container or a unit of systemd;
    what the kernel can let go of at once, such as files that were read a while ago, is free. About 0.3 ms."""
    return min((psutil.virtual_memory().available, *_rooms()))


def _rooms() -> Iterator[int]:
    """Bytes that are left in each control group above this process that has a limit."""
    for folder, limit, usage in _own_groups():
        with contextlib.suppress(OSError, ValueError):  # out of sight from in here, or "max"
            room = int((folder / limit).read_text()) - int((folder / usage).read_text())
            yield max(0, room + _idle_files(folder / "memory.stat"))


def _own_groups() -> Iterator[tuple[Path, str, str]]:
    """Folder, and the names of the two files; each with those above it."""
    with contextlib.suppress(OSError):
        for line in _OWN_GROUPS.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers in _FILES:
                folder, limit, usage = _FILES[controllers]
                root = _GROUPS / folder
                for at in (path, *map(str, Path(path).parents)):
                    yield root / at.lstrip("/"), limit, usage


def _idle_files(stat: Path) -> int:
    """Bytes of a group's files that lie in memory and nobody has used lately."""
    told = dict(line.split() for line in stat.read_text().splitlines())
    return int(told.get("total_inactive_file", told.get("inactive_file", 0)))


def measured_gpus(visible: str | None) -> dict[int, int]:
    """Free bytes of each device that `visible` (CUDA_VISIBLE_DEVICES) leaves; empty without an NVIDIA driver."""
    try:
        import pynvml  # noqa: PLC0415 - 70 ms that a machine without a GPU need not pay

        pynvml.nvmlInit()
    except Exception as e:  # the library raises its own errors, and OSError where the driver is missing
        log.debug("no NVML: %s", e)
        return {}
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        names = [str(pynvml.nvmlDeviceGetUUID(h)) for h in handles]
        allowed = visible_indices(visible, names)
        return {i: int(pynvml.nvmlDeviceGetMemoryInfo(handles[i]).free) for i in allowed}
    except pynvml.NVMLError as e:
        log.warning("the GPUs cannot be listed (%s); state them by hand under `gpus`", e)
        return {}
    finally:
        pynvml.nvmlShutdown()


def visible_indices(visible: str | None, uuids: Sequence[str]) -> list[int]:
    """Indices of the devices that CUDA_VISIBLE_DEVICES leaves, which names them by index or by (the start of a) UUID;
    as CUDA does, what follows a name that is none is left out."""
    if visible is None:
        return list(range(len(uuids)))
    found: list[int] = []
    for name in filter(None, (part.strip() for part in visible.split(","))):
        matches = [
            i for i, uuid in enumerate(uuids) if name == str(i) or (len(name) > 4 and uuid.startswith(name))
        ]
        if not matches:
            break
        found += [i for i in matches[:1] if i not in found]
    return found
