"""Processes that end where vLLM would wait for them; what vLLM itself makes of it is in integration/test_vllm.py."""

import os
import queue
import subprocess
import sys
from collections.abc import Iterator

import pytest

from pilotlight_guest.vllm_watch import Ended, Watch


class Process:
    """One of multiprocessing's whose child lives on: the sentinel cannot be read before both have ended."""

    def __init__(self) -> None:
        self._popen = subprocess.Popen([sys.executable, "-I", "-S", "-c", "input()"], stdin=subprocess.PIPE)
        self.sentinel, self._held = os.pipe()
        self.pid = self._popen.pid

    @property
    def exitcode(self) -> int | None:
        return self._popen.poll()

    def kill(self) -> None:
        self._popen.kill()

    def close(self) -> None:
        self.kill()
        self._popen.communicate()
        os.close(self.sentinel)
        os.close(self._held)


@pytest.fixture
def process() -> Iterator[Process]:
    process = Process()
    yield process
    process.close()


def test_one_that_was_killed_is_told_whatever_holds_its_sentinel(process: Process) -> None:
    told: queue.Queue[Ended] = queue.Queue()
    Watch("engine", told.put).begin([process])
    process.kill()
    error = told.get(timeout=10)
    assert str(error).startswith("its engine was killed by signal 9, as the system does when memory runs out")
    assert error.killed


def test_once_it_is_over_nobody_is_told(process: Process) -> None:
    told: queue.Queue[Ended] = queue.Queue()
    watch = Watch("engine", told.put)
    watch.begin([process])
    process.kill()
    watch.over()  # within the patience: vLLM has told of it
    with pytest.raises(queue.Empty):
        told.get(timeout=1.5)


def test_where_there_is_none_there_is_nothing_to_watch() -> None:
    Watch("engine", lambda error: pytest.fail(str(error))).begin([])


@pytest.mark.parametrize(
    ("status", "said"),
    [(1, "exited with 1"), (-15, "was killed by signal 15"), (None, "has ended or was killed")],
)
def test_how_it_ended(status: int | None, said: str) -> None:
    assert str(Ended("worker", status)) == f"its worker {said}"
