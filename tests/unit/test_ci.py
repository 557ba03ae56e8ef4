"""What must pass before a change lands: .ci/run."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_kind_of_checks_is_made_and_a_failure_is_one(tmp_path: Path) -> None:
    """By a `make` that notes what it is asked for, and fails in the end."""
    make = tmp_path / "make"
    make.write_text('#!/bin/sh\necho "$@" >>"$ASKED"\n[ "$1" != test-vllm ]\n')
    make.chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "ASKED": str(tmp_path / "asked")}
    done = subprocess.run([ROOT / ".ci" / "run"], env=env, capture_output=True, check=False, timeout=60)
    assert (tmp_path / "asked").read_text().split() == ["check", "test", "test-vllm"]
    assert done.returncode != 0
