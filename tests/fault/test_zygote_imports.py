"""Zygotes that do not come up, and that of what was installed before."""

from pathlib import Path

import pytest

from fault.guardian_kit import (
    linux_only,
    local,
    marked,
    nothing_is_left,
    until_async,
)
from fault.zygote_kit import fork, preload, ready
from pilotlight.errors import ZygoteUnavailable
from pilotlight.substrate.local import LocalSubstrate, zygotes

__all__ = ["local", "nothing_is_left"]  # fixtures
pytestmark = linux_only


async def failure(local: LocalSubstrate, folder: Path, code: str, **changes: object) -> str:
    toy = preload(folder, code=code, **changes)
    local.warm_zygote(toy, folder / "zygote.log", {})
    await until_async(local.zygotes, "its process is there")
    await until_async(lambda: not local.zygotes(), "it has failed")
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
