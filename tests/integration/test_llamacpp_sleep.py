"""The real engine asleep and awake: below a worker, and behind a gateway."""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fault.guardian_kit import alive
from fault.server_kit import PILOTLIGHT, Server, until
from integration.test_llamacpp_replica import House, cache, house, llama  # noqa: F401  # pyright: ignore[reportUnusedImport]  fixtures
from pilotlight.engines.registry import ENGINES
from pilotlight.fleet.events import Died, Ready, SleepFailed, Slept, Stopped
from pilotlight.weights.cache import WeightCache
from pilotlight_guest import guardian_proc as proc

GREEDY = {"prompt": "Once upon a time there was", "max_tokens": 24, "temperature": 0.0}
LLAMA: dict[str, Any] = {"source": "demo://50m", "ttl": "10m", "engine_args": {"n_ctx": 512, "n_threads": 1}}


async def sleeps(house: House, replica: str) -> int:  # noqa: F811
    house.worker.sleep(replica, 1)
    event = await house.until(Slept, SleepFailed, Died)
    assert isinstance(event, Slept), event
    return event.memory


async def wakes(house: House, replica: str) -> None:  # noqa: F811
    house.worker.wake(replica)
    assert isinstance(await house.until(Ready, Died), Ready)


async def test_it_gives_back_its_memory_and_answers_as_before(house: House) -> None:  # noqa: F811
    replica = await house.ready(llama())
    before = await house.post(replica, "/v1/completions", GREEDY)
    awake = house.worker._replicas[replica]._aside  # pyright: ignore[reportPrivateUsage]
    took, _ = await awake.measured()
    for _ in range(2):
        asleep = await sleeps(house, replica)
        assert asleep < took / 2
        pid = house.pid(replica)
        await wakes(house, replica)
        assert house.pid(replica) == pid, "it is the same process"
        after = await house.post(replica, "/v1/completions", GREEDY)
        assert after["choices"][0]["text"] == before["choices"][0]["text"]
    report = house.worker.report(replica)
    assert report.kind == "wake" and [span.stage for span in report.spans] == ["wake", "load"]


async def test_the_channel_closes_while_it_sleeps(house: House) -> None:  # noqa: F811
    replica = await house.ready(llama())
    await sleeps(house, replica)
    channel = house.worker._replicas[replica].starting.channel  # pyright: ignore[reportPrivateUsage]
    assert channel is not None
    channel._socket.shutdown(2)  # pyright: ignore[reportPrivateUsage]
    assert (await house.until(Died)).reason == "the engine exited with status 0"


@pytest.mark.skipif(not proc.LINUX, reason="threads are told apart by /proc")
def test_it_sleeps_however_late_its_loop_begins(cache: WeightCache, tmp_path: Path) -> None:  # noqa: F811
    """Its other threads have but what time this one and its first leave of one CPU, and both are at work from its
    readiness to its sleep."""
    near, far = socket.socketpair()
    near.settimeout(20)
    launch = ENGINES["llamacpp"].launch(llama(), 0, (), tmp_path)
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(mine)})
    env = {**os.environ, "PILOTLIGHT_CHANNEL": str(far.fileno())}
    engine = subprocess.Popen(launch.argv, env=env, pass_fds=[far.fileno()])
    try:
        said = near.makefile()
        assert [json.loads(said.readline())["event"] for _ in range(2)] == ["begin", "stage"]
        order = {"weights": str(cache.fetch("demo://50m")), "args": {"n_ctx": 256, "n_threads": 1}}
        near.sendall(json.dumps(order).encode() + b"\n")
        while not select.select([near], [], [], 0.001)[0]:
            for thread in map(int, os.listdir(f"/proc/{engine.pid}/task")):
                if thread != engine.pid:
                    with contextlib.suppress(ProcessLookupError):
                        os.sched_setscheduler(thread, os.SCHED_IDLE, os.sched_param(0))
        assert [json.loads(said.readline())["event"] for _ in range(2)] == ["stage", "ready"]
        near.sendall(b'{"sleep": 1}\n')
        assert json.loads(said.readline()) == {"event": "asleep"}
    finally:
        os.sched_setaffinity(0, mine)
        engine.kill()
        engine.wait()
        near.close()
        far.close()


@pytest.mark.parametrize("asleep", [False, True])
async def test_sigterm_ends_it(house: House, asleep: bool) -> None:  # noqa: F811
    replica = await house.ready(llama())
    await sleeps(house, replica)
    if not asleep:
        await wakes(house, replica)
    pid = house.pid(replica)
    house.worker.stop(replica, 1000.0)  # longer than anybody waits here for its end
    await house.until(Stopped)
    assert not alive(pid)


