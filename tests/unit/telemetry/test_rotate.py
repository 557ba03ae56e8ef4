import logging
import shutil
from pathlib import Path

import pytest

from pilotlight.telemetry.rotate import RotatingFile


def test_it_is_capped_and_keeps_one_older_file(tmp_path: Path):
    path = tmp_path / "deep" / "log"
    file = RotatingFile(path, 30)
    for i in range(10):
        file.write(b"line %d...\n" % i)  # 10 bytes
    assert path.read_bytes() == b"line 9...\n"
    assert path.with_name("log.1").read_bytes() == b"line 6...\nline 7...\nline 8...\n"
    assert sorted(p.name for p in path.parent.iterdir()) == ["log", "log.1"]


def test_a_line_larger_than_the_cap_is_written_all_the_same(tmp_path: Path):
    file = RotatingFile(tmp_path / "log", 10)
    file.write(b"x" * 50 + b"\n")
    file.write(b"y\n")
    assert (tmp_path / "log").read_bytes() == b"y\n"


def test_it_goes_on_where_it_ended(tmp_path: Path):
    path = tmp_path / "log"
    path.write_bytes(b"a\n")
    file = RotatingFile(path, 1000)
    file.write(b"b\n")
    file.close()
    file.write(b"c\n")
    assert path.read_bytes() == b"a\nb\nc\n"


def test_a_line_that_was_cut_does_not_spoil_the_next(tmp_path: Path):
    path = tmp_path / "log"
    path.write_bytes(b'{"a":1}\n{"a":')
    RotatingFile(path, 1000).write(b'{"b":2}\n')
    assert path.read_bytes() == b'{"a":1}\n{"a":\n{"b":2}\n'


def test_a_full_disk_costs_lines_and_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    path = tmp_path / "log"
    path.symlink_to("/dev/full")
    file = RotatingFile(path, 1000)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            file.write(b"lost\n")
    assert len(caplog.records) == 1
    assert "No space left" in caplog.text
    path.unlink()
    file.write(b"back\n")
    assert path.read_bytes() == b"back\n"
    path.unlink()
    path.symlink_to("/dev/full")
    file.close()
    with caplog.at_level(logging.WARNING):
        file.write(b"lost\n")
    assert len(caplog.records) == 2  # it had worked in between


def test_a_folder_that_cannot_be_made(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.WARNING)
    (tmp_path / "file").write_text("")
    file = RotatingFile(tmp_path / "file" / "log", 10)
    file.write(b"lost\n")
    assert "cannot be written" in caplog.text
    file.close()


def test_a_file_that_was_removed_or_renamed_is_made_anew(tmp_path: Path):
    it = RotatingFile(tmp_path / "state" / "log", 1000)
    it.write(b"a\n")
    (tmp_path / "state" / "log").rename(tmp_path / "old")
    it.write(b"b\n")
    shutil.rmtree(tmp_path / "state")
    it.write(b"c\n")
    it.close()
    assert (tmp_path / "old").read_bytes() == b"a\n"
    assert (tmp_path / "state" / "log").read_bytes() == b"c\n"
