"""Starting from a zygote or from the warm pool, and what happens where neither can serve."""

import asyncio
import json
import socket
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from pilotlight.clock import Clock, SystemClock, VirtualClock
from pilotlight.engines.fake import FakeEngine
from pilotlight.errors import ZygoteUnavailable
from pilotlight.fleet.actions import Start
from pilotlight.fleet.events import Overhead, Ready, StartFailed
from pilotlight.ports import Command, Engine, Launch, Preload, Zygote
from pilotlight.spec.model import Model
from pilotlight.substrate.fake import FakeProcess, FakeSubstrate, Script
from pilotlight.worker.pool import AFTER_TRIM, BEHIND, RETRY
from pilotlight.worker.priming import LIMIT
from unit.worker.bench import Bench, settle

ALL = ("zygote", "warm_pool", "sleep")
CHAT = Model(source="somewhere")


class Zygotes(FakeSubstrate):
    """Whose zygotes are what a test says."""

    ready = False
    fork_fails = ""
    warmed = 0
    ended = 0
    kept: Sequence[Preload] = ()

    async def spawn(self, command: Command) -> FakeProcess:
        if command.preload is not None and (self.fork_fails or not self.ready):
            raise ZygoteUnavailable(self.fork_fails or "none is up yet")
        return await super().spawn(command)

    def zygote_ready(self, preload: Preload) -> bool:
        return self.ready

    def warm_zygote(self, preload: Preload, log: Path, env: Mapping[str, str]) -> None:
        self.warmed += 1

    def zygotes(self) -> list[Zygote]:
        return [Zygote("fake", 7, True, (7,))] if self.ready else []

    def keep_zygotes(self, preloads: Collection[Preload]) -> None:
        self.kept = list(preloads)

    async def end_zygotes(self) -> None:
        self.ended += 1
        self.ready = False


async def play(far: socket.socket, forked: bool, received: list[dict[str, Any]], refuses: str) -> None:
    loop = asyncio.get_running_loop()

    async def tell(**event: Any) -> None:
        await loop.sock_sendall(far, json.dumps(event).encode() + b"\n")

    await tell(event="begin", at=1.0)
    if not forked:
        await tell(event="stage", name="import", start=-2.0, end=-1.0)
    order = json.loads(await loop.sock_recv(far, 65536))
    if "take" in order:
        if refuses == "frozen":
            await asyncio.Event().wait()
        await tell(event="stage", name="take", start=0.0, end=0.0)
        order = json.loads(await loop.sock_recv(far, 65536))
    received.append(order)
    if refuses and refuses != "frozen":
        await tell(event="error", message=refuses)
        return
    await tell(event="stage", name="kv_cache", start=1e9, end=2e9)
    await tell(event="stage", name="nonsense", start=1e9, end=2e9)
    await tell(event="stage", name="load", start=4.0, end=5.0)
    await tell(event="ready", port=4711)
    await asyncio.Event().wait()


class Starts(Bench):
    """A worker whose substrate has zygotes."""

    def __init__(
        self, folder: Path, clock: Clock | None = None, engines: Mapping[str, Engine] | None = None
    ) -> None:
        self.received: list[dict[str, Any]] = []
        self.dies = self.hangs = False
        self.refuses = ""
        clock = clock or SystemClock()
        self.zygotes = Zygotes(self._script, clock=clock)
        super().__init__(folder, clock=clock, substrate=self.zygotes, engines=engines)

    def _script(self, command: Command) -> Script:
        if (self.dies and command.preload is not None) or command.argv == ("broken",):
            return Script(exit_after=0.0)
        if self.hangs:
            return Script(player=lambda far: asyncio.Event().wait())
        return Script(player=lambda far: play(far, command.preload is not None, self.received, self.refuses))

    async def up(self, techniques: tuple[str, ...] = ALL, model: Model = CHAT) -> str:
        self._count += 1
        replica = f"chat-{self._count}"
        plan = self.engine.plan(model)
        self.worker.start(Start(replica, "chat", "local", (), plan, "a test", techniques), model)
        found = await self.until(Ready, replica)
        assert found.techniques == self.worker.report(replica).techniques
        return replica

    async def pass_time(self, seconds: float) -> None:
        assert isinstance(self.clock, VirtualClock)
        self.clock.run_until(self.clock.now() + seconds)
        await settle()

    def stages(self, replica: str) -> set[str]:
        return {span.stage for span in self.worker.report(replica).spans}


