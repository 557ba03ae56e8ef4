"""Servers with zygotes that are killed leave nothing, or nothing that the next one does not sweep."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fault import guardian_kit
from fault.guardian_kit import (
    EVASIVE,
    Server,
    alive,
    linux_only,
    local,
    marked,
    members,
    nothing_is_left,
    until,
)
from fault.zygote_kit import FAMILY_OF_A_FORK, SERVER_WITH_A_ZYGOTE, fork, name, preload
from pilotlight.substrate.local import LocalSubstrate, zygotes
from pilotlight_guest import guardian_proc as proc

__all__ = ["local", "nothing_is_left"]  # fixtures
pytestmark = linux_only


@pytest.fixture
def with_a_zygote(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guardian_kit, "SERVER", SERVER_WITH_A_ZYGOTE)


def watchers(folder: Path) -> dict[int, str]:
    """Names by pid."""
    return {pid: name(pid) for pid in marked(folder, commands=False)}


def test_nothing_survives_kill_9_of_the_server(tmp_path: Path, with_a_zygote: None) -> None:
    toy = preload(tmp_path)
    stop = ("sh", "-c", "sleep 0.1; echo done >stopped")
    orders = [fork(tmp_path, toy, FAMILY_OF_A_FORK, stop_argv=stop), *[fork(tmp_path, toy) for _ in range(3)]]
    server = Server(tmp_path / "state", *orders)
    pids = members(tmp_path, *EVASIVE)
    server.kill()
    until(lambda: not any(map(alive, pids)), "the family is gone")
    until(lambda: not marked(tmp_path), "all is gone")
    assert (tmp_path / "stopped").read_text() == "done\n"


@pytest.mark.parametrize("after_ms", [0, 2, 5, 10, 20])
def test_nothing_survives_a_kill_in_the_middle_of_forking(
    tmp_path: Path, with_a_zygote: None, after_ms: int
) -> None:
    orders = [fork(tmp_path, preload(tmp_path)) for _ in range(12)]
    server = Server(tmp_path / "state", *orders, wait=False)
    time.sleep(after_ms / 1000)
    server.kill()
    until(lambda: not marked(tmp_path), "all is gone")


async def test_the_next_server_sweeps_zygotes_and_forks(tmp_path: Path, with_a_zygote: None) -> None:
    toy = preload(tmp_path)
    second = tmp_path / "second"  # two families in one folder would trip over each other's files
    second.mkdir()
    families = [fork(tmp_path, toy, FAMILY_OF_A_FORK, env={"FOLDER": str(f)}) for f in (tmp_path, second)]
    server = Server(tmp_path / "state", *families)
    pids = [pid for folder in (tmp_path, second) for pid in members(folder, *EVASIVE)]
    kinds = {"pl-guardian", "pl-keeper", "pl-zygote", "pl-spare"}
    until(lambda: set(watchers(tmp_path).values()) == kinds, "a mark tells who watches, also of a fork")
    all_of_them = [server.process.pid, *watchers(tmp_path)]
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in all_of_them:
            proc.send(pid, number)  # the end of one may be that of another
    server.kill()
    assert all(map(alive, pids)), "this test needs something to sweep"
    substrate = LocalSubstrate(tmp_path / "state")
    assert await substrate.sweep() >= len(EVASIVE)
    assert not any(map(alive, pids))
    await substrate.close()


def test_sigterm_to_all_of_them_means_the_server(tmp_path: Path, with_a_zygote: None) -> None:
    """As an init system sends it to a whole unit: forks and zygotes wait for what the server does."""
    server = Server(tmp_path / "state", fork(tmp_path, preload(tmp_path)))
    until(lambda: "pl-spare" in watchers(tmp_path).values(), "a keeper is forked ahead")
    ours = watchers(tmp_path)
    assert len(ours) == 5, "the guardian, the zygote, a keeper of each, and one of none"
    for pid in ours:
        os.kill(pid, signal.SIGTERM)
    time.sleep(0.1)
    assert all(map(alive, ours))
    server.kill()


def test_without_a_server_it_does_not_stay(tmp_path: Path) -> None:
    """Of a server that was gone before it began."""
    script = Path(zygotes.__file__).parents[3] / "pilotlight_guest/zygote.py"
    preload(tmp_path)
    near, far = __import__("socket").socketpair()
    near.close()
    done = subprocess.run(
        [sys.executable, "-I", "-S", script, "1", "toy", tmp_path], pass_fds=[far.fileno()],
        env={"PILOTLIGHT_CHANNEL": str(far.fileno())}, timeout=10, check=False, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    far.close()
    assert done.returncode == 1
