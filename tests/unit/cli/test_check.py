"""`pilotlight check` of a file that is served, and of one that is only simulated."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pilotlight.cli import check_verb, engine_problems
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


@pytest.mark.parametrize(
    ("gpus", "seen", "of", "there"),
    [
        ("auto", {}, "ab", "is no GPU"),
        ("auto", {0: 2**30}, "b", "is 1 GPU"),
        ("auto", {0: 2**30, 1: 2**30}, "", ""),
        ("[{id: 0, memory: 8GiB}, {id: 1, memory: 8GiB}]", {}, "", ""),
        ("[0, {id: 1, memory: 8GiB}]", {}, "b", "is 1 GPU"),
    ],
)
def test_a_model_that_no_gpu_is_here_for_is_a_warning(
    gpus: str,
    seen: dict[int, int],
    of: str,
    there: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked: list[str | None] = []
    monkeypatch.setattr(engine_problems, "measured_gpus", lambda visible: asked.append(visible) or seen)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    file = tmp_path / "p.yaml"
    models = "".join(
        f"  {n}: {{source: 'demo://50m', gpus: {k}}}\n" for n, k in (("a", 1), ("b", 2), ("c", 0))
    )
    file.write_text(f"gpus: {gpus}\nmodels:\n{models}")
    assert check(str(file)) == 0
    lines = {"a": 3, "b": 4}
    assert capsys.readouterr().out.splitlines() == [
        *(
            f"{file}:{lines[name]}: models.{name}.gpus: it cannot start on this machine, where there {there}; lower "
            "it, or list under the file's `gpus` what NVML does not, such as {id: 0, memory: 24GiB}"
            for name in of
        ),
        f"{file}: no problems; 3 models: a, b, c",
    ]
    assert asked == ["0,1"]


def test_nvml_is_not_asked_where_no_model_takes_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(engine_problems, "measured_gpus")
    file = tmp_path / "p.yaml"
    file.write_text("models: {a: {source: 'demo://50m'}}\n")
    assert check(str(file)) == 0