class Broken(FakeEngine):
    def launch(self, *args: Any) -> Launch:
        return msgspec.structs.replace(super().launch(*args), argv=("broken",))


PLAIN = {"allocate", "fetch", "spawn", "import", "load", "kv_cache"}
FORKED = {"allocate", "fetch", "fork", "load", "kv_cache"}
TAKEN = {"allocate", "fetch", "take", "load", "kv_cache"}


async def test_the_first_start_is_plain_and_begins_a_zygote(tmp_path: Path) -> None:
    starts = Starts(tmp_path, VirtualClock())
    replica = await starts.up()
    report = starts.worker.report(replica)
    assert starts.stages(replica) == PLAIN
    assert (report.techniques, report.fell_back) == ((), "zygote: none is up yet")
    await starts.pass_time(BEHIND - 0.01)
    assert starts.zygotes.warmed == 0, "the request that waited comes first"
    await starts.pass_time(0.01)
    assert starts.zygotes.warmed == 1
    await starts.close()


async def test_the_next_is_forked(tmp_path: Path) -> None:
    starts = Starts(tmp_path)
    starts.zygotes.ready = True
    replica = await starts.up()
    report = starts.worker.report(replica)
    assert starts.stages(replica) == FORKED
    assert (report.techniques, report.fell_back) == (("zygote",), "")
    assert starts.zygotes.spawned[0].command.preload == starts.engine.launch(CHAT, 0, (), tmp_path).preload
    await starts.close()


async def test_what_a_zygote_takes_is_told_until_it_is_let_go_of(tmp_path: Path) -> None:
    starts = Starts(tmp_path, VirtualClock())
    await starts.up()
    starts.zygotes.ready = True
    await starts.pass_time(BEHIND)
    await starts.pass_time(10)
    assert (await starts.until(Overhead)).memory == 1000, "there is nothing else that is primed"
    starts.worker.trim("local")
    await starts.until(Overhead, memory=0)
    assert starts.zygotes.ended == 1
    await starts.close()


async def test_techniques_that_are_not_wanted_are_not_used(tmp_path: Path) -> None:
    starts = Starts(tmp_path)
    starts.zygotes.ready = True
    replica = await starts.up(techniques=())
    assert starts.stages(replica) == PLAIN
    assert starts.worker.report(replica).fell_back == ""
    assert starts.zygotes.warmed == 0
    await starts.close()


async def test_a_fork_that_fails_is_a_plain_start_that_says_why(tmp_path: Path) -> None:
    starts = Starts(tmp_path)
    starts.zygotes.ready, starts.zygotes.fork_fails = True, "no process can be made"
    replica = await starts.up()
    report = starts.worker.report(replica)
    assert starts.stages(replica) == PLAIN
    assert (report.techniques, report.fell_back) == ((), "zygote: no process can be made")
    await starts.close()


async def test_a_fork_that_ends_before_it_begins_is_a_plain_start(tmp_path: Path) -> None:
    starts = Starts(tmp_path)
    starts.zygotes.ready = starts.dies = True
    replica = await starts.up()
    assert starts.stages(replica) == PLAIN
    assert starts.worker.report(replica).fell_back == "zygote: the fork ended before it began"
    assert len(starts.zygotes.running) == 1, "nothing is left of the fork"
    await starts.close()


# -- the warm pool -----------------------------------------------------------------------------------------------


