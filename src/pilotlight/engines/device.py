"""What compiled code is good for: the kind of device it was compiled on. Asks NVML, which makes no CUDA context."""

import functools
import hashlib
import platform
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

CPU_INFO = Path("/proc/cpuinfo")


def kind(gpu: bool, devices: Collection[int]) -> str:
    """A name for files. Of devices that differ, and without assigned ones of all that there are, each kind once."""
    return of_gpus(tuple(sorted(devices))) if gpu else of_cpu()


@functools.cache
def of_gpus(devices: tuple[int, ...]) -> str:
    """Like NVIDIA-H200-sm90; `gpu` where NVML cannot tell. Once for each set: the first import takes 70 ms."""
    try:
        import pynvml  # noqa: PLC0415  pyright: ignore[reportMissingTypeStubs]

        pynvml.nvmlInit()
    except Exception:  # the library raises its own errors, and OSError where the driver is missing
        return "gpu"
    try:
        indices = devices or range(pynvml.nvmlDeviceGetCount())
        return "+".join(sorted({_gpu(pynvml, i) for i in indices})) or "gpu"
    except pynvml.NVMLError:
        return "gpu"
    finally:
        pynvml.nvmlShutdown()


def _gpu(nvml: Any, index: int) -> str:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
    return f"{re.sub(r'[^A-Za-z0-9.]+', '-', nvml.nvmlDeviceGetName(handle))}-sm{major}{minor}"


@functools.cache
def of_cpu() -> str:
    """Like cpu-x86_64-0a1b2c3d: the machine and what its first processor can do, as far as the system tells."""
    features = ""
    try:
        with CPU_INFO.open() as lines:
            features = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    except OSError:
        pass
    digest = hashlib.sha256(" ".join(sorted(features.split())).encode()).hexdigest()[:8]
    return f"cpu-{platform.machine()}-{digest}"
