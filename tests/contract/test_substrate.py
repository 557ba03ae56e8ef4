"""What every substrate keeps, the real one (under both event loops) and the fake that ships."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop

from pilotlight.errors import EngineError, ZygoteUnavailable
from pilotlight.ports import Command, Exit, Preload, Process, Substrate
from pilotlight.substrate.fake import FakeProcess, FakeSubstrate, Script
from pilotlight.substrate.local import LocalSubstrate


async def echo(far: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while data := await loop.sock_recv(far, 100):
        await loop.sock_sendall(far, b"<" + data + b">")


ECHO = """
import os, socket
s = socket.socket(fileno=int(os.environ["PILOTLIGHT_CHANNEL"]))
while data := s.recv(100):
    s.sendall(b"<" + data + b">")
"""
# A shell that reports that its traps stand, for a signal must not come before them.
READY = "; echo up >$READY; while :; do sleep 0.05; done"

STOP = ('echo "$0" >>stopped', "while [ ! -e go ]; do sleep 0.02; done")

FORKED = """
import os, socket, subprocess, sys, time

def preload():
    pass

def serve():
    argv = eval(os.environ["ARGV"])
    if os.environ["BEHAVIOUR"] == "echo":
        exec(argv[-1], {})
    elif os.environ["BEHAVIOUR"] == "says and ends":
        print("hello", flush=True)
        print("there", file=sys.stderr)
        sys.exit(3)
    else:
        subprocess.run(argv)
"""

REAL: dict[str, tuple[str, ...]] = {
    "stays": ("sleep", "1000"),
    "says and ends": ("sh", "-c", "echo hello; echo there >&2; exit 3"),
    "ends soon": ("sh", "-c", "sleep 0.05; exit 3"),
    "ends when told": ("sh", "-c", "while [ ! -e go ]; do sleep 0.02; done; exit 3"),
    "kills itself": ("sh", "-c", "kill -KILL $$"),
    "leaves a mess": ("sh", "-c", "sleep 1000 & exit 3"),
    "deaf": ("sh", "-c", "trap '' TERM" + READY),
    "polite": ("sh", "-c", "trap 'exit 7' TERM" + READY),
    "has a child": ("sh", "-c", "sleep 1000 & wait"),
    "missing": ("no-such-engine", "--port", "1"),
    "echo": (sys.executable, "-I", "-S", "-c", ECHO),
}
FAKE = {
    "stays": Script(),
    "says and ends": Script(output=b"hello\nthere\n", exit_after=0.0, exit=Exit(code=3)),
    "ends soon": Script(exit_after=0.05, exit=Exit(code=3)),
    "ends when told": Script(exit_after=0.05, exit=Exit(code=3)),
    "kills itself": Script(exit_after=0.0, exit=Exit(signal=9)),
    "leaves a mess": Script(exit_after=0.0, exit=Exit(code=3), children=1, clearing_takes=0.2),
    "deaf": Script(term_takes=None),
    "polite": Script(term_takes=0.02, term_exit=Exit(code=7)),
    "has a child": Script(children=1),
    "missing": Script(fails="was not found on PATH"),
    "echo": Script(player=echo),
}


class Bench:
    """Runs processes that behave as asked, on whichever substrate it was given."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.fake = kind == "fake"
        self.folder = folder
        self.log = folder / "engine.log"
        self.stopped = folder / "stopped"
        self.substrate: Substrate = (
            FakeSubstrate(lambda command: FAKE[command.env["BEHAVIOUR"]])
            if self.fake
            else LocalSubstrate(folder / "state")
        )

    def preload(self, engine: str = "toy", stamp: str = "") -> Preload:
        (self.folder / "forked.py").write_text(FORKED)
        return Preload(engine, (sys.executable, "-I", "-S"), (str(self.folder),), "forked", stamp=stamp)

    async def zygote(self, engine: str = "toy") -> Preload:
        """One that can fork."""
        preload = self.preload(engine)
        self.substrate.warm_zygote(preload, self.folder / "zygote.log", {})
        async with asyncio.timeout(10):
            while not self.substrate.zygote_ready(preload):
                await asyncio.sleep(0.005)
        return preload

    async def spawn(
        self, behaviour: str, *, stop_command: bool = False, preload: Preload | None = None
    ) -> Process:
        """The stop command of one that leaves a mess waits for a file `go`."""
        ready = self.folder / "ready"
        ready.unlink(missing_ok=True)
        command = Command(
            replica="chat-1",
            argv=REAL[behaviour],
            env={
                "PATH": os.environ["PATH"],
                "BEHAVIOUR": behaviour,
                "READY": str(ready),
                "ARGV": repr(REAL[behaviour]),
            },
            cwd=str(self.folder),
            log=self.log,
            log_max_size=100_000,
            stop_argv=("sh", "-c", STOP[behaviour == "leaves a mess"], "${PID}") if stop_command else None,
            channel=behaviour == "echo",
            preload=preload,
        )
        process = await self.substrate.spawn(command)
        if READY in " ".join(REAL[behaviour]) and not self.fake:
            async with asyncio.timeout(5):
                while not ready.exists():
                    await asyncio.sleep(0.005)
        return process


