"""Bringing a replica up, and every way in which that fails."""

import asyncio
from pathlib import Path

import pytest

from pilotlight.coldstart import plans
from pilotlight.engines.fake import FakeEngine
from pilotlight.fleet.deployment import Need
from pilotlight.fleet.events import Ready, StartFailed
from pilotlight.fleet.plan import Plan, Stage, step
from pilotlight.ports import Exit, WeightsInfo
from pilotlight.spec.model import Model
from pilotlight.substrate.fake import Script
from pilotlight.weights.fake import FakeWeights
from unit.worker.bench import Bench, Guest


async def failure(bench: Bench, replica: str) -> str:
    return (await bench.until(StartFailed, replica)).reason


async def test_a_start_runs_its_plan_and_reports_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    replica = await bench.ready()
    assert set(bench.of(replica)) == {"allocate", "fetch", "spawn", "import", "load", "Ready"}
    assert bench.of(replica)[-1] == "Ready"
    assert bench.worker.url(replica) == "http://127.0.0.1:4711"
    report = bench.worker.report(replica)
    told = {span.stage: (span.start, span.end) for span in report.spans}
    assert told["import"] == (2.0, 3.0) and told["load"] == (4.0, 5.0) and told["spawn"][1] == 1.0
    assert set(told) == {"allocate", "fetch", "spawn", "import", "load"}
    assert report.ready_at is not None and report.ready_at >= report.ordered_at
    assert report.doing == "ready" and report.engine == "llamacpp" and report.pid == 1001
    assert report.log == tmp_path / "logs" / "org%2Fchat%3A1" / "1.log"
    assert bench.sized()[0].deployment == "org/chat:1" and bench.sized()[0].need.memory == 2**20 + 100
    await bench.close()


async def test_a_guess_at_what_it_takes_of_a_gpu_is_told_as_well(tmp_path: Path) -> None:
    class OnGpu(FakeEngine):
        def need(self, model: Model, weights: WeightsInfo | None) -> Need:
            return Need(7, 1, weights.size if weights else None, estimated=False, gpu_estimated=True)

    bench = Bench(tmp_path, engines={"llamacpp": OnGpu()})
    await bench.ready(Model(source="s", memory=7, gpus=1))
    assert [sized.need.gpu_memory for sized in bench.sized()] == [100]
    await bench.close()


