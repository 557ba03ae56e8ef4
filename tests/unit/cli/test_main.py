"""The command itself, whatever the verb."""

import sys
import tempfile
from pathlib import Path
from types import ModuleType

import pytest

from pilotlight.cli.main import main


def test_an_interrupt_while_it_imports_ends_it_quietly(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(ModuleType):
        def __getattr__(self, name: str) -> object:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "pilotlight.errors", Slow("pilotlight.errors"))
    assert main(["version"]) == 130


Output = pytest.CaptureFixture[str]


def test_it_is_said_that_temporary_files_go_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
    monkeypatch.setattr(tempfile, "tempdir", "/elsewhere")
    assert main(["version"]) == 0
    told = capsys.readouterr().err
    assert f"TMPDIR={tmp_path}/nowhere is no folder" in told and "go to /elsewhere" in told
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert main(["version"]) == 0
    assert not capsys.readouterr().err


def test_no_place_for_temporary_files_is_no_fault_of_the_output(
    monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", list)
    monkeypatch.setattr("pilotlight.cli.main._drop_output", lambda: None)
    assert main(["ps"]) == 1
    told = capsys.readouterr().err
    assert "temporary files have no place" in told and "set TMPDIR to a folder" in told