def scenario(test: Callable[[Bench], Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test of every kind of substrate, on the event loop that belongs to it."""

    async def play(kind: str, folder: Path) -> None:
        bench = Bench(kind, folder)
        try:
            await test(bench)
        finally:
            await bench.substrate.close()

    @pytest.mark.parametrize("kind", ["fake", "local", "local-uvloop"])
    def run(kind: str, tmp_path: Path) -> None:
        factory = uvloop.new_event_loop if kind == "local-uvloop" else None
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(play(kind, tmp_path))

    run.__doc__ = test.__doc__
    return run


@scenario
async def test_a_process_runs_and_its_end_is_told_to_all_who_wait(bench: Bench) -> None:
    process = await bench.spawn("ends when told")
    assert process.pid > 0
    assert process.pid in process.pids()
    (bench.folder / "go").touch()
    assert await asyncio.gather(*(process.wait() for _ in range(3))) == [Exit(code=3)] * 3
    assert await process.wait() == Exit(code=3)
    assert list(process.pids()) == []


@scenario
async def test_output_is_in_the_log_when_the_end_is_told(bench: Bench) -> None:
    process = await bench.spawn("says and ends")
    assert await process.wait() == Exit(code=3)
    assert bench.log.read_text() == "hello\nthere\n"


@scenario
async def test_death_by_signal_is_told_as_such(bench: Bench) -> None:
    process = await bench.spawn("kills itself")
    assert await process.wait() == Exit(signal=signal.SIGKILL)


@scenario
async def test_its_own_end_is_told_before_what_it_leaves_is_cleared_up(bench: Bench) -> None:
    process = await bench.spawn("leaves a mess", stop_command=True)
    everything = asyncio.create_task(process.wait())
    assert await asyncio.gather(*(process.ended() for _ in range(3))) == [Exit(code=3)] * 3
    assert not everything.done(), "its stop command still runs"
    assert process.pid not in process.pids()
    (bench.folder / "go").touch()
    assert await everything == await process.ended() == Exit(code=3)


@scenario
async def test_one_that_is_stopped_has_ended_too(bench: Bench) -> None:
    process = await bench.spawn("polite")
    ended = asyncio.create_task(process.ended())
    await process.stop(5)
    assert await ended == Exit(code=7)


@scenario
async def test_a_cancelled_wait_leaves_the_process_and_other_waits_alone(bench: Bench) -> None:
    process = await bench.spawn("stays")
    other = asyncio.create_task(process.wait())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(process.wait(), 0.01)
    assert not other.done()
    await process.stop(1)
    assert await other == Exit(signal=signal.SIGTERM)


@scenario
async def test_stop_sends_sigterm_first(bench: Bench) -> None:
    process = await bench.spawn("polite")
    assert await process.stop(5) == Exit(code=7)


@scenario
async def test_stop_kills_what_ignores_sigterm_when_the_grace_is_over(bench: Bench) -> None:
    process = await bench.spawn("deaf")
    begun = asyncio.get_running_loop().time()
    assert await process.stop(0.1) == Exit(signal=signal.SIGKILL)
    assert asyncio.get_running_loop().time() - begun >= 0.1


@scenario
async def test_no_grace_kills_at_once(bench: Bench) -> None:
    process = await bench.spawn("polite")
    assert await process.stop(0) == Exit(signal=signal.SIGKILL)


@scenario
async def test_endless_grace_waits(bench: Bench) -> None:
    process = await bench.spawn("polite")
    assert await process.stop(float("inf")) == Exit(code=7)


@scenario
async def test_a_second_stop_with_less_grace_hastens_the_first(bench: Bench) -> None:
    process = await bench.spawn("deaf")
    first = asyncio.create_task(process.stop(60))
    await asyncio.sleep(0.01)
    assert not first.done()
    assert await process.stop(0) == Exit(signal=signal.SIGKILL)
    assert await first == Exit(signal=signal.SIGKILL)


@scenario
async def test_a_second_stop_with_more_grace_does_not_slow_the_first(bench: Bench) -> None:
    process = await bench.spawn("deaf")
    async with asyncio.timeout(10):
        exits = await asyncio.gather(process.stop(0.05), process.stop(60))
    assert exits == [Exit(signal=signal.SIGKILL)] * 2


@scenario
async def test_cancelling_a_stop_does_not_call_it_off(bench: Bench) -> None:
    process = await bench.spawn("deaf")
    stop = asyncio.create_task(process.stop(0.05))
    await asyncio.sleep(0)  # it is ordered
    stop.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stop
    assert await asyncio.wait_for(process.wait(), 5) == Exit(signal=signal.SIGKILL)


@scenario
async def test_stop_after_the_end_says_how_it_ended(bench: Bench) -> None:
    process = await bench.spawn("says and ends")
    await process.wait()
    assert await process.stop(1) == Exit(code=3)


@scenario
async def test_stop_may_meet_a_spontaneous_end(bench: Bench) -> None:
    for _ in range(5):
        process = await bench.spawn("says and ends")
        assert await process.stop(5) in (Exit(code=3), Exit(signal=signal.SIGTERM))


@scenario
async def test_a_command_that_cannot_run_is_an_error_that_names_it(bench: Bench) -> None:
    with pytest.raises(EngineError, match="'no-such-engine' was not found on PATH"):
        await bench.spawn("missing")
    process = await bench.spawn("says and ends")
    assert await process.wait() == Exit(code=3)


@scenario
async def test_pids_show_descendants(bench: Bench) -> None:
    process = await bench.spawn("has a child")
    async with asyncio.timeout(5):
        while len(process.pids()) < 2:
            await asyncio.sleep(0.005)
    assert process.pids()[0] == process.pid


@scenario
async def test_the_channel_carries_bytes_both_ways(bench: Bench) -> None:
    process = await bench.spawn("echo")
    assert process.channel is not None
    assert not os.get_blocking(process.channel)
    with socket.socket(fileno=process.channel) as near:
        loop = asyncio.get_running_loop()
        for word in (b"ready", b"go"):
            await loop.sock_sendall(near, word)
            assert await asyncio.wait_for(loop.sock_recv(near, 100), 5) == b"<" + word + b">"
        await process.stop(0)
        assert await asyncio.wait_for(loop.sock_recv(near, 100), 5) == b""


@scenario
async def test_without_a_channel_there_is_none(bench: Bench) -> None:
    assert (await bench.spawn("stays")).channel is None


@scenario
async def test_the_stop_command_runs_once_whatever_the_end(bench: Bench) -> None:
    for ending in ("gentle", "at once", "by itself", "closed"):
        bench.stopped.unlink(missing_ok=True)
        process = await bench.spawn("ends soon" if ending == "by itself" else "stays", stop_command=True)
        if ending == "closed":
            await bench.substrate.close()
        elif ending != "by itself":
            await process.stop(1 if ending == "gentle" else 0)
        await process.wait()
        if isinstance(process, FakeProcess):
            assert process.events.count("stop_argv") == 1
        else:
            assert bench.stopped.read_text() == f"{process.pid}\n", ending


@scenario
async def test_close_ends_everything_and_nothing_starts_after_it(bench: Bench) -> None:
    processes = [await bench.spawn(behaviour) for behaviour in ("stays", "deaf", "has a child")]
    async with asyncio.timeout(5):
        await bench.substrate.close()
    for process in processes:
        assert await process.wait() == Exit(signal=signal.SIGKILL)
        assert list(process.pids()) == []
    with pytest.raises(EngineError, match="stopping"):
        await bench.spawn("stays")
    await bench.substrate.close()


@scenario
async def test_many_at_once(bench: Bench) -> None:
    processes = await asyncio.gather(*(bench.spawn("ends soon") for _ in range(12)))
    assert len({process.pid for process in processes}) == 12
    assert await asyncio.gather(*(process.wait() for process in processes)) == [Exit(code=3)] * 12


@scenario
async def test_a_first_sweep_finds_nothing_and_spares_what_runs(bench: Bench) -> None:
    assert await bench.substrate.sweep() == 0
    process = await bench.spawn("stays")
    assert await bench.substrate.sweep() == 0
    assert list(process.pids()) == [process.pid]


# -- zygotes -------------------------------------------------------------------------------------------------------


@scenario
async def test_without_a_zygote_nothing_is_forked(bench: Bench) -> None:
    preload = bench.preload()
    assert not bench.substrate.zygote_ready(preload)
    assert list(bench.substrate.zygotes()) == []
    with pytest.raises(ZygoteUnavailable, match="none is up yet"):
        await bench.spawn("stays", preload=preload)


@scenario
async def test_a_fork_is_a_process_like_any_other(bench: Bench) -> None:
    preload = await bench.zygote()
    (zygote,) = bench.substrate.zygotes()
    assert (zygote.engine, zygote.ready) == ("toy", True)
    process = await bench.spawn("has a child", preload=preload)
    assert process.pid != zygote.pid
    assert process.pid in process.pids()
    assert await process.stop(1) == Exit(signal=signal.SIGTERM)
    assert list(process.pids()) == []
    process = await bench.spawn("says and ends", preload=preload)
    assert await process.wait() == Exit(code=3)
    assert bench.log.read_text() == "hello\nthere\n"


@scenario
async def test_the_channel_of_a_fork_carries_bytes_both_ways(bench: Bench) -> None:
    process = await bench.spawn("echo", preload=await bench.zygote())
    assert process.channel is not None
    with socket.socket(fileno=process.channel) as near:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(near, b"ready")
        assert await asyncio.wait_for(loop.sock_recv(near, 100), 5) == b"<ready>"
        await process.stop(0)
        assert await asyncio.wait_for(loop.sock_recv(near, 100), 5) == b""


@scenario
async def test_many_forks_at_once(bench: Bench) -> None:
    preload = await bench.zygote()
    processes = await asyncio.gather(*(bench.spawn("says and ends", preload=preload) for _ in range(12)))
    assert len({process.pid for process in processes}) == 12
    assert await asyncio.gather(*(process.wait() for process in processes)) == [Exit(code=3)] * 12


@scenario
async def test_a_zygote_is_of_one_preload(bench: Bench) -> None:
    await bench.zygote()
    other = bench.preload(stamp="2")
    assert not bench.substrate.zygote_ready(other)
    with pytest.raises(ZygoteUnavailable):
        await bench.spawn("stays", preload=other)


@scenario
async def test_warming_again_changes_nothing(bench: Bench) -> None:
    preload = await bench.zygote()
    (before,) = bench.substrate.zygotes()
    assert await bench.zygote() == preload
    (after,) = bench.substrate.zygotes()
    assert after.pid == before.pid and after.ready


@scenario
async def test_zygotes_that_are_let_go_of_leave_what_was_forked(bench: Bench) -> None:
    preload = await bench.zygote()
    process = await bench.spawn("stays", preload=preload)
    await bench.substrate.end_zygotes()
    assert list(bench.substrate.zygotes()) == []
    assert not bench.substrate.zygote_ready(preload)
    with pytest.raises(ZygoteUnavailable):
        await bench.spawn("stays", preload=preload)
    assert process.pid in process.pids()
    assert await process.stop(1) == Exit(signal=signal.SIGTERM)


@scenario
async def test_zygotes_that_are_not_kept_go_and_leave_what_was_forked(bench: Bench) -> None:
    old, kept = await bench.zygote(), await bench.zygote(engine="other")
    process = await bench.spawn("stays", preload=old)
    bench.substrate.keep_zygotes({kept, bench.preload(stamp="2")})
    assert not bench.substrate.zygote_ready(old)
    assert [zygote.engine for zygote in bench.substrate.zygotes()] == ["other"]
    with pytest.raises(ZygoteUnavailable):
        await bench.spawn("stays", preload=old)
    assert process.pid in process.pids()
    assert await process.stop(1) == Exit(signal=signal.SIGTERM)
    process = await bench.spawn("stays", preload=kept)
    bench.substrate.keep_zygotes(())
    assert list(bench.substrate.zygotes()) == []
    assert await bench.zygote() == old, "it is made again when it is asked for"


@scenario
async def test_close_ends_zygotes_and_forks(bench: Bench) -> None:
    preload = await bench.zygote()
    process = await bench.spawn("stays", preload=preload)
    async with asyncio.timeout(5):
        await bench.substrate.close()
    assert await process.wait() == Exit(signal=signal.SIGKILL)
    bench.substrate.warm_zygote(preload, bench.folder / "zygote.log", {})
    assert not bench.substrate.zygote_ready(preload)
    with pytest.raises(EngineError, match="stopping"):
        await bench.spawn("stays", preload=preload)
