"""`pilotlight engine` with an engine of a few bytes: the recipe is data, so all but the wheels is as for vLLM."""

import base64
import fcntl
import hashlib
import json
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from integration.kit import until
from pilotlight.cli import engine_install, main
from pilotlight.cli.engine_install import Order
from pilotlight.engines import homes
from pilotlight.engines.homes import HALF, Recipe
from pilotlight.errors import EngineError

TINY = Recipe(
    "a test", "1.0", "tinyengine", remove=("tinyextra",), known_as=("tiny", "{version}+cpu"), hint="a hint"
)


@pytest.fixture(autouse=True)
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place that pip finds anything."""
    monkeypatch.setenv("PILOTLIGHT_ENGINES", str(tmp_path / "engines"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "shop"))
    monkeypatch.setattr(homes, "RECIPES", {"tiny": TINY})
    (tmp_path / "shop").mkdir()
    wheel(tmp_path / "shop", "tinyextra", "1.0", "")
    wheel(tmp_path / "shop", "tinyengine", "1.0", "it = 'works'", requires="tinyextra")
    return tmp_path / "shop"


def wheel(folder: Path, name: str, version: str, text: str, requires: str = "") -> None:
    info = f"{name}-{version}.dist-info"
    about = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    files = {
        f"{name}.py": text,
        f"{info}/METADATA": about + (f"Requires-Dist: {requires}\n" if requires else ""),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = []
    for path, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content.encode()).digest()).rstrip(b"=").decode()
        rows.append(f"{path},sha256={digest},{len(content)}")
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as file:
        for path, content in {**files, f"{info}/RECORD": "\n".join([*rows, f"{info}/RECORD,,\n"])}.items():
            file.writestr(path, content)


def listed(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    capsys.readouterr()
    assert main.main(["engine", "list", "--json"]) == 0
    return json.loads(capsys.readouterr().out)["engines"][0]


def test_its_life(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert listed(capsys)["state"] == "not installed"
    said: list[str] = []
    home = engine_install.install(Order("tiny"), said.append)
    assert home.versions == {"tinyengine": "1.0"} and home.size > 0
    assert any("Installing collected packages" in line for line in said)
    code = "import tinyengine, importlib.metadata as m; print(tinyengine.it, m.version('tiny'))"
    out = subprocess.run([home.python, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split() == ["works", "1.0+cpu"]
    assert not list(home.folder.rglob("tinyextra*"))

    assert listed(capsys)["state"] == "installed"
    said.clear()
    assert engine_install.install(Order("tiny"), said.append) == home
    assert said == [f"tiny is installed already, in {home.folder}"]

    (home.folder / HALF).touch()  # as one leaves it that is killed
    assert listed(capsys)["state"] == "half installed"
    with pytest.raises(EngineError, match="half installed"):
        homes.find("tiny")
    again = engine_install.install(Order("tiny"), said.append)
    assert again.made > home.made and homes.find("tiny") == again

    wheel(shop, "tinyengine", "2.0", "raise ImportError('no such library')")
    with pytest.raises(EngineError, match=r"importing tiny failed[\s\S]*no such library[\s\S]*a hint"):
        engine_install.install(Order("tiny", version="2.0"), said.append)
    assert listed(capsys)["state"] == "half installed"
    assert engine_install.remove("tiny") == home.folder and not home.folder.exists()


def test_two_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "engines" / "tiny").mkdir(parents=True)
    with (tmp_path / "engines" / ".tiny.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for work in (
            lambda: engine_install.install(Order("tiny"), print),
            lambda: engine_install.remove("tiny"),
        ):
            with pytest.raises(EngineError, match="by another process"):
                work()
        assert listed(capsys)["state"] == "being installed"
    assert listed(capsys)["state"] == "half installed"


def test_what_there_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(EngineError, match="there is no engine 'other' to install; there are tiny"):
        engine_install.install(Order("other"), print)
    assert main.main(["engine", "remove", "tiny"]) == 1
    assert main.main(["engine"]) == 2
    assert "engine tiny is not installed" in capsys.readouterr().err


def test_one_that_is_interrupted_is_never_whole(tmp_path: Path) -> None:
    slow = tmp_path / "slow"
    slow.write_text(f"#!/bin/sh\necho begun >{tmp_path}/begun\nsleep 1000\n")
    slow.chmod(0o700)
    command = [
        sys.executable,
        "-m",
        "pilotlight.cli.main",
        "engine",
        "install",
        "sglang",
        "--python",
        str(slow),
    ]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    until((tmp_path / "begun").exists, "it is at work")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    with pytest.raises(EngineError, match="half installed"):
        homes.find("sglang")
    until(lambda: not engine_install.installing("sglang"), "the lock goes with all that was at work")
