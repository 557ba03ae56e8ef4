"""What processes really take: of the host what is their share of it, of a device what NVML says of them."""

import os
import signal
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from pilotlight.worker import memory
from pilotlight.worker.memory import gpu_memory, host_memory, measure

SIZE = 64 << 20


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere it is the resident set")
def test_what_several_share_counts_once() -> None:
    before = host_memory([os.getpid()])
    held = bytearray(b"x") * SIZE
    alone = host_memory([os.getpid()]) - before
    assert SIZE <= alone < 1.2 * SIZE
    forks = [_fork() for _ in range(3)]
    try:
        together = host_memory([os.getpid(), *forks])
        assert together < before + 1.5 * SIZE, "and not four times"
        assert host_memory(forks[:1]) < (before + SIZE) / 2
    finally:
        for pid in forks:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    assert host_memory(forks) == 0, "what has gone takes nothing"
    assert len(held) == SIZE


def _fork() -> int:
    pid = os.fork()
    if not pid:
        signal.pause()
    return pid


def nvml(*devices: dict[int, int | None]) -> Any:
    """Devices, and how many bytes each process takes of them."""

    def handle(index: int) -> int:
        if index >= len(devices):
            raise RuntimeError("Invalid Argument")
        return index

    return SimpleNamespace(
        NVMLError=RuntimeError,
        nvmlDeviceGetHandleByIndex=handle,
        nvmlDeviceGetComputeRunningProcesses=lambda at: [
            SimpleNamespace(pid=pid, usedGpuMemory=size) for pid, size in devices[at].items()
        ],
    )


@pytest.mark.parametrize(
    ("pids", "devices", "found"),
    [
        ([1], [0], 100),
        ([1, 2], [0], 130),
        ([1, 2], [0, 1], 500),
        ([1, 2], [], None),
        ([3], [0, 1], None),
        ([4], [0], None),
        ([1], [7], None),
    ],
    ids=[
        "its own",
        "of its processes",
        "where most is",
        "no device",
        "unknown to NVML",
        "not told",
        "no such device",
    ],
)
def test_of_a_device_counts_what_its_own_processes_take(
    pids: list[int], devices: list[int], found: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = nvml({1: 100, 2: 30, 4: None, 9: 7000}, {2: 500})
    monkeypatch.setattr(memory, "_nvml", lambda: library)
    assert gpu_memory(pids, devices) == found
    assert measure([], devices) == (0, None)
