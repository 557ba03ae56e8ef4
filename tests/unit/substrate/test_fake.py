"""The fake substrate under virtual time: everything happens exactly when it is due."""

import asyncio
from pathlib import Path

import pytest

from pilotlight.clock import VirtualClock
from pilotlight.errors import EngineError
from pilotlight.ports import Command, Exit
from pilotlight.substrate.fake import FakeSubstrate, Script

CHAT = Command("chat-1", ("engine",), {}, "/", Path("unused.log"), 1000, stop_argv=("stop",))


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_it_ends_by_itself_when_its_script_says_so() -> None:
    clock = VirtualClock()
    process = await FakeSubstrate(Script(exit_after=5.0, exit=Exit(code=1)), clock=clock).spawn(CHAT)
    clock.run_until(4.9)
    assert process.pids() == (1001,)
    clock.run_until(5.0)
    assert process.gone
    assert await process.wait() == Exit(code=1)
    assert process.events == ["stop_argv"]


async def test_a_spawn_takes_its_time() -> None:
    clock = VirtualClock()
    spawn = asyncio.create_task(FakeSubstrate(Script(spawn_takes=2.0), clock=clock).spawn(CHAT))
    await settle()
    clock.run_until(1.9)
    await settle()
    assert not spawn.done()
    clock.run_until(2.0)
    assert (await spawn).pid == 1001


async def test_deaf_ones_are_killed_when_the_grace_is_over() -> None:
    clock = VirtualClock()
    substrate = FakeSubstrate(Script(term_takes=None), clock=clock)
    process = await substrate.spawn(CHAT)
    stops = [asyncio.create_task(process.stop(grace)) for grace in (10.0, 3.0, 20.0)]
    await settle()
    clock.run_until(2.9)
    assert substrate.running == [process]
    clock.run_until(3.0)
    assert await asyncio.gather(*stops) == [Exit(signal=9)] * 3
    assert process.events == ["stop_argv", "SIGTERM", "SIGKILL"]
    clock.run()
    assert process.events == ["stop_argv", "SIGTERM", "SIGKILL"]


async def test_scripts_may_differ_by_command() -> None:
    substrate = FakeSubstrate(lambda c: Script(fails="is broken" if c.replica == "chat-1" else None))
    with pytest.raises(EngineError, match="cmd 'engine' is broken"):
        await substrate.spawn(CHAT)
    assert substrate.spawned == []


async def test_a_crash_on_demand() -> None:
    process = await FakeSubstrate().spawn(CHAT)
    process.end(Exit(signal=11))
    process.end(Exit(code=0))
    assert await process.wait() == Exit(signal=11)


async def test_leftovers_are_found_once() -> None:
    substrate = FakeSubstrate(leftovers=3)
    assert [await substrate.sweep(), await substrate.sweep()] == [3, 0]
