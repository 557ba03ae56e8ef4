import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from pilotlight.clock import VirtualClock
from pilotlight.engines.fake import FakeEngine
from pilotlight.fleet.events import Died, Failing, Measured, Ready, SleepFailed, Slept, Stopped
from pilotlight.fleet.plan import Span
from pilotlight.ports import Exit, Launch
from pilotlight.spec.model import Model
from pilotlight.substrate.fake import Script
from pilotlight.worker.asleep import FREES_WITHIN, SLEEPS_WITHIN, WAKES_WITHIN
from unit.worker.bench import Bench, Guest, settle

T = TypeVar("T")


class Elsewhere(FakeEngine):
    """Nothing of ours: nobody can see whether it listens, so it is asked at once."""

    def __init__(self, sleeps: str) -> None:
        super().__init__(reports=False)
        self._sleeps = sleeps

    def launch(self, model: Model, port: int, devices: tuple[int, ...], config_dir: Path) -> Launch:
        launch = super().launch(model, port, devices, config_dir)
        return msgspec.structs.replace(launch, url="http://engine.test:8000", sleeps=self._sleeps)


class Sleeper(Bench):
    """Takes 1000 bytes awake and 100 asleep. Time passes as it is needed."""

    def __init__(self, folder: Path, guest: Guest | None = None, model: Model | None = None) -> None:
        self.virtual = VirtualClock()
        self.player = guest or Guest()
        super().__init__(
            folder,
            Script(player=self.player),
            clock=self.virtual,
            engines={"llamacpp": FakeEngine(), "vllm": Elsewhere("http"), "command": Elsewhere("")},
        )
        self.model = model or Model(source="somewhere")
        self.replica = ""
        self.asleep: tuple[int, int | None] = (100, None)
        self.player.told = lambda order: self.lies_down("sleep" in order)
        self.obey = lambda path: self.lies_down("sleep" in path)

    def lies_down(self, yes: bool) -> None:
        self.measured = self.asleep if yes else (1000, None)

    async def up(self, devices: tuple[int, ...] = ()) -> None:
        self.replica = self.start(self.model, devices=devices)
        await self.until(Ready, self.replica)

    async def sleeps(self, level: int = 1) -> Slept:
        self.worker.sleep(self.replica, level)
        slept = await self.until(Slept, self.replica)
        self.events.remove(slept)
        return slept

    async def fails_to_sleep(self, level: int = 1) -> str:
        self.worker.sleep(self.replica, level)
        return (await self.passing(self.until(SleepFailed, self.replica))).reason

    async def wakes(self) -> None:
        self.events = [e for e in self.events if not isinstance(e, Ready)]
        self.worker.wake(self.replica)
        await self.until(Ready, self.replica)

    async def passing(self, waiting: Coroutine[Any, Any, T]) -> T:
        """While time passes, and threads have time to measure."""
        task = asyncio.create_task(waiting)
        while not task.done():
            await asyncio.sleep(0.001)
            await settle()
            self.virtual.run_until(self.virtual.now() + 0.5)
        return task.result()

    @property
    def doing(self) -> str:
        return self.worker.report(self.replica).doing


@pytest.fixture
def sleeper(tmp_path: Path) -> Sleeper:
    return Sleeper(tmp_path)


async def test_it_sleeps_and_wakes_at_another_port(sleeper: Sleeper) -> None:
    await sleeper.up()
    assert sleeper.worker.url(sleeper.replica).endswith(":4711")
    slept = await sleeper.sleeps()
    assert (slept.memory, slept.gpu_memory) == (100, None)
    assert sleeper.player.received[1:] == [{"sleep": 1}]
    assert sleeper.doing == "asleep" and sleeper.worker.memory(sleeper.replica) == 100
    await sleeper.wakes()
    assert sleeper.worker.url(sleeper.replica) == "http://127.0.0.1:4712"
    assert sleeper.doing == "ready" and sleeper.player.received[2:] == [{"wake": True}]
    await sleeper.close()


async def test_over_and_over(sleeper: Sleeper) -> None:
    await sleeper.up()
    for level in (1, 2, 1):
        await sleeper.sleeps(level)
        await sleeper.wakes()
    assert [m for m in sleeper.player.received if "sleep" in m] == [{"sleep": 1}, {"sleep": 2}, {"sleep": 1}]
    await sleeper.close()


async def test_the_report_is_that_of_the_wake(sleeper: Sleeper) -> None:
    await sleeper.up()
    started = sleeper.worker.report(sleeper.replica)
    await sleeper.sleeps()
    assert sleeper.worker.report(sleeper.replica).kind == started.kind == "start"
    sleeper.virtual.run_until(5.0)
    sleeper.player.until = "asleep"
    sleeper.worker.wake(sleeper.replica)
    await settle()
    waking = sleeper.worker.report(sleeper.replica)
    assert (waking.kind, waking.ordered_at, waking.ready_at, waking.spans) == ("wake", 5.0, None, ())
    assert waking.doing == "waking"
    await sleeper.close()


