"""One server to a state folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pilotlight.cli.state import StateFolder
from pilotlight.errors import ServerError

HOLD = """
import sys
from pathlib import Path
from pilotlight.cli.state import StateFolder
folder = StateFolder(Path(sys.argv[1]))
folder.open()
print("open", flush=True)
sys.stdin.read()
"""


def test_a_second_server_is_told_who_has_it(tmp_path: Path):
    first, second = StateFolder(tmp_path), StateFolder(tmp_path)
    first.open()
    with pytest.raises(ServerError) as caught:
        second.open()
    assert str(caught.value) == (
        f"another server (pid {os.getpid()}) uses the state folder {tmp_path}; "
        "stop it, or give this one a state_dir of its own"
    )
    second.close()
    first.close()
    second.open()
    second.close()


def test_one_that_was_killed_has_it_no_longer(tmp_path: Path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        with pytest.raises(ServerError, match=f"pid {process.pid}"):
            StateFolder(tmp_path).open()
        process.kill()
    folder = StateFolder(tmp_path)
    folder.open()
    folder.close()


def test_it_is_private_and_must_be_writable(tmp_path: Path):
    folder = StateFolder(tmp_path / "state")
    folder.open()
    folder.close()
    assert (tmp_path / "state").stat().st_mode & 0o077 == 0
    (tmp_path / "file").write_text("")
    with pytest.raises(ServerError, match="cannot be written"):
        StateFolder(tmp_path / "file" / "state").open()


def test_one_that_is_no_folder_is_told_so(tmp_path: Path):
    file, link, folder = (tmp_path / name for name in ("file", "link", "folder"))
    file.write_text("")
    link.symlink_to(tmp_path / "nowhere")
    folder.mkdir()
    (folder / "logs").write_text("")
    faults = {
        file: f"{file} is no folder",
        link: f"{link} is a link to nothing",
        folder: f"{folder}/logs is no folder",
    }
    for path, fault in faults.items():
        with pytest.raises(ServerError) as caught:
            StateFolder(path).open()
        assert (
            str(caught.value) == f"the state folder {path} cannot be used: {fault}; set state_dir to a folder"
        )