async def test_a_primed_process_is_taken_and_made_good(tmp_path: Path) -> None:
    starts = Starts(tmp_path, VirtualClock())
    starts.worker.prime([CHAT], {"llamacpp": 1})
    await settle()
    assert starts.worker.primed() == {"fake": 1}
    (first,) = starts.zygotes.running
    replica = await starts.up()
    report = starts.worker.report(replica)
    assert starts.stages(replica) == TAKEN
    assert report.techniques == ("warm_pool",) and report.pid == first.pid
    assert first.log == report.log, "it logs as that replica from now on"
    assert starts.received[0]["env"] == {"PILOTLIGHT_REPLICA": replica} and starts.received[0]["cwd"] == str(
        tmp_path
    )
    await starts.pass_time(BEHIND)
    assert starts.worker.primed() == {"fake": 1} and len(starts.zygotes.running) == 2
    await starts.close()
    assert not starts.zygotes.running


async def test_only_a_start_that_may_use_it_takes_one(tmp_path: Path) -> None:
    starts = Starts(tmp_path)
    starts.worker.prime([CHAT], {"llamacpp": 1})
    await settle()
    replica = await starts.up(techniques=("sleep",))
    assert starts.stages(replica) == PLAIN and starts.worker.primed() == {"fake": 1}
    await starts.close()


async def test_a_pool_that_is_not_wanted_any_more_goes(tmp_path: Path) -> None:
    starts = Starts(tmp_path)
    starts.worker.prime([CHAT], {"llamacpp": 2})
    await settle()
    assert starts.worker.primed() == {"fake": 2}
    starts.worker.prime([CHAT], {})
    await settle()
    assert starts.worker.primed() == {} and not starts.zygotes.running
    await starts.close()


async def test_one_that_dies_while_it_waits_is_replaced_after_a_while(tmp_path: Path) -> None:
    clock = VirtualClock()
    starts = Starts(tmp_path, clock=clock)
    starts.worker.prime([CHAT], {"llamacpp": 1})
    await settle()
    (first,) = starts.zygotes.running
    await first.stop(0.0)
    await settle()
    assert starts.worker.primed() == {}
    clock.run_until(clock.now() + RETRY - 1)
    await settle()
    assert starts.worker.primed() == {}, "a crash is not repeated without end"
    clock.run_until(clock.now() + 2)
    await settle()
    assert starts.worker.primed() == {"fake": 1}
    await starts.close()


async def test_what_is_primed_goes_when_its_memory_is_needed(tmp_path: Path) -> None:
    clock = VirtualClock()
    starts = Starts(tmp_path, clock=clock)
    starts.measured = (5 * 2**20, None)
    starts.zygotes.ready = True
    starts.worker.prime([CHAT], {"llamacpp": 1})
    await settle()
    clock.run_until(clock.now() + 10)
    told = await starts.until(Overhead)
    assert told.memory == 5 * 2**20
    starts.worker.trim("local")
    await starts.until(Overhead, memory=0)
    assert starts.zygotes.ended == 1 and not starts.zygotes.running
    await starts.up()
    assert starts.zygotes.warmed == 0, "not right again"
    clock.run_until(clock.now() + AFTER_TRIM + 1)
    await settle()
    assert starts.worker.primed() == {"fake": 1}
    await starts.close()


async def test_an_engine_that_is_broken_keeps_no_other_from_being_primed(tmp_path: Path) -> None:
    clock, sound = VirtualClock(), FakeEngine()
    sound.stamp = "another environment"
    starts = Starts(tmp_path, clock, {"llamacpp": Broken(), "vllm": sound})
    starts.worker.prime([CHAT, Model(source="x", engine="vllm")], {"llamacpp": 1, "vllm": 1})
    await settle()
    await starts.pass_time(1)
    assert starts.worker.primed() == {"fake": 1}
    (waits,) = starts.zygotes.running
    await waits.stop(0.0)
    await settle()
    await starts.pass_time(RETRY - 1)
    assert starts.worker.primed() == {}
    for _ in range(2):
        await starts.pass_time(1)
    assert starts.worker.primed() == {"fake": 1}, "each is tried again in its own time"
    await starts.close()


async def test_a_start_that_fails_does_not_drain_the_pool(tmp_path: Path) -> None:
    starts = Starts(tmp_path)
    starts.refuses = "it is no model"
    starts.worker.prime([CHAT], {"llamacpp": 2})
    await settle()
    assert starts.worker.primed() == {"fake": 2}
    for number in (1, 2):
        plan = starts.engine.plan(CHAT)
        starts.worker.start(Start(f"bad-{number}", "chat", "local", (), plan, "a test", ALL), CHAT)
        await starts.until(StartFailed, f"bad-{number}")
    await settle()
    assert starts.worker.primed() == {"fake": 2} and len(starts.zygotes.running) == 2
    await starts.close()