async def test_the_engine_gets_weights_settings_and_environment(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    await bench.ready(Model(source="s", engine_args={"n_ctx": 5}, env={"MINE": "1"}, memory=7))
    assert bench.guest.received == [
        {
            "weights": str(bench.weights.path("s")),
            "name": "org/chat:1",
            "port": 0,
            "args": {"n_ctx": 5},
        }
    ]
    command = bench.substrate.spawned[0].command
    assert command.channel and command.env == {"FROM": "server", "MINE": "1"}
    assert bench.sized() == []  # the operator has said what it needs
    await bench.close()


async def test_the_runtime_is_imported_while_weights_are_on_their_way(tmp_path: Path) -> None:
    bench = Bench(tmp_path, weights=FakeWeights(tmp_path, slow=True))
    replica = bench.start()
    await bench.begun(Stage.IMPORT, replica)
    while not bench.worker.report(replica).doing.startswith("fetching"):
        await asyncio.sleep(0)
    assert bench.worker.report(replica).doing == "fetching 34 %"
    assert "load" not in bench.of(replica)
    bench.weights.go.set()
    await bench.until(Ready, replica)
    await bench.close()


async def test_starts_of_one_source_share_a_fetch(tmp_path: Path) -> None:
    bench = Bench(tmp_path, weights=FakeWeights(tmp_path, slow=True))
    replicas = [bench.start() for _ in range(3)]
    for replica in replicas:
        await bench.begun(Stage.IMPORT, replica)
    bench.weights.go.set()
    for replica in replicas:
        await bench.until(Ready, replica)
    assert bench.weights.fetched == 1
    await bench.close()


async def test_weights_that_cannot_be_had(tmp_path: Path) -> None:
    bench = Bench(tmp_path, weights=FakeWeights(tmp_path, error="no such file on the hub"))
    replica = bench.start()
    assert await failure(bench, replica) == "weights could not be fetched: no such file on the hub"
    assert not bench.substrate.running


async def test_what_the_engine_says_is_the_reason(tmp_path: Path) -> None:
    guest = Guest(error={"message": "unknown engine_arg 'n_cxt'", "see_log": False})
    bench = Bench(tmp_path, Script(player=guest, output=b"error: something else\n"))
    assert await failure(bench, bench.start()) == "unknown engine_arg 'n_cxt'"


async def test_the_log_says_more_where_the_engine_refers_to_it(tmp_path: Path) -> None:
    guest = Guest(error={"message": "llama.cpp could not serve it", "see_log": True})
    output = b"0.00.1 W srv init: hm\n0.00.04 E llama_model_load: error loading model: bad magic\nbye\n"
    bench = Bench(tmp_path, Script(player=guest, output=output))
    replica = bench.start()
    reason = await failure(bench, replica)
    assert reason == "llama.cpp could not serve it: llama_model_load: error loading model: bad magic"
    assert bench.worker.log_tail(replica, 1) == ("bye",)
    assert bench.worker.report(replica).doing == reason


async def test_an_engine_that_exits_while_starting(tmp_path: Path) -> None:
    script = Script(
        player=Guest(until="import"),
        exit_after=0.01,
        exit=Exit(code=1),
        output=b"ValueError: no such model\n",
    )
    bench = Bench(tmp_path, script)
    reason = await failure(bench, bench.start())
    assert reason.startswith("the engine exited with status 1 after ")
    assert reason.endswith(" ms: ValueError: no such model")


async def test_an_engine_that_is_killed_while_starting(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Script(player=Guest(until="weights")))
    replica = bench.start()
    await bench.begun(Stage.LOAD, replica)
    bench.substrate.spawned[0].end(Exit(signal=9))
    assert (await failure(bench, replica)).startswith("the engine was killed by signal 9 after ")


async def test_words_that_are_none(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Script(player=Guest(garbage=b"hello\n")))
    assert "which is no message" in await failure(bench, bench.start())


async def test_a_command_that_cannot_be_run(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Script(fails="was not found on PATH"))
    assert await failure(bench, bench.start()) == "cmd 'fake-engine' was not found on PATH"


@pytest.mark.parametrize(
    ("model", "plan", "reason"),
    [
        (Model(), plans.embedded(), "the model has no source"),
        (Model(source="s", engine="other"), plans.embedded(), "there is no engine 'other'"),
        (Model(source="s"), Plan((step(Stage.HOLD),)), "a step 'hold' that this worker does not know"),
        (Model(source="s"), Plan((step(Stage.LOAD, ["runtime"]),)), "the plan cannot be carried out"),
        (
            Model(source="s", engine="command"),
            Plan((plans.ALLOCATE, step(Stage.IMPORT, ["place"]))),
            "which this engine does not tell of",
        ),
    ],
)
async def test_what_cannot_be_carried_out(tmp_path: Path, model: Model, plan: Plan, reason: str) -> None:
    bench = Bench(tmp_path)
    assert reason in await failure(bench, bench.start(model, plan))


async def test_a_log_folder_that_cannot_be_written(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    (tmp_path / "logs").write_text("a file")
    assert "File exists" in await failure(bench, bench.start())


# -- commands: nobody tells, health is asked ---------------------------------------------------------------------

COMMAND = Model(engine="command", env={"PORT": "${PORT}"})


async def listen(port: int) -> asyncio.Server:
    return await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", port)


async def test_a_command_is_ready_when_its_health_says_so(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Script())
    bench.health = 503
    replica = bench.start(COMMAND)
    await bench.begun(Stage.LOAD, replica)
    assert bench.asked == 0  # nobody listens, so nobody is asked
    server = await listen(int(bench.substrate.spawned[0].command.env["PORT"]))
    while bench.asked < 3:
        await asyncio.sleep(0.001)
    assert "Ready" not in bench.of(replica)
    bench.health = 200
    await bench.until(Ready, replica)
    assert bench.of(replica) == ["allocate", "spawn", "load", "Ready"]
    await bench.close()
    server.close()


async def test_one_that_is_stopped_before_it_is_ready_tells_what_its_health_said(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Script())
    bench.health = 503
    replica = bench.start(COMMAND)
    await bench.begun(Stage.LOAD, replica)
    port = int(bench.substrate.spawned[0].command.env["PORT"])
    assert bench.worker.report(replica).seen == "", "it may still come"
    server = await listen(port)
    while bench.asked < 2:
        await asyncio.sleep(0.001)
    bench.worker.stop(replica, 1.0)
    assert bench.worker.report(replica).seen == "health last answered 503"
    await bench.close()
    server.close()


async def test_one_that_tells_by_itself_and_hangs_is_told_with_the_step_that_is_not_done(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, Script(player=Guest(until="weights")))
    replica = bench.start()
    await bench.begun(Stage.LOAD, replica)
    assert bench.worker.report(replica).seen == "", "it may still come"
    bench.worker.stop(replica, 1.0)
    seen = bench.worker.report(replica).seen
    assert seen.startswith("not done: load (begun after "), seen
    assert seen.endswith(
        "); `pilotlight logs org/chat:1` has what the engine said last, and where it was only slow a longer "
        "startup_timeout helps"
    )
    await bench.close()


async def test_a_fixed_port_that_is_taken(tmp_path: Path) -> None:
    server = await listen(0)
    port = server.sockets[0].getsockname()[1]
    bench = Bench(tmp_path, Script(), engines={"command": _FixedPort(port)})
    reason = await failure(bench, bench.start(COMMAND))
    assert f"port {port} is in use by another process" in reason
    assert not bench.substrate.spawned
    server.close()


class _FixedPort:
    def __init__(self, port: int) -> None:
        from pilotlight.engines.command import CommandEngine

        self._real, self._port = CommandEngine(), port
        self.name, self.need, self.settings, self.plan = (
            "command", self._real.need, self._real.settings, self._real.plan,
        )  # fmt: skip

    def launch(self, model: Model, *rest: object):  # type: ignore[no-untyped-def]
        fixed = Model(engine="command", cmd="serve", proxy=f"http://localhost:{self._port}")
        return self._real.launch(fixed, *rest)  # type: ignore[arg-type]
