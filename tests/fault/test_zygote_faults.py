"""Zygotes that fail, hang and are killed; their forks are owned, stopped and told of whatever becomes of them."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from fault.guardian_kit import (
    EVASIVE,
    alive,
    linux_only,
    local,
    marked,
    members,
    nothing_is_left,
    until_async,
)
from fault.zygote_kit import FAMILY_OF_A_FORK, fork, forks, preload, ready, spares, without_spare
from pilotlight.errors import ZygoteUnavailable
from pilotlight.ports import Exit
from pilotlight.substrate.local import LocalSubstrate, zygotes
from pilotlight.substrate.local.process import LocalProcess
from pilotlight.worker.memory import host_memory
from pilotlight_guest import guardian_proc as proc

__all__ = ["local", "nothing_is_left"]  # fixtures
pytestmark = linux_only


async def test_one_that_is_killed_is_made_again_when_it_is_asked_for(
    tmp_path: Path, local: LocalSubstrate
) -> None:
    toy = preload(tmp_path)
    first = await ready(local, tmp_path, toy)
    os.kill(first, signal.SIGKILL)
    with pytest.raises(ZygoteUnavailable):
        await local.spawn(fork(tmp_path, toy))  # at once, before anybody could notice
    await until_async(lambda: not local.zygotes(), "its end was noticed")
    with pytest.raises(ZygoteUnavailable, match="was killed by signal 9"):
        await local.spawn(fork(tmp_path, toy))
    assert await ready(local, tmp_path, toy) != first
    process = await local.spawn(fork(tmp_path, toy))
    assert await process.stop(1) == Exit(signal=signal.SIGTERM)


async def test_killed_with_many_forks_in_flight_each_is_owned_or_told_of(
    tmp_path: Path, local: LocalSubstrate
) -> None:
    toy = preload(tmp_path)
    for delay in (0.0, 0.003, 0.01, 0.02):
        pid = await ready(local, tmp_path, toy)
        starts = [asyncio.create_task(local.spawn(fork(tmp_path, toy))) for _ in range(20)]
        await asyncio.sleep(delay)
        os.kill(pid, signal.SIGKILL)
        outcomes = await asyncio.gather(*starts, return_exceptions=True)
        made = [o for o in outcomes if isinstance(o, LocalProcess)]
        refused = [o for o in outcomes if isinstance(o, ZygoteUnavailable)]
        assert len(made) + len(refused) == 20, outcomes
        for process in made:
            assert process.pid in process.pids() or process._exit.done()
        await asyncio.wait_for(asyncio.gather(*(process.stop(0) for process in made)), 10)
        await local.end_zygotes()
        await until_async(lambda: len(marked(tmp_path)) == 1, "the guardian is alone")
        local._zygotes._lines.clear()  # without the wait that repeated ends bring


def parent(pid: int) -> int:
    found = proc.stat(pid)
    assert found is not None
    return found.parent


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_killed_between_a_request_and_its_hand_over(
    tmp_path: Path, local: LocalSubstrate, moment: str
) -> None:
    code = """
real, once = os.fork, os.environ["ONCE"]
def fork():
    first = os.path.exists(once)
    if first:
        os.unlink(once)
    if first and os.environ["MOMENT"] == "before":
        os.kill(os.getpid(), 9)
    pid = real()
    if first and pid:
        os.kill(os.getpid(), 9)
    return pid
