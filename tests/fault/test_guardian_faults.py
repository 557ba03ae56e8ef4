"""Nothing outlives the server: real processes, killed in every way the local substrate has to survive."""

import asyncio
import json
import os
import random
import signal
import time
from pathlib import Path

import pytest

from fault.guardian_kit import (
    BEYOND_MARKS,
    EVASIVE,
    Server,
    alive,
    command,
    family,
    keeper_of,
    linux_only,
    local,
    marked,
    members,
    nothing_is_left,
    until,
    until_async,
)
from pilotlight.ports import Exit
from pilotlight.substrate.local import LocalSubstrate
from pilotlight_guest import guardian_proc as proc

__all__ = ["local", "nothing_is_left"]  # fixtures
pytestmark = linux_only


# -- the server is killed ------------------------------------------------------------------------------------


def test_nothing_survives_kill_9_of_the_server(tmp_path: Path) -> None:
    names = (*EVASIVE, BEYOND_MARKS)
    server = Server(tmp_path / "state", family(tmp_path, *names))
    pids = members(tmp_path, *names)
    assert all(map(alive, pids))
    server.kill()
    until(lambda: not any(map(alive, pids)), "the family is gone")


@pytest.mark.parametrize("after_ms", [0, 5, 15, 40])
def test_nothing_survives_a_kill_in_the_middle_of_starting(tmp_path: Path, after_ms: int) -> None:
    orders = [command(tmp_path, "sleep", "1000") for _ in range(6)]
    server = Server(tmp_path / "state", *orders, wait=False)
    time.sleep((after_ms + random.random() * 5) / 1000)
    server.kill()
    until(lambda: not marked(tmp_path), "all is gone")


def test_guardian_and_server_killed_together(tmp_path: Path) -> None:
    names = (*EVASIVE, BEYOND_MARKS)
    server = Server(tmp_path / "state", family(tmp_path, *names))
    pids = members(tmp_path, *names)
    (guardian,) = [p for p in proc.children(server.process.pid) if p in marked(tmp_path, commands=False)]
    os.kill(guardian, signal.SIGKILL)
    server.kill()
    until(lambda: not any(map(alive, pids)), "the family is gone")


def test_stop_commands_run_when_the_server_is_killed(tmp_path: Path) -> None:
    stop = ("sh", "-c", 'echo "$0" >stopped', "${PID}")
    server = Server(tmp_path / "state", family(tmp_path, stop_argv=stop))
    (main,) = members(tmp_path)
    server.kill()
    until(lambda: not marked(tmp_path), "all is gone")
    assert (tmp_path / "stopped").read_text() == f"{main}\n"
    assert not list((tmp_path / "state/run").glob("*.json*"))


# -- everything is killed, and the next server sweeps --------------------------------------------------------


def kill_all_that_watches(server: Server, folder: Path) -> None:
    """At one moment, so that none of them gets to act."""
    watchers = [server.process.pid, *marked(folder, commands=False)]
    for pid in watchers:
        os.kill(pid, signal.SIGSTOP)
    for pid in watchers:
        os.kill(pid, signal.SIGKILL)
    server.kill()


async def test_the_next_server_sweeps_when_guardian_and_keepers_were_killed_too(tmp_path: Path) -> None:
    stop = ("sh", "-c", 'echo "$0" >>stopped', "${PID}")
    server = Server(tmp_path / "state", family(tmp_path, *EVASIVE, stop_argv=stop))
    main, *others = members(tmp_path, *EVASIVE)
    kill_all_that_watches(server, tmp_path)
    await until_async(lambda: not alive(main), "the kernel kills the command")
    assert all(map(alive, others)), "this test needs something to sweep"
    stranger = LocalSubstrate(tmp_path / "other")
    assert await stranger.sweep() == 0
    await stranger.close()
    assert all(map(alive, others)), "another state folder is none of its business"

    substrate = LocalSubstrate(tmp_path / "state")
    assert await substrate.sweep() == len(others)
    assert not any(map(alive, others))
    stopped = (tmp_path / "stopped").read_text().split()
    assert len(stopped) == 1
    assert int(stopped[0]) > 2**30, "the pid may be somebody else's by now"
    assert not list((tmp_path / "state/run").glob("*.json*"))
    assert await substrate.sweep() == 0
    await substrate.close()
    assert len((tmp_path / "stopped").read_text().split()) == 1


