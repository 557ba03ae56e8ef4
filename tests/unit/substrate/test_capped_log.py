"""The log of a replica: its size, its rotation, and what happens where it cannot be written."""

from pathlib import Path

import pytest

from pilotlight_guest import guardian_log
from pilotlight_guest.guardian_log import CappedLog


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(guardian_log.time, "monotonic", lambda: now[0])
    return now


def test_it_rotates_between_lines(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.log"
    log = CappedLog(bytes(path), 12)
    log.write(b"one\ntwo\nthree\nfour\n")
    assert path.with_name("a.log.1").read_bytes() == b"one\ntwo\n"
    assert path.read_bytes() == b"three\nfour\n"
    log.write(b"five\n")
    assert path.with_name("a.log.1").read_bytes() == b"three\nfour\n"
    assert path.read_bytes() == b"five\n"
    modes = [p.stat().st_mode & 0o777 for p in (path, path.with_name("a.log.1"), path.parent)]
    assert modes == [0o600, 0o600, 0o700]


def test_a_line_longer_than_the_file_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    CappedLog(bytes(path), 10).write(b"x" * 25)
    assert (tmp_path / "a.log.1").read_bytes() == b"x" * 10
    assert path.read_bytes() == b"x" * 5


def test_it_goes_on_where_an_earlier_one_stopped(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    CappedLog(bytes(path), 10).write(b"first\n")
    CappedLog(bytes(path), 10).write(b"more\n")
    assert (tmp_path / "a.log.1").read_bytes() == b"first\n"
    assert path.read_bytes() == b"more\n"


def test_output_that_could_not_be_written_is_counted_later(tmp_path: Path, now: list[float]) -> None:
    (tmp_path / "logs").write_text("in the way")
    log = CappedLog(bytes(tmp_path / "logs" / "a.log"), 1000)
    log.write(b"lost\n")
    (tmp_path / "logs").unlink()
    log.write(b"lost too\n")  # it does not try every time
    now[0] = 2.0
    log.write(b"kept\n")
    text = (tmp_path / "logs" / "a.log").read_text()
    assert text == "[pilotlight: 14 bytes of output could not be written here]\nkept\n"


def test_the_size_holds_where_nothing_can_be_renamed(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    (tmp_path / "a.log.1").mkdir()
    (tmp_path / "a.log.1" / "full").touch()
    log = CappedLog(bytes(path), 10)
    for _ in range(5):
        log.write(b"12345\n")
        assert path.stat().st_size <= 10
