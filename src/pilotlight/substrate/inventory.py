"""What this machine has to give to replicas."""

import logging
from pathlib import Path

import psutil

from pilotlight.errors import ConfigError, Problem
from pilotlight.fleet.deployment import Device, Host
from pilotlight.spec.model import Config, Gpu

log = logging.getLogger(__name__)

RESERVE = 0.10
"""The share of the memory available at start that is left to everything else [G]."""

_LIMITS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (
        Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
        Path("/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ),
)


def host(config: Config) -> Host:
    """The budgets: as configured, else as measured now. Raises ConfigError when `gpus` names what is not there."""
    return Host("local", config.memory or available_memory(), devices(config.gpus))


def available_memory() -> int:
    """Bytes that replicas may take: what is available to this process, containers' limits heeded, less a reserve."""
    free = psutil.virtual_memory().available
    for limit, usage in _LIMITS:
        try:
            room = int(limit.read_text()) - int(usage.read_text())
        except (OSError, ValueError):  # no such controller, or "max"
            continue
        free = min(free, max(room, 0))
    return int(free * (1 - RESERVE))


def devices(wanted: str | tuple[int | Gpu, ...]) -> tuple[Device, ...]:
    """The GPUs that replicas may use, each with the memory that is free on it now, or as it was stated."""
    if wanted == "auto":
        return tuple(Device(i, free) for i, free in _nvml().items())
    assert not isinstance(wanted, str)
    measured = _nvml() if any(isinstance(g, int) for g in wanted) else {}
    found: list[Device] = []
    for gpu in wanted:
        if isinstance(gpu, Gpu):
            found.append(Device(gpu.id, gpu.memory))
        elif gpu in measured:
            found.append(Device(gpu, measured[gpu]))
        else:
            listed = ", ".join(map(str, measured)) or "none"
            text = f"there is no GPU {gpu}; NVML lists {listed}. State one by hand as {{id: {gpu}, memory: 24GiB}}"
            raise ConfigError([Problem("the configuration", 0, "gpus", text)])
    return tuple(found)


def _nvml() -> dict[int, int]:
    """Free bytes of each device; empty where there is no NVIDIA driver."""
    try:
        import pynvml  # noqa: PLC0415 - 70 ms that a machine without a GPU need not pay

        pynvml.nvmlInit()
    except Exception as e:  # the library raises its own errors, and OSError where the driver is missing
        log.debug("no NVML: %s", e)
        return {}
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        return {i: int(pynvml.nvmlDeviceGetMemoryInfo(h).free) for i, h in enumerate(handles)}
    except pynvml.NVMLError as e:
        log.warning("the GPUs cannot be listed (%s); state them by hand under `gpus`", e)
        return {}
    finally:
        pynvml.nvmlShutdown()
