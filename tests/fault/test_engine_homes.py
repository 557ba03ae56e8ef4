"""Engines with an environment of their own that is missing, half there, or broken."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import yaml

from fault.server_kit import PILOTLIGHT, Server
from pilotlight.engines import homes
from pilotlight.errors import EngineError


@pytest.fixture
def model(tmp_path: Path) -> dict[str, object]:
    folder = tmp_path / "llama"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    return {"engine": "vllm-cpu", "source": str(folder), "ttl": "10m", "memory": "64MiB"}


def broken(tmp_path: Path) -> dict[str, str]:
    """An environment that is whole as far as its marker says, in which there is no vLLM."""
    home = tmp_path / "engines" / "vllm-cpu"
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "python").symlink_to(Path(sys.executable).resolve())
    mark = homes.Mark("vllm-cpu", "", {"vllm-cpu": "0.32.0"}, (), made=0.0, size=0)
    (home / homes.MARK).write_bytes(msgspec.json.encode(mark))
    return {"PILOTLIGHT_ENGINES": str(tmp_path / "engines")}


@pytest.mark.parametrize("verb", ["check", "serve"])
def test_one_that_is_not_whole_is_said_before_anything_is_served(
    verb: str, tmp_path: Path, model: dict[str, object]
) -> None:
    env = {**os.environ, **broken(tmp_path)}
    config = tmp_path / "pilotlight.yaml"
    config.write_text(
        yaml.safe_dump({"port": 0, "state_dir": str(tmp_path / "state"), "models": {"m": model}})
    )
    (tmp_path / "engines" / "vllm-cpu" / homes.HALF).touch()
    for fault in ("is half installed in", "is not installed; run: pilotlight engine install vllm-cpu"):
        command = [PILOTLIGHT, verb, config]
        done = subprocess.run(command, check=False, env=env, capture_output=True, text=True, timeout=30)
        assert done.returncode == 2, done
        assert f"models.m.engine: engine vllm-cpu {fault}" in done.stderr
        (tmp_path / "engines" / "vllm-cpu").rename(tmp_path / "away") if fault.startswith("is half") else None


def test_one_that_is_missing_leaves_the_other_models_alone(tmp_path: Path, model: dict[str, object]) -> None:
    other = {"source": "demo://50m", "ttl": "10m"}
    engines = {"PILOTLIGHT_ENGINES": str(tmp_path / "engines")}
    with Server(tmp_path / "house", models={"a.b/m": model, "other": other}, env=engines) as server:
        assert server.chat(model="other", max_tokens=2).status == 200
        answer = server.chat(model="a.b/m")
        assert answer.status == 503
        assert "is not installed; run: pilotlight engine install vllm-cpu" in answer.error["message"]
        assert "its models answer 503 until then" in server.log()


@pytest.mark.parametrize("folder", ["none", "empty"])
def test_a_home_that_is_none_is_not_put_right_by_installing_elsewhere(folder: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        EngineError, match=r"has no bin/python; set `home` to .*, or leave `home` out and run"
    ):
        homes.find("vllm", tmp_path / folder)


def test_one_in_which_nothing_can_be_imported(tmp_path: Path, model: dict[str, object]) -> None:
    with Server(tmp_path / "house", models={"m": model}, env=broken(tmp_path)) as server:
        answer = server.chat()
        assert answer.status == 503, answer
        assert "vLLM cannot be imported: ModuleNotFoundError" in answer.error["message"]


def test_one_that_goes_away_while_serving(tmp_path: Path, model: dict[str, object]) -> None:
    with Server(tmp_path / "house", models={"m": model}, env=broken(tmp_path)) as server:
        (tmp_path / "engines" / "vllm-cpu" / homes.MARK).unlink()
        answer = server.chat()
        assert answer.status == 503 and "pilotlight engine install vllm-cpu" in answer.error["message"]
