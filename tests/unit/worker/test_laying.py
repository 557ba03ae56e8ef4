"""When weights are laid anew: the clock is virtual, and what the thread does is played by a `Layer`."""

import asyncio
import logging
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pilotlight.clock import VirtualClock
from pilotlight.engines.fake import FakeEngine
from pilotlight.fleet.events import Ready
from pilotlight.spec.model import Model
from pilotlight.weights.huge import Laid
from pilotlight.worker import laying
from pilotlight.worker.laying import RETRY
from pilotlight.worker.pool import BEHIND
from unit.worker.bench import Bench, settle

CHAT = Model(source="somewhere")
OTHER = Model(source="elsewhere")


class Maps(FakeEngine):
    def techniques(self, model: Model) -> tuple[str, ...]:
        return (*super().techniques(model), "huge_pages")


class Layer:
    """Lays until it is called off, or `let_go`; then it gives `answer`, or raises it."""

    def __init__(self) -> None:
        self.answer: Laid | Exception = Laid(huge=2 << 20)
        self.files: list[tuple[Path, ...]] = []
        """For which a thread was begun."""
        self.called_off: list[bool] = []
        """Of each thread whose answer has come."""
        self.laid = threading.Event()
        """One has come to the laying, and to its end."""
        self.told_at_last = False
        """To end, when it did."""
        self.stubborn = False
        """It does not look whether it is called off."""
        self.let_go = threading.Event()

    def __call__(self, files: tuple[Path, ...], is_over: Callable[[], bool]) -> Laid:
        while not self.let_go.wait(0.001) and (self.stubborn or not is_over()):
            pass
        self.told_at_last = is_over()
        self.laid.set()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Stops(Bench):
    """Whose replicas come and go."""

    def __init__(self, folder: Path, engine: FakeEngine | None = None) -> None:
        super().__init__(folder, clock=VirtualClock(), engines={"llamacpp": engine or Maps()})
        self.techniques = ("huge_pages",)

    async def stop(self, replica: str) -> None:
        self.worker.stop(replica, 1.0)
        while not self.last_words(replica):
            await self.pass_time(0.0)

    async def pass_time(self, seconds: float = BEHIND) -> None:
        assert isinstance(self.clock, VirtualClock)
        self.clock.run_until(self.clock.now() + seconds)
        await settle()

    def file(self, model: Model) -> tuple[Path, ...]:
        assert model.source is not None
        return (self.weights.path(model.source),)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)
    await settle()


@pytest.fixture
def layer(monkeypatch) -> Layer:
    found, in_a_thread = Layer(), laying._in_a_thread

    async def begun(files: tuple[Path, ...], is_over: Callable[[], bool]) -> Laid:
        found.files.append(files)
        laid = await in_a_thread(files, is_over)
        found.called_off.append(is_over())
        return laid

    monkeypatch.setattr(laying, "_in_a_thread", begun)
    monkeypatch.setattr(laying, "is_small", lambda _: True)
    monkeypatch.setattr(laying, "lay_anew", found)
    return found


@pytest.fixture
async def stops(tmp_path):
    found = Stops(tmp_path)
    yield found
    await found.close()


async def test_the_last_replica_has_gone_and_its_weights_are_laid(stops, layer, caplog):
    caplog.set_level(logging.INFO, laying.__name__)
    layer.let_go.set()
    await stops.stop(await stops.ready(CHAT))
    await stops.pass_time(0.9 * BEHIND)
    assert layer.files == [], "it does not compete with what was just ordered"
    await stops.pass_time()
    await until(lambda: caplog.messages)
    assert layer.files == [stops.file(CHAT)]
    assert caplog.messages == [f"laid 2 MiB of {stops.file(CHAT)[0]} anew in huge pages in 0.0 s"]
    await stops.pass_time()
    assert len(layer.files) == 1


async def test_it_waits_until_the_last_order_is_a_while_ago(stops, layer):
    await stops.stop(await stops.ready(CHAT))
    await stops.pass_time(0.6 * BEHIND)
    await stops.stop(await stops.ready(CHAT))
    await stops.pass_time(0.6 * BEHIND)
    assert layer.files == []
    await stops.pass_time()
    assert layer.files == [stops.file(CHAT)]


async def test_weights_that_another_replica_maps_are_left_alone(stops, layer):
    layer.let_go.set()
    first, second = await stops.ready(CHAT), await stops.ready(CHAT)
    await stops.stop(first)
    await stops.pass_time()
    assert layer.files == []
    await stops.stop(second)
    await stops.pass_time()
    await until(lambda: layer.called_off)
    assert layer.files == [stops.file(CHAT)]


async def test_a_start_of_the_model_stops_it_and_its_stop_begins_it_again(stops, layer):
    await stops.stop(await stops.ready(CHAT))
    await stops.pass_time()
    await until(lambda: layer.files)
    replica = stops.start(CHAT)
    await until(lambda: layer.called_off)
    assert layer.called_off == [True]
    await stops.until(Ready, replica)
    for _ in range(3):
        await stops.pass_time()
    assert len(layer.files) == 1, "it maps them now"
    await stops.stop(replica)
    await stops.pass_time()
    await until(lambda: len(layer.files) == 2)


