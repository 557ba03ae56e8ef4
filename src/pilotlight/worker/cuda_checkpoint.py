"""NVIDIA's cuda-checkpoint, which takes a process off its GPUs, so that CRIU can dump it, and puts it back there.

Written from its documentation (github.com/NVIDIA/cuda-checkpoint) and never run on a GPU by us. It is for x86-64, needs
a driver of 550 or newer, and puts a process back on those devices alone that it was on.
"""

import os
import platform
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

from pilotlight.worker import criu

VARIABLE = "PILOTLIGHT_CUDA_CHECKPOINT"
"""Names the program, in place of looking for it on PATH."""

WHAT = "cuda-checkpoint or the driver of its GPU"
"""What `stamp` is of, for people."""

DRIVER = Path("/sys/module/nvidia/version")


def find() -> str | None:
    named = os.environ.get(VARIABLE)
    return (shutil.which(named) or named) if named else shutil.which("cuda-checkpoint")


def why_not() -> str:
    """Why nothing that uses GPUs can be dumped here, one sentence without its full stop; empty when it may."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return "cuda-checkpoint is for x86-64"
    program = find()
    if program is None:
        return f"models on GPUs need cuda-checkpoint, which was not found on PATH; name it in {VARIABLE}"
    return "" if shutil.which(program) else f"cuda-checkpoint ({program}) cannot be run"


def why_no_snapshots(gpus: int) -> str:
    """Why what uses so many GPUs can neither be dumped nor restored here; empty when it can."""
    return criu.why_not() or (why_not() if gpus else "")


def told(devices: Collection[int]) -> Mapping[str, str]:
    """For an engine that is to be dumped or was restored, beside its order."""
    return {"cuda": find() or "cuda-checkpoint"} if devices else {}


def stamp() -> str:
    """Differs when the program or the driver does."""
    program = find() or ""
    try:
        found = Path(program).stat()
        mark = f"{found.st_size} {found.st_mtime_ns}"
    except OSError:
        mark = ""
    return f"{program} {mark} {_driver()}"


def _driver() -> str:
    try:
        return DRIVER.read_text().strip()
    except OSError:
        return ""