os.fork = fork
"""
    once = tmp_path / "once"
    toy = preload(tmp_path, env=(("PRELOAD", code), ("MOMENT", moment), ("ONCE", str(once))))
    await without_spare(await ready(local, tmp_path, toy))
    once.touch()
    try:
        process = await local.spawn(fork(tmp_path, toy))
    except ZygoteUnavailable:
        pass
    else:
        assert moment == "after"
        assert process.pid in process.pids()
        assert await process.stop(1) == Exit(signal=signal.SIGTERM)
    await until_async(lambda: len(marked(tmp_path)) == 1, "the guardian is alone")
    await ready(local, tmp_path, toy)
    process = await local.spawn(fork(tmp_path, toy))
    await process.stop(0)


async def test_a_keeper_that_was_forked_ahead_is_used_and_another_one_follows(
    tmp_path: Path, local: LocalSubstrate
) -> None:
    toy = preload(tmp_path)
    zygote = await ready(local, tmp_path, toy)
    for _ in range(3):
        await until_async(lambda: spares(zygote), "a keeper is forked ahead")
        ahead = spares(zygote)
        process = await local.spawn(fork(tmp_path, toy))
        assert [process.keeper] == ahead
        await process.stop(0)


async def test_a_keeper_that_was_forked_ahead_and_killed_is_not_missed(
    tmp_path: Path, local: LocalSubstrate
) -> None:
    toy = preload(tmp_path)
    zygote = await ready(local, tmp_path, toy)
    await until_async(lambda: spares(zygote), "a keeper is forked ahead")
    (ahead,) = spares(zygote)
    os.kill(zygote, signal.SIGSTOP)  # it is to see the order and the end in one go
    starting = asyncio.create_task(local.spawn(fork(tmp_path, toy)))
    await asyncio.sleep(0.05)
    os.kill(ahead, signal.SIGKILL)
    await until_async(lambda: not alive(ahead), "it is gone")
    os.kill(zygote, signal.SIGCONT)
    process = await starting
    assert process.keeper != ahead
    await process.stop(0)


async def test_a_keeper_that_hangs_with_its_order_costs_the_zygote_and_never_serves(
    tmp_path: Path, local: LocalSubstrate, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = preload(tmp_path)
    zygote = await ready(local, tmp_path, toy)
    await until_async(lambda: spares(zygote), "a keeper is forked ahead")
    (ahead,) = spares(zygote)
    os.kill(ahead, signal.SIGSTOP)
    monkeypatch.setattr(zygotes, "_ANSWER_LIMIT", 0.2)
    with pytest.raises(ZygoteUnavailable, match=r"did not answer within 0\.2 s"):
        await local.spawn(fork(tmp_path, toy, "open(os.environ['FOLDER'] + '/served', 'w')"))
    await until_async(lambda: len(marked(tmp_path)) == 1, "it is given up, and the guardian is alone")
    assert not alive(zygote) and not alive(ahead)
    assert not (tmp_path / "served").exists()


async def test_a_fork_outlives_its_zygote_and_is_owned_as_before(
    tmp_path: Path, local: LocalSubstrate
) -> None:
    toy = preload(tmp_path)
    pid = await ready(local, tmp_path, toy)
    stopped = await local.spawn(fork(tmp_path, toy, FAMILY_OF_A_FORK))
    crashed = await local.spawn(fork(tmp_path, toy, log=tmp_path / "other.log"))
    pids = members(tmp_path, *EVASIVE)
    os.kill(pid, signal.SIGKILL)
    await until_async(lambda: not local.zygotes(), "its end was noticed")
    assert set(stopped.pids()) >= {*pids, stopped.pid}
    os.kill(crashed.pid, signal.SIGSEGV)
    assert await asyncio.wait_for(crashed.wait(), 5) == Exit(signal=signal.SIGSEGV)
    assert await asyncio.wait_for(stopped.stop(0.1), 5) == Exit(signal=signal.SIGTERM)
    assert not any(map(alive, pids))
    await until_async(lambda: len(marked(tmp_path)) == 1, "its keeper went with the last fork")


async def test_those_that_are_let_go_of_leave_their_forks_alone(
    tmp_path: Path, local: LocalSubstrate
) -> None:
    toy = preload(tmp_path)
    pid = await ready(local, tmp_path, toy)
    process = await local.spawn(fork(tmp_path, toy))
    await local.end_zygotes()
    assert not alive(pid), "its memory is free"
    assert not local.zygote_ready(toy)
    with pytest.raises(ZygoteUnavailable, match="let go of"):
        await local.spawn(fork(tmp_path, toy))
    assert alive(process.pid)
    again = await ready(local, tmp_path, toy)
    assert again != pid, "and there was no wait, since nothing had failed"
    assert await process.stop(1) == Exit(signal=signal.SIGTERM)


@pytest.mark.parametrize("zygote_lives", [True, False])
async def test_a_keeper_of_a_fork_that_is_killed_takes_all_below_it_along(
    tmp_path: Path, local: LocalSubstrate, zygote_lives: bool
) -> None:
    toy = preload(tmp_path)
    pid = await ready(local, tmp_path, toy)
    other = await local.spawn(fork(tmp_path, toy, log=tmp_path / "other.log"))
    process = await local.spawn(fork(tmp_path, toy, FAMILY_OF_A_FORK))
    pids = members(tmp_path, *EVASIVE)
    if not zygote_lives:
        os.kill(pid, signal.SIGKILL)
        await until_async(lambda: not local.zygotes(), "its end was noticed")
    os.kill(process.keeper, signal.SIGKILL)
    assert await asyncio.wait_for(process.wait(), 5) == Exit()
    assert not any(map(alive, pids))
    assert list(other.pids()) == [other.pid, other.keeper]
    assert local.zygote_ready(toy) == zygote_lives


async def test_the_keeper_of_a_zygote_killed_leaves_the_forks_to_the_guardian(
    tmp_path: Path, local: LocalSubstrate
) -> None:
    toy = preload(tmp_path)
    pid = await ready(local, tmp_path, toy)
    process = await local.spawn(fork(tmp_path, toy, FAMILY_OF_A_FORK))
    pids = members(tmp_path, *EVASIVE)
    found = proc.stat(pid)
    assert found is not None
    os.kill(found.parent, signal.SIGKILL)
    await until_async(lambda: not local.zygotes(), "its end was noticed")
    assert not alive(pid)
    assert set(process.pids()) >= {*pids, process.pid}
    assert await asyncio.wait_for(process.stop(0.1), 5) == Exit(signal=signal.SIGTERM)
    assert not any(map(alive, pids))


@pytest.mark.parametrize("zygote_lives", [True, False])
async def test_close_does_not_wait_for_a_keeper_that_does_not_act(
    tmp_path: Path, local: LocalSubstrate, monkeypatch: pytest.MonkeyPatch, zygote_lives: bool
) -> None:
    """With what was forked from it below it, which keeps it from its end otherwise."""
    toy = preload(tmp_path)
    pid = await ready(local, tmp_path, toy)
    process = await local.spawn(fork(tmp_path, toy, FAMILY_OF_A_FORK))
    pids = members(tmp_path, *EVASIVE)
    keeper = parent(pid)
    if not zygote_lives:
        await local.end_zygotes()
    monkeypatch.setattr("pilotlight.substrate.local.process._KEEPER_LIMIT", 0.3)
    os.kill(keeper, signal.SIGSTOP)
    try:
        await asyncio.wait_for(local.close(), 10)
    finally:
        proc.send(keeper, signal.SIGCONT)  # or the fixture waits for ever
    assert process._exit.done()
    assert not any(map(alive, (pid, keeper, *pids)))


async def test_let_go_of_under_a_keeper_that_does_not_act_it_ends_and_its_forks_go_on(
    tmp_path: Path, local: LocalSubstrate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pilotlight.substrate.local.process._KEEPER_LIMIT", 0.1)
    toy = preload(tmp_path)
    pid = await ready(local, tmp_path, toy)
    process = await local.spawn(fork(tmp_path, toy))
    os.kill(parent(pid), signal.SIGSTOP)
    await asyncio.wait_for(local.end_zygotes(), 5)
    assert not alive(pid)
    assert process.pid in process.pids()
    assert await process.stop(1) == Exit(signal=signal.SIGTERM)


async def test_the_keeper_of_one_that_was_let_go_of_stays_for_its_forks(
    tmp_path: Path, local: LocalSubstrate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pilotlight.substrate.local.process._KEEPER_LIMIT", 2.0)
    toy = preload(tmp_path)
    keeper = parent(await ready(local, tmp_path, toy))
    process = await local.spawn(fork(tmp_path, toy))
    await local.end_zygotes()
    await asyncio.sleep(2.2)  # past the limit
    assert alive(keeper) and alive(process.pid)
    await process.stop(0)
    await until_async(lambda: not alive(keeper), "it went with the last fork")


# -- what it shares and is let go of ------------------------------------------------------------------------------


async def test_nothing_that_holds_memory_of_a_zygote_is_left_out_of_account(
    tmp_path: Path, local: LocalSubstrate
) -> None:
    toy = preload(tmp_path, code="held = bytearray(os.urandom(1 << 20)) * 50")
    pid = await ready(local, tmp_path, toy)
    await until_async(lambda: spares(pid), "a keeper is forked ahead")
    assert host_memory(local.zygotes()[0].pids) > 50 << 20
    processes = [await local.spawn(fork(tmp_path, toy, log=tmp_path / f"{n}.log")) for n in range(2)]
    await until_async(lambda: spares(pid), "another one follows")
    (zygote,) = local.zygotes()
    assert host_memory([*zygote.pids, *(pid for p in processes for pid in p.pids())]) > 50 << 20
    await local.end_zygotes()
    await until_async(lambda: not any(map(alive, zygote.pids)), "what it had forked ahead goes with it")
    assert host_memory([pid for p in processes for pid in p.pids()]) > 50 << 20
    for process in processes:
        await process.stop(0)
        assert list(process.pids()) == []


async def test_a_zygote_that_is_not_kept_is_gone_with_its_environment(
    tmp_path: Path, local: LocalSubstrate
) -> None:
    secret = preload(tmp_path, env=(("PRELOAD", ""), ("SECRET", "x")))
    pid = await ready(local, tmp_path, secret)
    local.keep_zygotes([preload(tmp_path)])
    await until_async(lambda: not alive(pid), "it is gone")


# -- it cannot fork ----------------------------------------------------------------------------------------------


async def test_no_process_to_be_had_is_told_at_once(tmp_path: Path, local: LocalSubstrate) -> None:
    """Root is above the limit of processes, so the fork itself is made to fail."""
    code = """
real = os.fork
def fork():
    if os.path.exists(os.environ["FULL"]):
        raise BlockingIOError(11, "Resource temporarily unavailable")
    return real()
os.fork = fork
"""
    full = tmp_path / "full"
    toy = preload(tmp_path, code=code, env=(("PRELOAD", code), ("FULL", str(full))))
    await without_spare(await ready(local, tmp_path, toy))
    full.touch()
    with pytest.raises(ZygoteUnavailable, match=r"could not fork: .*Resource temporarily unavailable"):
        await local.spawn(fork(tmp_path, toy))
    assert local.zygote_ready(toy)
    full.unlink()
    process = await local.spawn(fork(tmp_path, toy))
    await process.stop(0)


async def test_one_that_dies_of_every_fork_is_not_made_again_and_again(
    tmp_path: Path, local: LocalSubstrate
) -> None:
    toy = preload(tmp_path, code="os.fork = lambda: os.kill(os.getpid(), 9)")
    for _ in range(2):  # the first end costs no wait
        local.warm_zygote(toy, tmp_path / "zygote.log", {})
        assert local._zygotes._lines[toy].life
        await until_async(lambda: not local._zygotes._lines[toy].life, "its end was noticed")
        with pytest.raises(ZygoteUnavailable, match="killed by signal 9"):
            await local.spawn(fork(tmp_path, toy))
    local.warm_zygote(toy, tmp_path / "zygote.log", {})
    assert not local._zygotes._lines[toy].life, "not before a back-off has passed"


async def test_one_that_does_not_answer_is_given_up_and_its_late_fork_never_serves(
    tmp_path: Path, local: LocalSubstrate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zygotes._Line, "let_go", lambda line, why: None)  # else it is killed
    toy = preload(tmp_path)
    pid = await ready(local, tmp_path, toy)
    os.kill(pid, signal.SIGSTOP)
    with (
        monkeypatch.context() as patch,
        pytest.raises(ZygoteUnavailable, match=r"did not answer within 0\.2 s"),
    ):
        patch.setattr(zygotes, "_ANSWER_LIMIT", 0.2)
        await local.spawn(fork(tmp_path, toy, "open(os.environ['FOLDER'] + '/served', 'w')"))
    os.kill(pid, signal.SIGCONT)
    process = await local.spawn(fork(tmp_path, toy))  # comes after the late one
    await process.stop(0)
    await until_async(lambda: not forks(pid), "no fork is left")
    assert not (tmp_path / "served").exists()
    monkeypatch.undo()


async def test_one_that_does_not_answer_is_killed(
    tmp_path: Path, local: LocalSubstrate, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = preload(tmp_path)
    pid = await ready(local, tmp_path, toy)
    os.kill(pid, signal.SIGSTOP)
    monkeypatch.setattr(zygotes, "_ANSWER_LIMIT", 0.2)
    with pytest.raises(ZygoteUnavailable):
        await local.spawn(fork(tmp_path, toy))
    assert not local.zygote_ready(toy)
    await until_async(lambda: not alive(pid), "it is gone")
    monkeypatch.undo()
    assert await ready(local, tmp_path, toy) != pid


async def test_a_cancelled_fork_leaves_nothing(tmp_path: Path, local: LocalSubstrate) -> None:
    toy = preload(tmp_path)
    pid = await ready(local, tmp_path, toy)
    for delay in (0.0, 0.001, 0.003):
        start = asyncio.create_task(local.spawn(fork(tmp_path, toy, channel=True)))
        await asyncio.sleep(delay)
        start.cancel()
        (made,) = await asyncio.gather(start, return_exceptions=True)
        if not isinstance(made, BaseException):  # it was there before
            await made.stop(0)
        await until_async(lambda: not forks(pid), "no fork is left")
