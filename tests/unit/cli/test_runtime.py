"""The file by which a command line finds its server: nobody else's is believed, and nobody else reads it."""

import os
from pathlib import Path

import pytest

from pilotlight.cli import runtime


def about(port: int = 8080) -> runtime.Running:
    began = runtime.began(os.getpid())
    assert began is not None
    return runtime.Running(os.getpid(), began, f"http://127.0.0.1:{port}", port, "secret", "/s", None)


@pytest.fixture(autouse=True)
def shared_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return runtime.folder()


def test_a_server_is_found_while_it_runs(shared_tmp: Path):
    path = runtime.announce(about())
    assert runtime.servers() == [about()]
    assert (path.stat().st_mode & 0o777, shared_tmp.stat().st_mode & 0o777) == (0o600, 0o700)
    path.unlink()
    assert runtime.servers() == []


def test_a_dead_servers_file_is_removed(shared_tmp: Path):
    path = runtime.announce(runtime.Running(2**22 + 1, 0.0, "http://127.0.0.1:1", 1, "x", "/s", None))
    assert runtime.servers() == []
    assert not path.exists()


def test_a_folder_that_others_can_write_is_neither_used_nor_believed(shared_tmp: Path):
    shared_tmp.mkdir(mode=0o777)
    shared_tmp.chmod(0o777)
    with pytest.raises(PermissionError):
        runtime.announce(about())
    assert not list(shared_tmp.iterdir())
    assert runtime.servers() == []


def test_a_folder_that_is_a_link_is_not_followed(shared_tmp: Path, tmp_path: Path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    shared_tmp.symlink_to(elsewhere)
    with pytest.raises(PermissionError):
        runtime.announce(about())
    assert not list(elsewhere.iterdir())


def test_a_file_that_is_a_link_is_replaced_and_not_written_through(shared_tmp: Path, tmp_path: Path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    shared_tmp.mkdir(mode=0o700)
    (shared_tmp / f"8080-{os.getpid()}.json").symlink_to(victim)
    path = runtime.announce(about())
    assert victim.read_text() == "precious"
    assert not path.is_symlink()
