"""The command itself, whatever the verb."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pilotlight.cli.main import main

COMMAND = """
import os, signal, sys

class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[2]:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupts())
from pilotlight.cli.command import main
code = main()
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
sys.exit(code)
"""


@pytest.mark.parametrize("during", ["pathlib", "pilotlight.errors", "pilotlight.cli.list_verb"])
def test_an_interrupt_while_it_imports_ends_it_without_a_word(during: str) -> None:
    argv = [sys.executable, "-S", "-c", COMMAND, "list", during]
    paths = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        argv, env={"PYTHONPATH": paths}, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")


def test_what_runs_can_be_interrupted_and_what_is_ignored_stays_so() -> None:
    argv = [sys.executable, "-c", COMMAND, "version", "nothing"]
    assert subprocess.run(argv, capture_output=True, timeout=60, check=False).returncode == 2, (
        "an argument too many"
    )
    script = (
        "import signal; from pilotlight.cli import command; signal.signal(2, signal.SIG_IGN); command.main()"
    )
    script += "; assert signal.getsignal(2) == signal.SIG_IGN"
    assert (
        subprocess.run(
            [sys.executable, "-c", script], capture_output=True, timeout=60, check=False
        ).returncode
        == 0
    )


def test_an_interrupt_that_could_not_be_raised_comes_again() -> None:
    script = """
import os, signal, sys, time
from pilotlight.cli import command, version_verb

class Held:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)

def run(args):
    held = Held()
    del held
    time.sleep(30)

version_verb.run = run
sys.argv = ["pilotlight", "version"]
sys.exit(command.main())
"""
    argv = [sys.executable, "-c", script]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stderr) == (130, "")


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