async def test_a_sweep_waits_for_keepers_that_are_cleaning_up(tmp_path: Path) -> None:
    stop = ("sh", "-c", "sleep 0.3; echo done >stopped")
    server = Server(tmp_path / "state", family(tmp_path, *EVASIVE, stop_argv=stop))
    pids = members(tmp_path, *EVASIVE)
    server.kill()
    substrate = LocalSubstrate(tmp_path / "state")
    await substrate.sweep()
    assert not any(map(alive, pids))
    assert (tmp_path / "stopped").read_text() == "done\n"
    await substrate.close()


async def test_a_sweep_spares_another_living_server_of_the_same_folder(tmp_path: Path) -> None:
    server = Server(tmp_path / "state", family(tmp_path, "setsid-twice", stop_argv=("touch", "stopped")))
    pids = members(tmp_path, "setsid-twice")
    substrate = LocalSubstrate(tmp_path / "state")
    assert await substrate.sweep() == 0
    await substrate.close()
    assert all(map(alive, pids))
    assert not (tmp_path / "stopped").exists()
    server.kill()


async def test_torn_and_foreign_records_do_no_harm(tmp_path: Path) -> None:
    run = tmp_path / "state/run"
    run.mkdir(parents=True)
    (run / "torn.json").write_text('{"mark": "pl')
    (run / "half.json.new").write_text("")
    foreign = {"mark": "pl000000000000.00000000.1.1.1.1", "stop_argv": ["touch", str(tmp_path / "stopped")]}
    (run / "foreign.json").write_text(json.dumps(foreign))
    substrate = LocalSubstrate(tmp_path / "state")
    assert await substrate.sweep() == 0
    await substrate.close()
    assert not (tmp_path / "stopped").exists()
    assert [path.name for path in run.glob("*.json*")] == ["foreign.json"]


# -- the guardian or a keeper alone is killed ----------------------------------------------------------------


async def test_a_killed_guardian_is_replaced_and_replicas_run_on(
    tmp_path: Path, local: LocalSubstrate
) -> None:
    first = await local.spawn(family(tmp_path, *EVASIVE))
    pids = members(tmp_path, *EVASIVE)
    guardian = proc.stat(keeper_of(first))
    assert guardian is not None
    os.kill(guardian.parent, signal.SIGKILL)
    second = await local.spawn(command(tmp_path, "sleep", "1000"))  # at once, before anybody could notice
    assert all(map(alive, pids))
    assert set(first.pids()) == set(pids)
    assert await second.stop(1) == Exit(signal=signal.SIGTERM)
    assert await first.stop(0.1) == Exit(signal=signal.SIGKILL)
    assert not any(map(alive, pids))


@pytest.mark.parametrize("soon", [0.0, 2.0])
async def test_a_killed_guardian_is_replaced_before_anybody_asks(
    tmp_path: Path, local: LocalSubstrate, monkeypatch: pytest.MonkeyPatch, soon: float
) -> None:
    """One that ends right after it has begun, too, only not at once."""
    monkeypatch.setattr("pilotlight.substrate.local.substrate._SOON", soon)
    first = await local.spawn(family(tmp_path, *EVASIVE))
    guardian = proc.stat(keeper_of(first))
    assert guardian is not None
    before = set(children()) - {guardian.parent}
    os.kill(guardian.parent, signal.SIGKILL)
    async with asyncio.timeout(10):
        while not set(children()) - before - {guardian.parent}:
            await asyncio.sleep(0.01)
    await first.stop(0)


