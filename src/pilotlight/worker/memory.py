"""What processes really take."""

import functools
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import psutil

Measure = Callable[[Collection[int], Collection[int]], tuple[int, int | None]]
"""(pids, devices) -> bytes of host memory, bytes on the device where they take most."""


def measure(pids: Collection[int], devices: Collection[int]) -> tuple[int, int | None]:
    return host_memory(pids), gpu_memory(pids, devices)


def host_memory(pids: Collection[int]) -> int:
    """Bytes of proportional set size, so that pages shared between replicas count once; blocking, about 1 ms.

    Where the kernel does not tell (macOS, another user's process) the resident set. A process that has gone
    counts nothing.
    """
    return sum(_proportional(pid) for pid in pids)


def _proportional(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    try:
        return psutil.Process(pid).memory_info().rss
    except psutil.Error:
        return 0


def gpu_memory(pids: Collection[int], devices: Collection[int]) -> int | None:
    """Bytes on that of the devices where the processes take most; None where NVML cannot tell."""
    nvml = _nvml() if devices else None
    if nvml is None:
        return None
    try:
        return max(_on_device(nvml, device, pids) for device in devices) or None
    except nvml.NVMLError:
        return None


def _on_device(nvml: Any, device: int, pids: Collection[int]) -> int:
    handle = nvml.nvmlDeviceGetHandleByIndex(device)
    running = nvml.nvmlDeviceGetComputeRunningProcesses(handle)
    return sum(p.usedGpuMemory or 0 for p in running if p.pid in pids)


@functools.cache
def _nvml() -> Any:
    """The library, or None on a machine without an NVIDIA driver; looked for once, on the first need."""
    try:
        import pynvml  # noqa: PLC0415  pyright: ignore[reportMissingTypeStubs]
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml
