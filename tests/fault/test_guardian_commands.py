"""Commands that resist their end, fail to start or flood their log, as real processes."""

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

import pytest

from fault.guardian_kit import (
    BEYOND_MARKS,
    EVASIVE,
    FAMILY,
    alive,
    command,
    keeper_of,
    linux_only,
    local,
    marked,
    nothing_is_left,
    until_async,
)
from pilotlight.ports import Command, Exit
from pilotlight.substrate.local import LocalSubstrate
from pilotlight_guest import guardian_proc as proc

__all__ = ["local", "nothing_is_left"]  # fixtures
pytestmark = linux_only


# -- commands that resist ------------------------------------------------------------------------------------


async def test_a_stopped_command_acts_on_sigterm_and_can_be_killed(
    tmp_path: Path, local: LocalSubstrate
) -> None:
    script = "trap 'exit 7' TERM; echo up >ready; while :; do sleep 0.02; done"
    for grace, expected in ((60, Exit(code=7)), (0, Exit(signal=signal.SIGKILL))):
        process = await local.spawn(command(tmp_path, "sh", "-c", script))
        await until_async((tmp_path / "ready").exists, "its trap stands")
        (tmp_path / "ready").unlink()
        os.kill(process.pid, signal.SIGSTOP)
        assert await asyncio.wait_for(process.stop(grace), 20) == expected


HOPPER = """
# Never the same process for long.
import os, sys
while True:
    if os.fork():
        os._exit(0)
    if sys.argv[1] == "setsid":
        os.setsid()
"""
HYDRA = """
# 2^7 processes in as many sessions, each of which brings up two others when it can.
import os, time
for depth in range(7):
    time.sleep(0.01)
    if os.fork() == 0:
        os.setsid()
time.sleep(1000)
"""


@pytest.mark.parametrize(
    "argv", [(HOPPER, "plain"), (HOPPER, "setsid"), (HYDRA,)], ids=["hopper", "setsid-hopper", "hydra"]
)
async def test_a_fork_bomb_loses(tmp_path: Path, local: LocalSubstrate, argv: tuple[str, ...]) -> None:
    launcher = (
        "import os, sys\nif os.fork() == 0: exec(sys.argv.pop(1))\nelse:\n import time; time.sleep(1000)"
    )
    process = await local.spawn(command(tmp_path, sys.executable, "-I", "-S", "-c", launcher, *argv))
    await asyncio.sleep(0.06)  # the middle of its growth
    assert await asyncio.wait_for(process.stop(0), 5) == Exit(signal=signal.SIGKILL)
    assert len(marked(tmp_path)) <= 2, "the guardian, perhaps the keeper in its last moment"


async def test_leftovers_of_a_command_that_ended_are_gone_when_its_exit_is_told(
    tmp_path: Path, local: LocalSubstrate
) -> None:
    leaves = FAMILY.replace('stay("main")', 'say("main"); sys.exit(5)')
    names = (*EVASIVE, BEYOND_MARKS)
    process = await local.spawn(
        command(tmp_path, sys.executable, "-I", "-S", "-c", leaves, str(tmp_path), *names)
    )
    assert await asyncio.wait_for(process.wait(), 5) == Exit(code=5)
    there = [int((tmp_path / name).read_text()) for name in names if (tmp_path / name).exists()]
    assert not any(map(alive, there))
    assert len(marked(tmp_path)) <= 2


async def test_a_stop_command_that_hangs_does_not_hold_up_the_end_for_ever(
    tmp_path: Path, local: LocalSubstrate
) -> None:
    process = await local.spawn(command(tmp_path, "sleep", "1000", stop_argv=("sleep", "1000")))
    stop = asyncio.create_task(process.stop(30))
    await asyncio.sleep(0.02)
    assert await asyncio.wait_for(process.stop(0), 20) == Exit(signal=signal.SIGKILL)
    await stop


# -- what a command gets, and its log ------------------------------------------------------------------------


async def test_a_command_inherits_nothing_it_should_not(tmp_path: Path, local: LocalSubstrate) -> None:
    script = "ls /proc/self/fd | wc -l; grep -E 'SigBlk|SigIgn' /proc/self/status; ulimit -Sn; ulimit -Hn"
    other = await local.spawn(command(tmp_path, "sleep", "1000", log=tmp_path / "other.log", channel=True))
    process = await local.spawn(command(tmp_path, "bash", "-c", script))
    assert await process.wait() == Exit(code=0)
    fds, blocked, ignored, soft, hard = (tmp_path / "engine.log").read_text().splitlines()
    assert int(fds) == 4, "0, 1, 2 and the folder that ls reads"
    assert int(blocked.split()[1], 16) == 0
    # 32 and 33 are the C library's own, which lets nobody change them and sets them itself before it sends them;
    # its posix_spawn leaves them ignored, so that they may be so in whatever has started these tests.
    assert int(ignored.split()[1], 16) & sum(1 << number - 1 for number in signal.valid_signals()) == 0
    assert soft in (hard, str(1 << 20))
    assert other.channel is not None
    os.close(other.channel)


async def test_bytes_that_are_no_text_arrive_as_they_are(tmp_path: Path, local: LocalSubstrate) -> None:
    odd = os.fsdecode(b"\xff\xfe caf\xc3\xa9")
    env = {"PATH": os.environ["PATH"], "ODD": odd}
    process = await local.spawn(command(tmp_path, "sh", "-c", 'printf "%s|%s" "$0" "$ODD"', odd, env=env))
    await process.wait()
    assert (tmp_path / "engine.log").read_bytes() == b"\xff\xfe caf\xc3\xa9|\xff\xfe caf\xc3\xa9"


async def test_what_is_not_read_yet_when_the_log_changes_is_in_the_new_one(
    tmp_path: Path, local: LocalSubstrate
) -> None:
    """The old one is about to be removed."""
    script = "echo before; read go; echo why it failed; echo >said; sleep 1000"
    process = await local.spawn(command(tmp_path, "sh", "-c", f"mkfifo go; exec <>go; {script}"))
    old, new = tmp_path / "engine.log", tmp_path / "new.log"
    await until_async(lambda: old.exists() and old.read_text(), "it waits")
    keeper = keeper_of(process)
    os.kill(keeper, signal.SIGSTOP)
    await until_async(lambda: (found := proc.stat(keeper)) and found.state == b"T", "it stands still")
    (tmp_path / "go").write_text("\n")
    await until_async((tmp_path / "said").exists, "it has spoken")
    process.log_to(new)
    old.unlink()
    os.kill(keeper_of(process), signal.SIGCONT)
    await until_async(lambda: new.exists() and new.read_text(), "it is in the new log")
    assert new.read_text() == "why it failed\n"
    await process.stop(0)


async def test_a_flood_of_output_grows_neither_disk_nor_memory(tmp_path: Path, local: LocalSubstrate) -> None:
    process = await local.spawn(command(tmp_path, "sh", "-c", "yes a line of a flood; wait"))
    log, older = tmp_path / "engine.log", tmp_path / "engine.log.1"
    await until_async(older.exists, "the log has rotated")
    before = memory(keeper_of(process))
    for _ in range(20):
        await asyncio.sleep(0.01)
        with contextlib.suppress(FileNotFoundError):  # it is just being rotated
            assert log.stat().st_size <= 100_000
        assert older.stat().st_size <= 100_000
    assert memory(keeper_of(process)) < before + 1_000_000
    await process.stop(0)
    assert all(line == "a line of a flood" for line in older.read_text().splitlines()), "cut between lines"


def memory(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Private_Dirty"):
            return int(line.split()[1]) * 1024
    raise AssertionError


@pytest.mark.parametrize("log", ["/dev/full", "/proc/nowhere/engine.log"])
async def test_a_log_that_cannot_be_written_stops_nothing(
    tmp_path: Path, local: LocalSubstrate, log: str
) -> None:
    script = "head -c 1000000 /dev/zero; exit 4"
    process = await local.spawn(command(tmp_path, "sh", "-c", script, log=Path(log)))
    assert await asyncio.wait_for(process.wait(), 5) == Exit(code=4)


async def test_a_state_folder_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("not a folder")
    substrate = LocalSubstrate(tmp_path / "state")
    assert await substrate.sweep() == 0
    process = await substrate.spawn(
        command(tmp_path, "sh", "-c", "echo hello", stop_argv=("touch", "stopped"))
    )
    assert await process.wait() == Exit(code=0)
    assert (tmp_path / "engine.log").read_text() == "hello\n"
    assert (tmp_path / "stopped").exists()
    await substrate.close()


async def test_why_a_command_cannot_run(tmp_path: Path, local: LocalSubstrate) -> None:
    (tmp_path / "plain").write_text("#!/bin/sh\n")
    (tmp_path / "lost").write_text("#!/no/such/shell\n")
    (tmp_path / "lost").chmod(0o755)
    (tmp_path / "noise").write_text("\x01\x02")
    (tmp_path / "noise").chmod(0o755)
    cases: list[tuple[Command, str]] = [
        (command(tmp_path, "vllm-x"), "cmd 'vllm-x' was not found on PATH; install it"),
        (command(tmp_path, "./absent"), "cmd './absent' was not found; check the path"),
        (command(tmp_path, "./plain"), "permission denied"),
        (command(tmp_path, "./lost"), "interpreter"),
        (command(tmp_path, "./noise"), "it is no program"),
        (command(tmp_path, "true", cwd="/no/such"), "its cwd '/no/such': No such file or directory"),
        (command(tmp_path, "true", "a\0b"), "NUL"),
        (command(tmp_path, "true", "x" * 3_000_000), "Argument list too long"),
    ]
    for wrong, message in cases:
        with pytest.raises(Exception, match=r"^cmd '") as caught:
            await local.spawn(wrong)
        assert message in str(caught.value)
