import asyncio
import threading

import pytest

from pilotlight.fleet.actions import Start
from pilotlight.fleet.events import Ready
from pilotlight.spec.model import Model
from pilotlight.worker import reading
from unit.worker.bench import Bench

CHAT = Model(source="somewhere")


@pytest.fixture
def reader(monkeypatch):
    """Reads until it is called off, or `let_go`."""

    class Reader:
        def __init__(self) -> None:
            self.let_go = threading.Event()
            self.error: OSError | None = None
            self.ended = threading.Event()

        def __call__(self, files, is_over) -> None:
            while not is_over() and not self.let_go.wait(0.001):
                pass
            self.ended.set()
            if self.error is not None:
                raise self.error

    found = Reader()
    monkeypatch.setattr(reading, "read", found)
    return found


async def test_it_lasts_until_all_is_read(reader):
    task = asyncio.create_task(reading.read_ahead([], asyncio.Event()))
    await asyncio.sleep(0)
    assert not task.done()
    reader.let_go.set()
    await asyncio.wait_for(task, 10)


async def test_an_engine_that_has_loaded_waits_for_nothing_more(reader):
    enough = asyncio.Event()
    task = asyncio.create_task(reading.read_ahead([], enough))
    enough.set()
    await asyncio.wait_for(task, 10)
    assert reader.ended.wait(10), "and nothing more is read"


async def test_a_start_that_is_called_off_reads_no_more(reader):
    task = asyncio.create_task(reading.read_ahead([], asyncio.Event()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert reader.ended.wait(10)


async def test_what_cannot_be_read_is_left_to_the_engine(reader):
    reader.error = OSError(5, "Input/output error")
    reader.let_go.set()
    await asyncio.wait_for(reading.read_ahead([], asyncio.Event()), 10)


@pytest.mark.parametrize(
    ("cold", "free", "worth", "why_not"),
    [
        (True, 100, True, ""),
        (True, 99, False, "the weights take 100 B, and 99 B of memory are free"),
        (False, 99, False, ""),
    ],
)
def test_it_is_worth_it_where_there_is_memory_for_all(cold, free, worth, why_not, monkeypatch, tmp_path):
    (tmp_path / "w").write_bytes(bytes(100))
    monkeypatch.setattr(reading, "is_cold", lambda _: cold)
    monkeypatch.setattr(reading, "free_memory", lambda: free)
    assert reading.worth_it([tmp_path / "w"]) == (worth, why_not)
    assert reading.worth_it([tmp_path / "gone"]) == (False, "")


@pytest.mark.parametrize("cold", [True, False])
async def test_a_start_reads_ahead_what_is_on_the_disk_alone(cold, reader, monkeypatch, tmp_path):
    bench = Bench(tmp_path)
    bench.weights.fetch("somewhere")
    monkeypatch.setattr(
        reading, "is_cold", lambda files: cold and files == (bench.weights.path("somewhere"),)
    )
    plan = bench.engine.plan(CHAT)
    bench.worker.start(Start("m-1", "m", "local", (), plan, "a test", ("read_ahead",)), CHAT)
    await bench.until(Ready, "m-1")
    report = bench.worker.report("m-1")
    assert report.techniques == (("read_ahead",) if cold else ())
    assert ("read" in {span.stage for span in report.spans}) is cold, "though the reader never came to an end"
    assert report.fell_back == ""
    await bench.close()


async def test_it_is_for_those_who_want_it_and_for_weights_that_are_here(reader, monkeypatch, tmp_path):
    bench = Bench(tmp_path)
    monkeypatch.setattr(reading, "is_cold", bool)
    plan = bench.engine.plan(CHAT)
    bench.worker.start(Start("m-1", "m", "local", (), plan, "a test", ("read_ahead",)), CHAT)
    await bench.until(Ready, "m-1")
    bench.worker.start(Start("m-2", "m", "local", (), plan, "a test", ()), CHAT)
    await bench.until(Ready, "m-2")
    assert [bench.worker.report(name).techniques for name in ("m-1", "m-2")] == [(), ()]
    await bench.close()


async def test_a_start_says_that_it_cannot_tell_whether_files_of_others_are_in_memory(monkeypatch, tmp_path):
    bench = Bench(tmp_path)
    bench.weights.fetch("somewhere")
    monkeypatch.setattr("pilotlight.weights.page_cache.os.geteuid", lambda: 4_000_000_000)
    monkeypatch.setattr("pilotlight.weights.page_cache.os.access", lambda path, mode: False)
    plan = bench.engine.plan(CHAT)
    bench.worker.start(Start("m-1", "m", "local", (), plan, "a test", ("read_ahead",)), CHAT)
    await bench.until(Ready, "m-1")
    report = bench.worker.report("m-1")
    assert report.techniques == ()
    assert report.fell_back.startswith("read_ahead: the kernel does not say whether ")
    assert str(bench.weights.path("somewhere")) in report.fell_back
    await bench.close()