async def test_a_file_that_is_gone_when_it_wakes(house: House, tmp_path: Path, cache: Any) -> None:  # noqa: F811
    weights = tmp_path / "m.gguf"
    weights.write_bytes(cache.fetch("demo://50m").read_bytes())
    replica = await house.ready(llama(str(weights)))
    await sleeps(house, replica)
    weights.unlink()
    house.worker.wake(replica)
    reason = (await house.until(Died, Ready)).reason
    assert reason.startswith(f"the wake failed: {weights} is gone") or "exited with status 1" in reason


# -- behind a gateway ------------------------------------------------------------------------------------------------


def text(server: Server) -> str:
    return server.ask("/v1/completions", {"model": "m", **GREEDY}).json["choices"][0]["text"]


def is_sleeping(server: Server) -> bool:
    return server.ask("/models/m/is_sleeping").json["is_sleeping"]


def test_it_sleeps_after_a_while_and_a_request_wakes_it(tmp_path: Path) -> None:
    with Server(tmp_path, models={"m": {**LLAMA, "sleep_after": "300ms"}}) as server:
        assert not is_sleeping(server)
        before = text(server)
        pid = server.pid()
        server.until_states("asleep")
        assert is_sleeping(server)
        assert text(server) == before
        assert server.pid() == pid
        assert server.last_trace()["start"] == "woken"
        assert [s["stage"] for s in server.last_trace()["spans"]].count("wake") == 1
        server.until_states("asleep")
        answer = server.chat(max_tokens=4)
        assert answer.status == 200 and answer.headers["x-pilotlight-start"] == "woken"


def test_it_sleeps_and_wakes_on_order(tmp_path: Path) -> None:
    models = {
        "m": LLAMA,
        "deaf": {"engine": "command", "cmd": "false ${PORT}"},
        "never": {**LLAMA, "techniques": []},
    }
    with Server(tmp_path, models=models) as server:
        assert server.chat(max_tokens=4).headers["x-pilotlight-start"] == "cold"
        awake = server.running()[0]["memory_bytes"]
        answer = server.post("/models/m/sleep?level=2")
        assert (answer.status, answer.json["replicas"]) == (202, {"going_to_sleep": 1})
        server.until_states("asleep")
        assert server.running()[0]["memory_bytes"] < awake / 2
        assert is_sleeping(server)
        assert server.post("/models/m/wake_up").status == 202
        server.until_states("ready")
        assert not is_sleeping(server)
        assert server.chat(max_tokens=4).headers["x-pilotlight-start"] == "warm"

        wrong = server.post("/models/m/sleep?level=3")
        assert (wrong.status, wrong.json["error"]["message"]) == (400, "level is 1 or 2, not '3'")
        for name in ("deaf", "never"):
            wrong = server.post(f"/models/{name}/sleep")
            assert (wrong.status, wrong.json["error"]["code"]) == (409, "cannot_sleep")
        assert (
            server.post("/models/nobody/sleep").status == server.post("/models/nobody/wake_up").status == 404
        )
        assert server.ask("/models/nobody/is_sleeping").status == 404

        metrics = server.ask("/metrics").text
        assert 'pilotlight_wake_seconds_count{model="m"} 1.0' in metrics
        assert 'pilotlight_cold_start_seconds_count{model="m"} 1.0' in metrics


def test_the_command_line(tmp_path: Path) -> None:

    def sh(server: Server, *words: str) -> str:
        done = subprocess.run(
            [PILOTLIGHT, *words], env=server.env, capture_output=True, text=True, check=False
        )
        return done.stdout + done.stderr

    with Server(tmp_path, models={"m": LLAMA}) as server:
        assert sh(server, "sleep", "m") == "m: nothing was up\n"
        assert sh(server, "sleep", "m", "--wait").startswith("pilotlight: m does not sleep: nothing was up")
        assert sh(server, "wake", "m", "--wait") == "m: 1 ready\n"
        assert sh(server, "sleep", "m", "--wait", "--level", "1") == "m: 1 asleep\n"
        assert "asleep" in sh(server, "ps")
        assert sh(server, "wake", "m", "--wait", "--json") == '{"model": "m", "replicas": {"ready": 1}}\n'


def test_killed_in_its_sleep(tmp_path: Path) -> None:
    with Server(tmp_path, models={"m": LLAMA}) as server:
        server.chat(max_tokens=4)
        server.post("/models/m/sleep")
        server.until_states("asleep")
        os.kill(server.pid(), signal.SIGKILL)
        until(lambda: not server.running(), "its death is noticed")
        assert server.chat(max_tokens=4).headers["x-pilotlight-start"] == "cold"


def test_a_server_that_is_killed_leaves_no_sleeper(tmp_path: Path) -> None:
    with Server(tmp_path, models={"m": LLAMA}) as server:
        server.chat(max_tokens=4)
        server.post("/models/m/sleep")
        server.until_states("asleep")
        pid = server.pid()
        server.expected = -signal.SIGKILL
        server.kill()
        until(lambda: not alive(pid), "it ends with its server")