async def test_one_that_does_not_answer_when_it_is_taken_is_ended_and_the_start_is_plain(
    tmp_path: Path,
) -> None:
    clock = VirtualClock()
    starts = Starts(tmp_path, clock)
    starts.refuses = "frozen"
    starts.worker.prime([CHAT], {"llamacpp": 1})
    await settle()
    (frozen,) = starts.zygotes.running
    up = asyncio.create_task(starts.up())
    await settle()
    clock.run_until(clock.now() + 3)
    replica = await up
    assert frozen.gone and starts.stages(replica) == PLAIN | {"take"}, "and the trace has its three seconds"
    assert starts.worker.report(replica).fell_back == "warm_pool: it did not answer within 3 s"
    assert "env" not in starts.received[0], "it has its own"
    await starts.close()


async def test_a_smaller_pool_is_smaller_at_once(tmp_path: Path) -> None:
    starts = Starts(tmp_path)
    for count in (3, 1):
        starts.worker.prime([CHAT], {"llamacpp": count})
        for _ in range(count):
            await settle()
        assert starts.worker.primed() == {"fake": count} and len(starts.zygotes.running) == count
    await starts.close()


async def test_one_whose_imports_still_run_is_counted_trimmed_and_called_off(tmp_path: Path) -> None:
    clock = VirtualClock()
    starts = Starts(tmp_path, clock)
    starts.hangs = True
    starts.worker.prime([CHAT], {"llamacpp": 1})
    await settle()
    clock.run_until(clock.now() + 10)
    assert (await starts.until(Overhead)).memory == 1000
    starts.worker.trim("local")
    await starts.until(Overhead, memory=0)
    assert not starts.zygotes.running
    clock.run_until(clock.now() + AFTER_TRIM + 1)
    await settle()
    (old,) = starts.zygotes.running
    starts.worker.prime([Model(source="somewhere", env={"A": "b"})], {"llamacpp": 1})
    await settle()
    assert starts.zygotes.kept == [starts.engine.launch(CHAT, 0, (), tmp_path).preload]
    starts.worker.prime([], {})
    await settle()
    assert old.gone and not starts.zygotes.running and not starts.zygotes.kept
    await starts.close()


async def test_imports_that_hang_are_ended(tmp_path: Path) -> None:
    clock = VirtualClock()
    starts = Starts(tmp_path, clock)
    starts.hangs = True
    starts.worker.prime([CHAT], {"llamacpp": 1})
    await settle()
    clock.run_until(clock.now() + LIMIT + 1)
    await settle()
    assert not starts.zygotes.running
    starts.hangs = False
    clock.run_until(clock.now() + RETRY + 1)
    await settle()
    assert starts.worker.primed() == {"fake": 1}
    await starts.close()


async def test_a_changed_environment_renews_what_waits(tmp_path: Path) -> None:
    starts = Starts(tmp_path)
    starts.worker.prime([CHAT], {"llamacpp": 1})
    await settle()
    (old,) = starts.zygotes.running
    starts.worker.renew()
    await settle()
    assert old.gone and starts.zygotes.ended == 1
    assert starts.worker.primed() == {"fake": 1}
    await starts.close()


async def test_what_is_installed_anew_is_primed_anew(tmp_path: Path) -> None:
    starts = Starts(tmp_path, VirtualClock())
    starts.worker.prime([CHAT], {"llamacpp": 1})
    await settle()
    (old,) = starts.zygotes.running
    starts.engine.stamp = "2"
    assert starts.stages(await starts.up()) == PLAIN, "neither what waits nor a zygote is of that"
    await starts.pass_time(BEHIND)
    assert old.gone and starts.zygotes.warmed == 1
    assert starts.zygotes.kept == [starts.engine.launch(CHAT, 0, (), tmp_path).preload]
    assert starts.stages(await starts.up()) == TAKEN
    await starts.close()
