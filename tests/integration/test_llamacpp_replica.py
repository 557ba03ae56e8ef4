"""Replicas as real processes: llama.cpp with the demo model, and command lines."""

import asyncio
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pilotlight.clock import SystemClock
from pilotlight.engines.registry import ENGINES
from pilotlight.fleet.actions import Start
from pilotlight.fleet.events import (
    Died,
    Event,
    Measured,
    Progressed,
    Ready,
    Recovered,
    Slept,
    StartFailed,
    Stopped,
)
from pilotlight.fleet.plan import Stage
from pilotlight.spec.model import Model
from pilotlight.substrate.local import LocalSubstrate
from pilotlight.weights import huge
from pilotlight.weights.cache import WeightCache
from pilotlight.worker.settings import Settings
from pilotlight.worker.supervisor import Worker

LAST_WORDS = (StartFailed, Died, Stopped)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> WeightCache:
    cache = WeightCache(tmp_path_factory.mktemp("weights"))
    cache.fetch("demo://50m")
    return cache


class House:
    """A worker on real processes."""

    def __init__(self, folder: Path, cache: WeightCache) -> None:
        self.news: asyncio.Queue[Event] = asyncio.Queue()
        self.seen: list[Event] = []
        self.substrate = LocalSubstrate(folder / "state")
        settings = Settings(
            config_dir=folder,
            log_dir=folder / "logs",
            env=dict(os.environ),
            measure_first=0.0,
            failed_grace=0.5,
        )
        self.worker = Worker(self.news.put_nowait, SystemClock(), self.substrate, cache, ENGINES, settings)
        self._count = 0

    def start(self, model: Model, techniques: tuple[str, ...] = ()) -> str:
        self._count += 1
        replica = f"m/{self._count}"
        plan = ENGINES[model.engine].plan(model)
        self.worker.start(Start(replica, "org/m:1", "local", (), plan, "a test", techniques), model)
        return replica

    async def until(self, *kinds: type[Any], stage: Stage | None = None) -> Any:
        async with asyncio.timeout(30):
            while True:
                event = await self.news.get()
                self.seen.append(event)
                if isinstance(event, kinds) and (stage is None or event.stage is stage):
                    return event

    async def ready(self, model: Model, techniques: tuple[str, ...] = ()) -> str:
        replica = self.start(model, techniques)
        event = await self.until(Ready, StartFailed)
        assert isinstance(event, Ready), event
        return replica

    async def failure(self, model: Model) -> str:
        self.start(model)
        event = await self.until(Ready, StartFailed)
        assert isinstance(event, StartFailed), event
        return event.reason

    def pid(self, replica: str) -> int:
        pid = self.worker.report(replica).pid
        assert pid is not None
        return pid

    async def post(self, replica: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(
            self.worker.url(replica) + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        return await asyncio.to_thread(lambda: json.load(urllib.request.urlopen(request, timeout=30)))


@pytest.fixture
async def house(tmp_path: Path, cache: WeightCache) -> AsyncIterator[House]:
    house = House(tmp_path, cache)
    await house.substrate.sweep()
    yield house
    await house.worker.close(0.5)
    await house.substrate.close()


def llama(source: str = "demo://50m", **args: bool | int | float | str) -> Model:
    return Model(source=source, target_requests=2, engine_args={"n_ctx": 256, **args})


def command(cmd: str, **fields: Any) -> Model:
    return Model(engine="command", cmd=cmd, **fields)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


# -- llama.cpp ---------------------------------------------------------------------------------------------------


async def test_it_answers_and_tells_where_the_time_went(house: House, cache: WeightCache) -> None:
    replica = await house.ready(llama(warmup=True, pooling_type="mean"))
    answer = await house.post(replica, "/v1/completions", {"prompt": "hello", "max_tokens": 4})
    assert answer["usage"]["completion_tokens"] == 4
    embedded = await house.post(replica, "/v1/embeddings", {"input": "hello"})
    assert len(embedded["data"][0]["embedding"]) == 768

    report = house.worker.report(replica)
    spans = {span.stage: span for span in report.spans}
    assert list(spans) == ["allocate", "fetch", "spawn", "import", "load", "warm_up"]
    assert all(span.seconds >= 0 and span.start >= report.ordered_at - 0.001 for span in report.spans)
    assert report.ready_at is not None
    assert 0 <= report.ready_at - spans["warm_up"].end < 1.0  # one clock for all processes

    measured = next((e for e in house.seen if isinstance(e, Measured)), None) or await house.until(Measured)
    file = cache.local("demo://50m")
    assert file is not None and 20 * 2**20 < measured.memory < file.stat().st_size + 200 * 2**20

    pid = report.pid
    house.worker.stop(replica, 5.0)
    await house.until(Stopped)
    assert pid is not None and not alive(pid)


async def test_a_warm_up_leaves_nothing_that_a_first_request_would_take_as_computed(house: House) -> None:
    replica = await house.ready(llama(warmup=True))
    answer = await house.post(replica, "/v1/completions", {"prompt": "the of and", "max_tokens": 1})
    assert answer["usage"]["prompt_tokens_details"]["cached_tokens"] == 0


async def test_each_request_has_the_whole_context(house: House) -> None:
    replica = await house.ready(llama(n_ctx=512))
    with urllib.request.urlopen(house.worker.url(replica) + "/slots", timeout=10) as answer:
        assert [slot["n_ctx"] for slot in json.load(answer)] == [512, 512]


async def test_weights_that_were_copied_in_small_pieces_are_laid_in_huge_pages_behind_its_stop(
    house: House, cache: WeightCache, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pilotlight.worker.laying")
    data, copy = cache.fetch("demo://50m").read_bytes(), tmp_path / "copy.gguf"
    for trial in (True, False):
        with copy.open("wb", buffering=0) as file:
            for i in range(0, len(data), 1 << 16):
                file.write(data[i : i + (1 << 16)])
        if trial and not huge.lay_anew([copy], lambda: False).huge:
            pytest.skip("the file system of the folder for temporary files keeps no files in huge pages")
    house.worker.stop(await house.ready(llama(str(copy)), ("huge_pages",)), 1.0)
    await house.until(Stopped)
    async with asyncio.timeout(20):
        while not caplog.messages:
            await asyncio.sleep(0.05)
    assert f"of {copy} anew in huge pages" in caplog.text
    assert not huge.is_small([copy]) and copy.read_bytes() == data
    await house.ready(llama(str(copy)))


async def test_weights_that_are_damaged(house: House, cache: WeightCache, tmp_path: Path) -> None:
    whole = cache.fetch("demo://50m").read_bytes()
    (tmp_path / "cut.gguf").write_bytes(whole[: len(whole) // 2])
    reason = await house.failure(llama(str(tmp_path / "cut.gguf")))
    assert reason.startswith("llama.cpp could not serve ") and "corrupted or incomplete" in reason
    (tmp_path / "header.gguf").write_bytes(whole[:5000])
    assert "header.gguf is not a usable GGUF file" in await house.failure(
        llama(str(tmp_path / "header.gguf"))
    )
    (tmp_path / "text.gguf").write_text("hello")
    assert "text.gguf" in await house.failure(llama(str(tmp_path / "text.gguf")))


@pytest.mark.parametrize("kind", ["pipe", "socket", "folder", "nothing"])
@pytest.mark.parametrize("name", ["m.gguf", "m-00002-of-00002.gguf"])
def test_what_took_the_place_of_its_file_while_it_began_is_waited_for_by_nobody(
    name: str, kind: str, cache: WeightCache, tmp_path: Path
) -> None:
    first, place = tmp_path / name.replace("00002-of", "00001-of"), tmp_path / name
    near, far = socket.socketpair()
    near.settimeout(20)
    launch = ENGINES["llamacpp"].launch(llama(), 0, (), tmp_path)
    env = {**os.environ, "PILOTLIGHT_CHANNEL": str(far.fileno())}
    engine = subprocess.Popen(launch.argv, env=env, pass_fds=[far.fileno()], stderr=subprocess.DEVNULL)
    try:
        said = near.makefile()
        assert [json.loads(said.readline())["event"] for _ in range(2)] == ["begin", "stage"]
        shutil.copy(cache.fetch("demo://50m"), first)
        place.unlink(missing_ok=True)
        match kind:
            case "pipe":
                os.mkfifo(place)
            case "socket":
                socket.socket(socket.AF_UNIX).bind(str(place))
            case "folder":
                place.mkdir()
            case _:
                pass
        near.sendall(json.dumps({"weights": str(first), "args": {"n_ctx": 256}}).encode() + b"\n")
        told = json.loads(said.readline())
        assert told["event"] == "error" and told["message"].startswith(
            f"{place} is gone, or is a folder, a pipe"
        )
        assert engine.wait(20) == 1
    finally:
        engine.kill()
        engine.wait()


async def test_a_pipe_in_the_place_of_its_file_ends_its_wake(
    house: House, cache: WeightCache, tmp_path: Path
) -> None:
    file = tmp_path / "m.gguf"
    shutil.copy(cache.fetch("demo://50m"), file)
    replica = await house.ready(llama(str(file)))
    house.worker.sleep(replica, 1)
    await house.until(Slept)
    file.unlink()
    os.mkfifo(file)
    house.worker.wake(replica)
    event = await house.until(Ready, Died)
    assert isinstance(event, Died) and str(file) in event.reason, event


async def test_an_argument_that_there_is_not(house: House) -> None:
    reason = await house.failure(llama(n_contx=3))
    assert reason == "unknown engine_arg 'n_contx'; did you mean n_ctx?"


async def test_killed_while_it_starts(house: House) -> None:
    replica = house.start(llama())
    await house.until(Progressed, stage=Stage.IMPORT)
    os.kill(house.pid(replica), signal.SIGKILL)
    failed = await house.until(StartFailed)
    assert failed.reason.startswith("the engine was killed by signal 9 after ")


async def test_killed_while_idle(house: House) -> None:
    replica = await house.ready(llama())
    os.kill(house.pid(replica), signal.SIGKILL)
    assert (await house.until(Died)).reason == "the engine was killed by signal 9"


async def test_hung(house: House) -> None:
    model = Model(source="demo://50m", engine_args={"n_ctx": 256}, probe_interval=0.1, probe_timeout=0.5)
    replica = await house.ready(model)
    pid = house.pid(replica)
    os.kill(pid, signal.SIGSTOP)
    assert (await house.until(Died)).reason == "hung: health did not answer for 0.50 s"
    assert not alive(pid)


async def test_a_suspect_is_asked(house: House) -> None:
    replica = await house.ready(llama())
    house.worker.probe(replica)
    await house.until(Recovered)


async def test_stopped_at_any_moment_of_its_start(house: House) -> None:
    for stage in (Stage.ALLOCATE, Stage.SPAWN, Stage.IMPORT, Stage.LOAD):
        replica = house.start(llama())
        await house.until(Progressed, stage=stage)
        house.worker.stop(replica, 5.0)
        await house.until(Stopped)
        pid = house.worker.report(replica).pid
        assert pid is None or not alive(pid)


async def test_closing_the_channel_ends_it(house: House) -> None:
    replica = await house.ready(llama())
    channel = house.worker._replicas[replica].starting.channel
    assert channel is not None
    await channel.close()
    assert (await house.until(Died)).reason == "the engine exited with status 0"


# -- commands ----------------------------------------------------------------------------------------------------

SERVE = """
import http.server, sys, time, threading
state = {"status": 503}
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(state["status"]); self.end_headers()
    def log_message(self, *a): pass
time.sleep(float(sys.argv[2]))
threading.Timer(float(sys.argv[3]), lambda: state.update(status=200)).start()
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), H).serve_forever()
"""


@pytest.fixture
def serve(tmp_path: Path) -> str:
    (tmp_path / "serve.py").write_text(SERVE)
    return f"{sys.executable} -I serve.py ${{PORT}}"


async def test_a_command_serves_when_its_health_says_so(house: House, serve: str) -> None:
    replica = await house.ready(command(f"{serve} 0.1 0.2"))
    report = house.worker.report(replica)
    assert [span.stage for span in report.spans] == ["allocate", "spawn", "load"]
    _, spawn, load = report.spans
    assert load.end - spawn.start >= 0.3
    house.worker.stop(replica, 5.0)
    await house.until(Stopped)


async def test_a_command_that_fails_gives_its_last_lines(house: House) -> None:
    model = command("sh -c 'echo loading; echo ValueError: no such model >&2; exit 1'")
    reason = await house.failure(model)
    assert (
        reason.startswith("the engine exited with status 1 after ") and "ValueError: no such model" in reason
    )
    assert house.worker.log_tail("m/1") == ("loading", "ValueError: no such model")
    assert [p.name for p in house.worker.log_paths("org/m:1")] == ["1.log"]


async def test_a_command_that_is_not_there(house: House) -> None:
    assert "'no-such-engine' was not found on PATH" in await house.failure(command("no-such-engine ${PORT}"))


async def test_a_command_that_never_gets_ready_is_stopped(house: House, serve: str) -> None:
    replica = house.start(command(f"{serve} 0 1000"))
    await house.until(Progressed, stage=Stage.LOAD)
    await asyncio.sleep(0.1)  # real time: let it listen
    house.worker.stop(replica, 0.5)
    await house.until(Stopped)


async def test_a_foreign_server_on_a_fixed_port_is_not_taken_for_ours(house: House) -> None:
    with socket.create_server(("127.0.0.1", 0)) as foreign:
        port = foreign.getsockname()[1]
        reason = await house.failure(command("sleep 1000", proxy=f"http://127.0.0.1:{port}"))
    assert f"port {port} is in use by another process" in reason