async def test_a_guardian_that_does_not_answer_is_replaced_and_replicas_run_on(
    tmp_path: Path, local: LocalSubstrate, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await local.spawn(family(tmp_path, *EVASIVE))
    pids = members(tmp_path, *EVASIVE)
    guardian = proc.stat(keeper_of(first))
    assert guardian is not None
    monkeypatch.setattr("pilotlight.substrate.local.substrate._ANSWER_LIMIT", 0.5)
    os.kill(guardian.parent, signal.SIGSTOP)
    second = await asyncio.wait_for(local.spawn(command(tmp_path, "sleep", "1000")), 10)
    assert all(map(alive, pids))
    assert not alive(guardian.parent)
    assert await second.stop(1) == Exit(signal=signal.SIGTERM)
    assert await first.stop(0.1) == Exit(signal=signal.SIGKILL)
    assert not any(map(alive, pids))


def children() -> list[int]:
    """Processes of this one that run."""
    found = {pid: proc.stat(pid) for pid in proc.descendants(os.getpid())}
    return [pid for pid, s in found.items() if s is not None and s.alive and s.parent == os.getpid()]


async def test_a_pipe_in_the_place_of_its_log_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "state" / "run").mkdir(parents=True)
    os.mkfifo(tmp_path / "state" / "run" / "guardian.log")
    substrate = LocalSubstrate(tmp_path / "state")
    process = await asyncio.wait_for(substrate.spawn(family(tmp_path)), 10)
    await process.stop(0)
    await substrate.close()


@pytest.mark.parametrize("reader", [False, True])
async def test_a_pipe_in_the_place_of_an_engines_log_keeps_nothing_waiting(
    reader: bool, tmp_path: Path, local: LocalSubstrate
) -> None:
    log = tmp_path / "engine.log"
    os.mkfifo(log)
    fd = os.open(log, os.O_RDONLY | os.O_NONBLOCK) if reader else -1  # which never reads
    script = "while :; do printf '%01000d' 1; test -e said || touch said; done"
    process = await local.spawn(command(tmp_path, "sh", "-c", script))
    until((tmp_path / "said").exists, "it has said something")
    assert await asyncio.wait_for(process.stop(5), 5) == Exit(signal=signal.SIGTERM)
    if reader:
        os.close(fd)


async def test_a_killed_keeper_takes_everything_below_it_along(tmp_path: Path, local: LocalSubstrate) -> None:
    other = await local.spawn(command(tmp_path, "sleep", "1000"))
    names = (*EVASIVE, BEYOND_MARKS)
    process = await local.spawn(family(tmp_path, *names, stop_argv=("touch", "stopped")))
    pids = members(tmp_path, *names)
    os.kill(keeper_of(process), signal.SIGKILL)
    assert await asyncio.wait_for(process.wait(), 5) == Exit()
    assert not any(map(alive, pids))
    assert (tmp_path / "stopped").exists()
    assert list(other.pids()) == [other.pid]


async def test_a_keeper_that_does_not_act_is_killed_in_the_end(
    tmp_path: Path, local: LocalSubstrate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pilotlight.substrate.local.process._KEEPER_LIMIT", 0.1)
    process = await local.spawn(family(tmp_path, *EVASIVE))
    pids = members(tmp_path, *EVASIVE)
    os.kill(keeper_of(process), signal.SIGSTOP)
    assert await asyncio.wait_for(process.stop(0.1), 5) == Exit()
    assert not any(map(alive, pids))


async def test_keeper_and_guardian_killed_while_the_server_lives(
    tmp_path: Path, local: LocalSubstrate
) -> None:
    process = await local.spawn(family(tmp_path, *EVASIVE))
    pids = members(tmp_path, *EVASIVE)
    keeper = keeper_of(process)
    found = proc.stat(keeper)
    assert found is not None
    os.kill(found.parent, signal.SIGKILL)
    os.kill(keeper, signal.SIGKILL)
    assert await asyncio.wait_for(process.wait(), 5) == Exit()
    assert not any(map(alive, pids))
    again = await local.spawn(command(tmp_path, "true"))
    assert await again.wait() == Exit(code=0)


async def test_a_cancelled_spawn_leaves_nothing(tmp_path: Path, local: LocalSubstrate) -> None:
    await (await local.spawn(command(tmp_path, "true"))).wait()
    for delay in (0.0, 0.001, 0.003):
        start = asyncio.create_task(local.spawn(command(tmp_path, "sleep", "1000", channel=True)))
        await asyncio.sleep(delay)
        start.cancel()
        (made,) = await asyncio.gather(start, return_exceptions=True)
        if not isinstance(made, BaseException):  # it was there before
            await made.stop(0)
        await until_async(lambda: len(marked(tmp_path)) == 1, "the guardian is alone")
