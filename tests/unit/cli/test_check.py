"""`pilotlight check` of a file that is served, and of one that is only simulated."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pilotlight.cli import check_verb
from pilotlight.errors import ConfigError


def check(*words: str) -> int:
    parser = argparse.ArgumentParser()
    check_verb.arguments(parser)
    return check_verb.run(parser.parse_args(words))


def test_a_file_that_is_only_simulated_is_told_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("defaults: {ttl: auto}\nsimulation: {hosts: {gpus: 4}}\n")
    with pytest.raises(ConfigError, match="`models` is missing"):
        check(str(file))
    assert check(str(file), "--simulated") == 0
    assert capsys.readouterr().out == f"{file}: no problems; 0 models\n"


def test_how_a_simulated_model_scales_is_checked(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("models:\n  a: {ttl: soon}\n")
    with pytest.raises(ConfigError, match=r"p\.yaml:2: models\.a\.ttl: 'soon'"):
        check(str(file), "--simulated")


def test_a_pipe_that_nobody_writes_into_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "p.yaml"
    os.mkfifo(pipe)
    command = [sys.executable, "-m", "pilotlight.cli.main", "check"]
    done = subprocess.run([*command, pipe], capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, f"{pipe}: cannot be read: it is a named pipe" in done.stderr) == (2, True)
    text = "models: {a: {source: 'demo://50m'}}\n"
    (tmp_path / "c.yaml").write_text(text + "prices: {book: p.yaml}\n")
    done = subprocess.run(
        [*command, tmp_path / "c.yaml"], capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, f"{pipe}: cannot be read: it is a named pipe" in done.stderr) == (2, True)
    done = subprocess.run([*command, "/dev/stdin"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