async def test_it_makes_way_for_the_start_of_another_model_and_goes_on_after_it(stops, layer):
    await stops.stop(await stops.ready(CHAT))
    await stops.pass_time()
    await until(lambda: layer.files)
    stops.guest.until = "import"
    slow = stops.start(OTHER, deployment="other")
    await until(lambda: layer.called_off)
    for _ in range(3):
        await stops.pass_time()
    assert len(layer.files) == 1, "the other comes up still"
    await stops.stop(slow)
    await stops.pass_time()
    await until(lambda: len(layer.files) == 2)
    assert layer.files[1] == stops.file(CHAT)


async def test_it_makes_way_for_a_wake(stops, layer):
    asleep = await stops.ready(OTHER)
    await stops.stop(await stops.ready(CHAT))
    await stops.pass_time()
    await until(lambda: layer.files)
    stops.worker.wake(asleep)
    await until(lambda: layer.called_off)
    assert layer.called_off == [True]


async def test_one_model_at_a_time(stops, layer):
    chat, other = await stops.ready(CHAT), await stops.ready(OTHER)
    await stops.stop(chat)
    await stops.stop(other)
    await stops.pass_time()
    await until(lambda: layer.files)
    await stops.pass_time(10)
    assert layer.files == [stops.file(CHAT)]
    layer.let_go.set()
    await until(lambda: layer.called_off)
    await stops.pass_time()
    await until(lambda: len(layer.called_off) == 2)
    assert layer.files == [stops.file(CHAT), stops.file(OTHER)]


async def test_a_snapshot_that_is_taken_comes_first(stops, layer, monkeypatch):
    monkeypatch.setattr(stops.worker.snapshots, "is_busy", lambda: True)
    await stops.stop(await stops.ready(CHAT))
    for _ in range(3):
        await stops.pass_time()
    assert layer.files == [], "what is dumped maps them"
    monkeypatch.setattr(stops.worker.snapshots, "is_busy", lambda: False)
    await stops.pass_time()
    await until(lambda: layer.files)


async def test_what_stays_in_small_pages_is_left_alone_for_a_while(stops, layer):
    layer.answer = Laid(huge=1, in_vain=2)
    layer.let_go.set()
    for due in (False, True):
        await stops.stop(await stops.ready(CHAT))
        await stops.pass_time()
        await until(lambda: layer.called_off)
        assert len(layer.files) == 1
        await stops.pass_time(RETRY if due else RETRY / 2)
    await stops.stop(await stops.ready(CHAT))
    await stops.pass_time()
    await until(lambda: len(layer.files) == 2)


@pytest.mark.parametrize("error", [FileNotFoundError(2, "No such file or directory"), ValueError("a bug")])
async def test_nothing_that_goes_wrong_reaches_the_worker(error, stops, layer, caplog):
    layer.answer = error
    layer.let_go.set()
    for again in (1, 2):
        await stops.stop(await stops.ready(CHAT))
        await stops.pass_time()
        await until(lambda times=again: len(layer.called_off) == times)
    assert [r.levelname for r in caplog.records] == (
        ["ERROR", "ERROR"] if isinstance(error, ValueError) else []
    )


async def test_a_file_that_has_vanished_is_not_looked_for(stops, monkeypatch):
    looked = []
    monkeypatch.setattr(laying, "is_small", looked.append)
    await stops.stop(await stops.ready(CHAT))
    stops.file(CHAT)[0].unlink()
    await stops.pass_time()
    await until(stops.worker._laying._task.done)
    assert looked == []


@pytest.mark.parametrize(("small", "free"), [(False, 100), (True, 99)])
async def test_it_is_for_weights_in_small_pages_that_fit_in_memory(small, free, stops, layer, monkeypatch):
    monkeypatch.setattr(laying, "is_small", lambda _: small)
    monkeypatch.setattr(laying, "free_memory", lambda: free)
    await stops.stop(await stops.ready(CHAT))
    await stops.pass_time()
    await until(lambda: layer.called_off)
    assert not layer.laid.is_set()


async def test_an_engine_that_does_not_map_its_weights_has_none_to_lay(layer, tmp_path):
    stops = Stops(tmp_path, FakeEngine())
    await stops.stop(await stops.ready(CHAT))
    await stops.pass_time()
    assert layer.files == [] and stops.worker._laying._task is None
    await stops.close()


async def test_without_its_technique_none_are_laid_and_what_is_mapped_is_in_use_all_the_same(stops, layer):
    first = await stops.ready(CHAT)
    stops.techniques = ()
    second = await stops.ready(CHAT)
    await stops.stop(first)
    await stops.pass_time()
    assert layer.files == [], "the other maps them"
    await stops.stop(second)
    await stops.pass_time()
    assert layer.files == []
    stops.techniques = ("huge_pages",)
    await stops.stop(await stops.ready(CHAT))
    await stops.pass_time()
    assert layer.files == [stops.file(CHAT)]


async def test_a_worker_that_closes_does_not_wait_for_it(stops, layer):
    layer.stubborn = True
    running = await stops.ready(OTHER)
    await stops.stop(await stops.ready(CHAT))
    await stops.pass_time()
    await until(lambda: layer.files)
    await asyncio.wait_for(stops.close(), 5)
    assert stops.last_words(running) and not layer.laid.is_set()
    layer.let_go.set()
    assert await asyncio.to_thread(layer.laid.wait, 5) and layer.told_at_last
    assert len(layer.files) == 1, "nor does what it stops begin another"
