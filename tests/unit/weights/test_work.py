import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from pilotlight.errors import SourceError
from pilotlight.weights import disk, work
from pilotlight.weights.work import Owner


def owned(parts: Path, owner: Owner, data: bytes, key: str = "k") -> Path:
    folder = parts / f"{key}.{owner}.0000"
    folder.mkdir(parents=True)
    (folder / "weights.part").write_bytes(data)
    return folder


@pytest.fixture
def dead() -> Owner:
    process = subprocess.Popen([sys.executable, "-c", ""])
    start = int(psutil.Process(process.pid).create_time())
    process.wait()
    return Owner(work._host(), process.pid, start)


def test_a_living_owner_is_left_alone(tmp_path):
    mine = work.take(tmp_path, "k")
    assert mine is not None
    assert work.take(tmp_path, "k") is None
    assert work.take(tmp_path, "other") is not None


def test_what_was_given_up_is_taken_over_with_its_bytes(tmp_path):
    with pytest.raises(RuntimeError), work.take(tmp_path, "k") as mine:
        mine.data.write_bytes(b"half")
        raise RuntimeError
    again = work.take(tmp_path, "k")
    assert again is not None
    assert again.data.read_bytes() == b"half"


def test_nothing_is_left_when_it_is_done_or_the_disk_is_full(tmp_path):
    with work.take(tmp_path, "k") as mine:
        mine.data.write_bytes(b"whole")
    with pytest.raises(disk.DiskFull), work.take(tmp_path, "k") as mine:
        mine.data.write_bytes(b"half")
        raise disk.DiskFull
    assert list(tmp_path.iterdir()) == []


def test_the_most_advanced_of_the_dead_is_taken_and_the_rest_removed(tmp_path, dead):
    owned(tmp_path, dead, b"12")
    owned(tmp_path, Owner(dead.host, dead.pid, dead.start + 100), b"1234")
    mine = work.take(tmp_path, "k")
    assert mine is not None
    assert mine.data.read_bytes() == b"1234"
    assert list(tmp_path.iterdir()) == [mine.folder]


def test_a_pid_that_came_again_is_not_the_owner(tmp_path):
    me = work._me()
    owned(tmp_path, Owner(me.host, me.pid, me.start - 100), b"12")
    assert work.take(tmp_path, "k") is not None


def test_an_owner_elsewhere_counts_as_dead_after_a_long_silence(tmp_path):
    folder = owned(tmp_path, Owner("elsewhere", 1, 1), b"12")
    assert work.take(tmp_path, "k") is None
    old = time.time() - work.FOREIGN - 1
    os.utime(folder, (old, old))
    mine = work.take(tmp_path, "k")
    assert mine is not None
    assert mine.data.read_bytes() == b"12"


def test_nobody_waits_for_a_silent_owner_nor_takes_what_is_his(tmp_path):
    his = work.take(tmp_path, "k")
    assert his is not None
    his.data.write_bytes(b"12")
    old = time.time() - work.QUIET - 1
    os.utime(his.folder, (old, old))
    work.wait(tmp_path, "k", lambda: False, lambda _: None)
    mine = work.take(tmp_path, "k")
    assert mine is not None
    assert not mine.data.exists()
    assert his.data.read_bytes() == b"12"


def test_a_sign_of_life_is_given_at_most_once_a_second(tmp_path, monkeypatch):
    now = 1000.0
    monkeypatch.setattr(work, "time", SimpleNamespace(time=time.time, monotonic=lambda: now))
    mine = work.take(tmp_path, "k")
    assert mine is not None
    os.utime(mine.folder, (0, 0))
    mine.beat()
    assert mine.folder.stat().st_mtime > 0
    os.utime(mine.folder, (0, 0))
    now += 0.5
    mine.beat()
    assert mine.folder.stat().st_mtime == 0
    now += 0.5
    mine.beat()
    assert mine.folder.stat().st_mtime > 0


def test_too_little_room_is_said_with_the_numbers(tmp_path):
    with pytest.raises(SourceError, match=r"m needs 8192\.0 TiB more, but only .* are free in .*cache_dir"):
        disk.need(tmp_path, 1 << 53, "m")


def test_a_small_file_is_replaced_as_a_whole(tmp_path):
    disk.write_atomic(tmp_path / "f", b"1")
    disk.write_atomic(tmp_path / "f", b"2")
    assert (tmp_path / "f").read_bytes() == b"2"
    assert len(list(tmp_path.iterdir())) == 1