async def test_the_spans_of_a_wake(sleeper: Sleeper) -> None:
    await sleeper.up()
    await sleeper.sleeps()
    sleeper.virtual.run_until(5.0)
    await sleeper.wakes()
    report = sleeper.worker.report(sleeper.replica)
    assert (report.kind, report.techniques) == ("wake", ("sleep",))
    assert report.spans == (Span("wake", 5.0, 5.0), Span("load", 6.0, 7.0))
    assert report.ready_at == 5.0
    await sleeper.close()


async def test_it_is_neither_asked_nor_measured_while_it_sleeps(tmp_path: Path) -> None:
    sleeper = Sleeper(tmp_path, model=Model(source="s", probe_interval=5.0, probe_timeout=15.0))
    await sleeper.up()
    await sleeper.sleeps()
    asked, sleeper.health = sleeper.asked, ConnectionRefusedError()
    for _ in range(60):
        sleeper.virtual.run_until(sleeper.virtual.now() + 1)
        await settle()
    assert sleeper.asked == asked and not [e for e in sleeper.events if isinstance(e, Measured)]
    assert sleeper.last_words(sleeper.replica) == []
    await sleeper.wakes()
    died = await sleeper.passing(sleeper.until(Died, sleeper.replica))
    assert died.reason.startswith("hung: health refused"), "it is watched again"


async def test_a_sleeper_that_is_killed_is_noticed_at_once(sleeper: Sleeper) -> None:
    await sleeper.up()
    await sleeper.sleeps()
    sleeper.substrate.spawned[0].end(Exit(signal=9))
    assert (await sleeper.until(Died, sleeper.replica)).reason == "the engine was killed by signal 9"
    sleeper.worker.wake(sleeper.replica)
    sleeper.worker.sleep(sleeper.replica, 1)
    await settle()
    assert len(sleeper.last_words(sleeper.replica)) == 1


@pytest.mark.parametrize("when", ["ready", "going to sleep", "asleep", "waking"])
async def test_stopped_whatever_it_is_at(tmp_path: Path, when: str) -> None:
    sleeper = Sleeper(
        tmp_path, Guest(until={"going to sleep": "awake", "waking": "asleep"}.get(when, "ready"))
    )
    await sleeper.up()
    if when == "going to sleep":
        sleeper.worker.sleep(sleeper.replica, 1)
    elif when != "ready":
        await sleeper.sleeps()
    if when == "waking":
        sleeper.worker.wake(sleeper.replica)
    while sleeper.doing != when:
        await asyncio.sleep(0.001)
    sleeper.worker.stop(sleeper.replica, 1.0)
    await sleeper.passing(sleeper.until(Stopped, sleeper.replica))
    assert sleeper.substrate.spawned[0].events == ["SIGTERM"]
    assert not {"Died", "Failing", "SleepFailed"} & set(sleeper.of(sleeper.replica))


async def test_an_engine_that_cannot(tmp_path: Path) -> None:
    sleeper = Sleeper(tmp_path, model=Model(engine="command"))
    await sleeper.up()
    assert await sleeper.fails_to_sleep() == "its engine cannot sleep"
    assert sleeper.doing == "ready" and sleeper.orders == []
    await sleeper.close()


async def test_a_sleep_that_frees_nothing(sleeper: Sleeper) -> None:
    sleeper.asleep = (501, None)
    await sleeper.up()
    reason = await sleeper.fails_to_sleep()
    assert reason == "it gave too little back: it took 1000 B of host memory, and 501 B asleep"
    assert sleeper.virtual.now() >= FREES_WITHIN
    await sleeper.close()


async def test_memory_that_is_free_a_moment_later(sleeper: Sleeper) -> None:
    sleeper.asleep = (1000, None)
    await sleeper.up()
    sleeper.worker.sleep(sleeper.replica, 1)
    while sleeper.doing != "going to sleep":
        await asyncio.sleep(0.001)
    sleeper.measured = sleeper.asleep = (500, None)
    assert (await sleeper.passing(sleeper.until(Slept, sleeper.replica))).memory == 500
    await sleeper.close()


async def test_one_that_never_sleeps(tmp_path: Path) -> None:
    sleeper = Sleeper(tmp_path, Guest(until="awake"))
    await sleeper.up()
    assert await sleeper.fails_to_sleep() == "it did not go to sleep: it did not answer within 30 s"
    assert sleeper.virtual.now() >= SLEEPS_WITHIN
    await sleeper.close()


@pytest.mark.parametrize(("timeout", "level", "within"), [(600, 1, WAKES_WITHIN), (14, 1, 7), (600, 2, 300)])
async def test_a_wake_that_hangs(tmp_path: Path, timeout: float, level: int, within: float) -> None:
    sleeper = Sleeper(tmp_path, Guest(until="asleep"), Model(source="s", startup_timeout=timeout))
    await sleeper.up()
    await sleeper.sleeps(level)
    began = sleeper.virtual.now()
    sleeper.worker.wake(sleeper.replica)
    died = await sleeper.passing(sleeper.until(Died, sleeper.replica))
    assert died.reason.startswith("the wake failed: it did not answer within ")
    failing = await sleeper.until(Failing, sleeper.replica)
    assert within <= failing.at - began <= within + 1
    assert sleeper.substrate.spawned[0].events == ["SIGKILL"]


