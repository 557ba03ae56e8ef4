"""Loading while the weights arrive: what the engine is told and when, and when it is told as in a plain start."""

import os
from pathlib import Path

from pilotlight.fleet.actions import Start
from pilotlight.fleet.events import Ready, StartFailed
from pilotlight.fleet.plan import Stage
from pilotlight.ports import Exit
from pilotlight.spec.model import Model
from pilotlight.weights.fake import FakeWeights
from unit.worker.bench import Bench, settle

CHAT = Model(source="somewhere")


def arriving(folder: Path) -> Bench:
    """Its header is there at once, the rest when `go` is set."""
    bench = Bench(folder, weights=FakeWeights(folder, slow=True))
    bench.weights.header = True
    return bench


def begin(bench: Bench, name: str = "m-1", techniques: tuple[str, ...] = ("stream",)) -> str:
    plan = bench.engine.plan(CHAT)
    bench.worker.start(Start(name, "m", "local", (), plan, "a test", techniques), CHAT)
    return name


def stages(bench: Bench, replica: str) -> set[str]:
    return {span.stage for span in bench.worker.report(replica).spans}


async def test_it_is_told_to_load_before_and_to_go_on_after(tmp_path: Path) -> None:
    bench = arriving(tmp_path)
    replica = begin(bench)
    await bench.begun(Stage.LOAD, replica)
    while not bench.guest.received:
        await settle()
    [order] = bench.guest.received
    assert order["arriving"] is True and order["weights"].startswith(f"/proc/{os.getpid()}/fd/")
    assert bench.worker.report(replica).ready_at is None and "fetch" not in stages(bench, replica)
    bench.weights.go.set()
    await bench.until(Ready, replica)
    assert bench.guest.received[1:] == [{"whole": str(bench.weights.path("somewhere"))}]
    assert stages(bench, replica) >= {"header", "fetch", "load", "whole"}
    assert bench.worker.report(replica).techniques == ("stream",)
    await bench.close()


async def test_its_size_is_known_as_soon_as_its_header(tmp_path: Path) -> None:
    bench = arriving(tmp_path)
    replica = begin(bench)
    await bench.begun(Stage.LOAD, replica)
    assert bench.sized() and bench.sized()[0].need.memory > bench.weights.size
    bench.weights.go.set()
    await bench.close()


async def test_types_that_are_read_early_wait(tmp_path: Path) -> None:
    bench = arriving(tmp_path)
    bench.types = frozenset({0, 12})
    replica = begin(bench)
    while "header" not in stages(bench, replica):
        await settle()
    assert not bench.guest.received
    bench.weights.go.set()
    await bench.until(Ready, replica)
    assert [set(order) for order in bench.guest.received] == [{"weights", "name", "port", "args"}]
    report = bench.worker.report(replica)
    assert (report.techniques, report.fell_back) == (
        (),
        "stream: tensors of type 12 are read while they load",
    )
    await bench.close()


async def test_what_is_whole_before_its_header_is_seen(tmp_path: Path) -> None:
    bench = arriving(tmp_path)
    bench.types = frozenset()
    bench.weights.go.set()
    replica = begin(bench)
    await bench.until(Ready, replica)
    assert bench.guest.received[0]["weights"] == str(bench.weights.path("somewhere"))
    assert bench.worker.report(replica).techniques == ()
    await bench.close()


async def test_what_is_here_is_loaded_as_ever(tmp_path: Path) -> None:
    bench = arriving(tmp_path)
    bench.weights.path("somewhere").write_bytes(b"x")
    replica = begin(bench)
    await bench.until(Ready, replica)
    report = bench.worker.report(replica)
    assert (report.techniques, report.fell_back) == ((), "")
    assert "header" not in stages(bench, replica)
    await bench.close()


async def test_a_download_that_fails_after_the_load_fails_the_start(tmp_path: Path) -> None:
    bench = arriving(tmp_path)
    replica = begin(bench)
    await bench.begun(Stage.LOAD, replica)
    bench.weights.error = "it has another SHA-256"
    bench.weights.go.set()
    failed = await bench.until(StartFailed, replica)
    assert failed.reason == "weights could not be fetched: it has another SHA-256"
    assert not bench.substrate.running
    await bench.close()


async def test_an_engine_that_ends_after_its_load_fails_the_start(tmp_path: Path) -> None:
    bench = arriving(tmp_path)
    replica = begin(bench)
    while "load" not in stages(bench, replica):
        await settle()
    bench.substrate.spawned[0].end(Exit(signal=7))
    assert "killed by signal 7" in (await bench.until(StartFailed, replica)).reason
    again = begin(bench, "m-2")
    bench.weights.go.set()
    await bench.until(Ready, again)
    assert bench.weights.fetched == 1
    await bench.close()


async def test_no_file_stays_open(tmp_path: Path) -> None:
    bench = arriving(tmp_path)
    replicas = [begin(bench, f"m-{n}") for n in range(3)]
    for replica in replicas:
        await bench.begun(Stage.LOAD, replica)
    bench.weights.go.set()
    for replica in replicas:
        await bench.until(Ready, replica)
    await bench.close()
    assert not [link for link in _open() if link.startswith(str(tmp_path))]


def _open() -> list[str]:
    found: list[str] = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{fd}"))
        except FileNotFoundError:
            continue
    return found
