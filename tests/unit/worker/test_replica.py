"""Watching a replica that is up, and ending one in whatever state it is."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from pilotlight.clock import VirtualClock
from pilotlight.fleet.events import Died, Failing, Measured, Ready, Recovered, Stopped
from pilotlight.fleet.plan import Span, Stage
from pilotlight.ports import Exit
from pilotlight.spec.model import Model
from pilotlight.substrate.fake import Script
from pilotlight.weights.fake import FakeWeights
from pilotlight.worker.start import Starting
from unit.worker.bench import Bench, Guest, settle

WATCHED = Model(source="s", probe_interval=5.0, probe_timeout=15.0)


# -- up ----------------------------------------------------------------------------------------------------------


async def test_a_crash_is_told_at_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    replica = await bench.ready()
    bench.substrate.spawned[0].end(Exit(signal=9))
    assert (await bench.until(Died, replica)).reason == "the engine was killed by signal 9"
    assert bench.worker.report(replica).doing == "the engine was killed by signal 9"
    with pytest.raises(KeyError):
        bench.worker.url(replica)
    bench.worker.stop(replica, 1.0)
    await settle()
    assert len(bench.last_words(replica)) == 1


async def test_what_its_engine_does_once_is_told_as_no_part_of_the_usual_start(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.guest.compiles = 7.5
    replica = await bench.ready()
    assert [span for span in bench.worker.report(replica).spans if span.once] == [
        Span("compile", 1e9, 1e9 + 7.5, once=True)
    ]
    assert 7.5 <= (await bench.until(Ready, replica)).fetched < 8.5
    await bench.close()


async def test_a_crash_is_told_before_what_it_leaves_is_cleared_up(tmp_path: Path) -> None:
    clock = VirtualClock()
    bench = Bench(tmp_path, Script(player=Guest(), clearing_takes=5.0), clock=clock)
    replica = await bench.ready()
    bench.substrate.spawned[0].end(Exit(signal=9))
    told = await bench.until(Failing, replica)
    assert told.reason == "the engine was killed by signal 9"
    await settle()
    assert bench.last_words(replica) == [] and bench.of(replica)[-1] == "Failing"
    clock.run_until(5.0)
    assert (await bench.until(Died, replica)).reason == told.reason


async def test_one_that_hangs_is_told_before_it_is_killed(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    replica = await bench.ready()
    bench.health = ConnectionRefusedError()
    bench.worker.probe(replica)
    await bench.until(Died, replica)
    assert bench.of(replica)[-2:] == ["Failing", "Died"]


async def test_one_that_was_told_to_stop_does_not_fail(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    replica = await bench.ready()
    bench.worker.stop(replica, 1.0)
    bench.substrate.spawned[0].end(Exit(signal=9))
    await bench.until(Stopped, replica)
    assert "Failing" not in bench.of(replica)


async def test_one_that_never_answers_is_killed(tmp_path: Path) -> None:
    clock = VirtualClock()
    bench = Bench(tmp_path, clock=clock)
    replica = await bench.ready(WATCHED)
    await settle()
    bench.health = TimeoutError()
    clock.run_until(4.9)
    await settle()
    assert bench.asked == 0
    clock.run_until(5.0)
    assert (await bench.until(Died, replica)).reason == "hung: health did not answer for 15 s"
    assert bench.substrate.spawned[0].events == ["SIGKILL"]


async def pass_time(clock: VirtualClock, until: float) -> None:
    while clock.now() < until:
        clock.run_until(clock.now() + 0.5)
        await settle()


async def test_a_bad_answer_is_borne_for_the_same_time(tmp_path: Path) -> None:
    clock = VirtualClock()
    bench = Bench(tmp_path, clock=clock)
    replica = await bench.ready(WATCHED)
    await settle()
    bench.health = 503
    await pass_time(clock, 15)
    bench.health = 200
    await pass_time(clock, 40)
    assert bench.last_words(replica) == []
    bench.health = ConnectionRefusedError()
    await pass_time(clock, 65)
    assert (await bench.until(Died, replica)).reason == "hung: health refused the connection for 15 s"


async def test_probe_interval_zero_asks_never(tmp_path: Path) -> None:
    clock = VirtualClock()
    bench = Bench(tmp_path, clock=clock)
    await bench.ready(Model(source="s", probe_interval=0.0))
    await pass_time(clock, 60)
    assert bench.asked == 0
    await bench.close()


async def test_a_suspect_that_answers(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    replica = await bench.ready()
    bench.worker.probe(replica)
    await bench.until(Recovered, replica)
    await bench.close()
    bench.worker.probe(replica)  # nothing comes of it


async def test_a_suspect_that_does_not(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    replica = await bench.ready()
    bench.health = ConnectionRefusedError()
    bench.worker.probe(replica)
    died = await bench.until(Died, replica)
    assert died.reason == "a request could not reach it, and health refused the connection"
    assert "Recovered" not in bench.of(replica)
    assert bench.asked == 1


@pytest.mark.parametrize(
    "trouble", [503, TimeoutError(), ConnectionResetError(104, "reset"), ValueError("odd")]
)
async def test_a_suspect_that_is_only_in_trouble_may_come_back(
    tmp_path: Path, trouble: int | Exception
) -> None:
    clock = VirtualClock()
    bench = Bench(tmp_path, clock=clock)
    replica = await bench.ready(msgspec.structs.replace(WATCHED, probe_interval=0.0))
    bench.health = trouble
    bench.worker.probe(replica)
    await pass_time(clock, 14)
    assert bench.last_words(replica) == [] and "Recovered" not in bench.of(replica)
    bench.health = 200
    await pass_time(clock, 15)
    await bench.until(Recovered, replica)
    await bench.close()


async def test_a_suspect_in_trouble_for_too_long(tmp_path: Path) -> None:
    clock = VirtualClock()
    bench = Bench(tmp_path, clock=clock)
    replica = await bench.ready(msgspec.structs.replace(WATCHED, probe_interval=0.0))
    bench.health = 503
    bench.worker.probe(replica)
    await settle()
    await pass_time(clock, 15)
    died = await bench.until(Died, replica)
    assert died.reason == "a request could not reach it, and health answered 503 for 15 s"


async def test_an_error_while_watching_does_not_end_the_watch(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = VirtualClock()
    bench = Bench(tmp_path, clock=clock)
    replica = await bench.ready()
    bench.measure_error = RuntimeError("NVML went away")
    async with asyncio.timeout(5):  # measuring is in a thread, which virtual time does not wait for
        while "NVML went away" not in caplog.text:
            await pass_time(clock, 2)
            await asyncio.sleep(0.002)
        assert replica in caplog.text
        bench.measure_error = None
        while "Measured" not in bench.of(replica):
            await pass_time(clock, clock.now() + 1)
            await asyncio.sleep(0.002)
    await bench.close()


async def test_memory_is_measured(tmp_path: Path) -> None:
    clock = VirtualClock()
    bench = Bench(tmp_path, clock=clock)
    bench.measured = (1000, 70)
    replica = await bench.ready()
    assert bench.worker.memory(replica) is None
    await settle()
    clock.run_until(1.0)
    first = await bench.until(Measured, replica)
    assert (first.memory, first.gpu_memory, first.at) == (1000, 70, 1.0)
    assert bench.worker.memory(replica) == 1000 and bench.worker.report(replica).memory == 1000
    await settle()
    bench.measured = (2000, None)
    clock.run_until(6.0)
    await bench.until(Measured, replica, memory=2000)
    await bench.close()


# -- ending ------------------------------------------------------------------------------------------------------


async def test_a_ready_one_is_stopped(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    replica = await bench.ready()
    bench.worker.stop(replica, 1.0)
    bench.worker.stop(replica, 1.0)
    await bench.until(Stopped, replica)
    assert bench.substrate.spawned[0].events == ["SIGTERM"]
    assert len(bench.last_words(replica)) == 1 and "Died" not in bench.of(replica)


async def test_stopped_before_it_has_begun(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    replica = bench.start()
    bench.worker.stop(replica, 1.0)
    await bench.until(Stopped, replica)
    assert bench.of(replica) == ["Stopped"] and not bench.substrate.spawned


async def test_stopped_while_fetching_does_not_wait_for_the_fetch(tmp_path: Path) -> None:
    bench = Bench(tmp_path, weights=FakeWeights(tmp_path, slow=True))
    replica = bench.start()
    await bench.begun(Stage.IMPORT, replica)
    bench.worker.stop(replica, 1.0)
    await bench.until(Stopped, replica)
    assert not bench.substrate.running
    again = bench.start()
    await bench.begun(Stage.IMPORT, again)  # it waits for the same fetch by now
    bench.weights.go.set()
    await bench.begun(Stage.LOAD, again)
    assert bench.weights.fetched == 1
    await bench.close()


async def test_stopped_while_its_process_is_being_made(tmp_path: Path) -> None:
    clock = VirtualClock()
    bench = Bench(tmp_path, Script(spawn_takes=3.0), clock=clock)
    replica = bench.start()
    await bench.begun(Stage.SPAWN, replica)
    await settle()
    bench.worker.stop(replica, 1.0)
    await settle()
    assert bench.last_words(replica) == []  # a process may yet come of it
    clock.run_until(3.0)
    await settle()
    assert not bench.substrate.running or bench.substrate.spawned[0].events == ["SIGTERM"]
    clock.run_until(4.0)
    await bench.until(Stopped, replica)


async def test_stopped_though_it_never_gets_ready(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Script(player=Guest(until="weights")))
    replica = bench.start()
    await bench.begun(Stage.LOAD, replica)
    bench.worker.stop(replica, 1.0)
    await bench.until(Stopped, replica)
    assert len(bench.last_words(replica)) == 1


async def test_a_command_that_never_listens_is_stopped(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Script())
    replica = bench.start(Model(engine="command"))
    await bench.begun(Stage.LOAD, replica)
    bench.worker.stop(replica, 1.0)
    await bench.until(Stopped, replica)


async def test_one_that_is_deaf_to_sigterm(tmp_path: Path) -> None:
    clock = VirtualClock()
    guest = Guest()
    bench = Bench(tmp_path, Script(player=guest, term_takes=None), clock=clock)
    replica = await bench.ready()
    bench.worker.stop(replica, 10.0)
    await settle()
    clock.run_until(9.9)
    await settle()
    assert bench.last_words(replica) == []
    clock.run_until(10.0)
    await bench.until(Stopped, replica)


async def test_stopped_while_a_failed_start_is_cleared_up(tmp_path: Path) -> None:
    clock = VirtualClock()
    guest = Guest(error={"message": "no", "see_log": False})
    bench = Bench(tmp_path, Script(player=guest, term_takes=1.0), clock=clock)
    replica = bench.start()
    while not bench.substrate.spawned or not bench.substrate.spawned[0].events:
        await asyncio.sleep(0)
    bench.worker.stop(replica, 5.0)
    clock.run_until(1.0)
    await bench.until(Stopped, replica)
    assert len(bench.last_words(replica)) == 1


async def test_a_clearing_up_that_fails_does_not_keep_back_the_last_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(_: Starting) -> None:
        raise OSError("bad fd")

    monkeypatch.setattr(Starting, "close", fail)
    bench = Bench(tmp_path)
    replica = await bench.ready()
    bench.worker.stop(replica, 1.0)
    await bench.until(Stopped, replica)
    assert "bad fd" in caplog.text


async def test_close_ends_all(tmp_path: Path) -> None:
    bench = Bench(tmp_path, weights=FakeWeights(tmp_path, slow=True))
    replicas = [bench.start() for _ in range(3)]
    await bench.begun(Stage.IMPORT, replicas[2])
    await bench.close()
    assert [type(w) for r in replicas for w in bench.last_words(r)] == [Stopped] * 3
    bench.weights.go.set()


async def test_one_that_nobody_knows(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.worker.stop("who", 1.0)
    assert bench.of("who") == ["Stopped"]
    assert bench.worker.log_tail("who") == () and bench.worker.memory("who") is None
    with pytest.raises(KeyError):
        bench.worker.report("who")