async def test_a_wake_that_fails(sleeper: Sleeper) -> None:
    sleeper.player.wake_error = {"message": "the file is gone"}
    await sleeper.up()
    await sleeper.sleeps()
    sleeper.worker.wake(sleeper.replica)
    died = await sleeper.until(Died, sleeper.replica)
    assert died.reason in ("the wake failed: the file is gone", "the engine exited with status 1")


async def test_an_error_of_our_own(sleeper: Sleeper, caplog: pytest.LogCaptureFixture) -> None:
    await sleeper.up()
    sleeper.measure_error = RuntimeError("NVML went away")
    assert "an error of its own: RuntimeError('NVML went away')" in await sleeper.fails_to_sleep()
    assert sleeper.replica in caplog.text
    await sleeper.close()


# -- vLLM --------------------------------------------------------------------------------------------------------


def vllm(tmp_path: Path) -> Sleeper:
    return Sleeper(tmp_path, model=Model(engine="vllm"))


async def test_vllm_level_1(tmp_path: Path) -> None:
    sleeper = vllm(tmp_path)
    await sleeper.up()
    url = sleeper.worker.url(sleeper.replica)
    await sleeper.sleeps(1)
    asked = sleeper.asked
    await sleeper.wakes()
    assert sleeper.orders == [("/sleep?level=1", b""), ("/wake_up", b"")]
    assert sleeper.asked == asked + 1 and sleeper.worker.url(sleeper.replica) == url
    assert [s.stage for s in sleeper.worker.report(sleeper.replica).spans] == ["wake"]
    await sleeper.close()


async def test_vllm_level_2_loads_its_weights_before_it_makes_room_for_the_context(tmp_path: Path) -> None:
    sleeper = vllm(tmp_path)
    await sleeper.up()
    await sleeper.sleeps(2)
    await sleeper.wakes()
    assert sleeper.orders == [
        ("/sleep?level=2", b""),
        ("/wake_up?tags=weights", b""),
        ("/collective_rpc", b'{"method": "reload_weights"}'),
        ("/wake_up?tags=kv_cache", b""),
    ]
    await sleeper.close()


async def test_of_a_device_it_is_the_device_that_counts(tmp_path: Path) -> None:
    sleeper = vllm(tmp_path)
    await sleeper.up(devices=(0,))
    sleeper.measured, sleeper.asleep = (1000, 5000), (4000, 300)
    slept = await sleeper.sleeps(1)
    assert (slept.memory, slept.gpu_memory) == (4000, 300)
    await sleeper.close()


@pytest.mark.parametrize(
    ("asleep", "reason"),
    [
        ((100, 3000), "it gave too little back: it took 5 KiB of device memory, and 3 KiB asleep"),
        (
            (100, None),
            "what it gave back cannot be measured: NVML does not tell what it takes of its device",
        ),
    ],
)
async def test_a_device_that_stays_full(tmp_path: Path, asleep: tuple[int, int | None], reason: str) -> None:
    sleeper = vllm(tmp_path)
    await sleeper.up(devices=(0,))
    sleeper.measured, sleeper.asleep = (1000, 5000), asleep
    assert await sleeper.fails_to_sleep() == reason
    await sleeper.close()


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (404, "it did not go to sleep: POST /sleep?level=1 was answered with 404"),
        (ConnectionResetError(104, "reset"), "it did not go to sleep: [Errno 104] reset"),
        (TimeoutError(), "it did not go to sleep: it did not answer within 30 s"),
    ],
)
async def test_vllm_that_does_not_obey(tmp_path: Path, trouble: int | Exception, reason: str) -> None:
    sleeper = vllm(tmp_path)
    await sleeper.up()
    sleeper.order_answer = trouble
    assert await sleeper.fails_to_sleep() == reason
    await sleeper.close()


async def test_vllm_that_does_not_wake(tmp_path: Path) -> None:
    sleeper = vllm(tmp_path)
    await sleeper.up()
    await sleeper.sleeps()
    sleeper.order_answer = 500
    sleeper.worker.wake(sleeper.replica)
    died = await sleeper.until(Died, sleeper.replica)
    assert died.reason == "the wake failed: POST /wake_up was answered with 500"


async def test_vllm_that_is_awake_and_not_well(tmp_path: Path) -> None:
    sleeper = vllm(tmp_path)
    await sleeper.up()
    await sleeper.sleeps()
    sleeper.health = 503
    sleeper.worker.wake(sleeper.replica)
    await settle()
    assert sleeper.worker.report(sleeper.replica).doing == "waking"
    sleeper.health = TimeoutError()
    for _ in range(3):
        await settle()
        sleeper.virtual.run_until(sleeper.virtual.now() + 1)
    sleeper.health = 200
    while sleeper.doing != "ready":
        await settle()
        sleeper.virtual.run_until(sleeper.virtual.now() + 1)
    await sleeper.close()
