import errno
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest

from pilotlight.errors import TraceError
from pilotlight.sim import columns
from pilotlight.sim.columns import Column, column, give_back, pieces, taken, zeros


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "PIECE", 1000)


def resident() -> int:
    """Bytes of mapped files that this process has in memory."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("RssFile"))


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("rows", [0, 1, 1000, 1001, 5432])
def test_what_is_added_is_there_however_much_it_is(rows: int):
    whole = np.arange(rows) / 7
    found = Column(np.float64)
    for some in pieces(rows, by=300):
        found.add(whole[some])
    assert np.array_equal(found.array(), whole)
    assert column(np.int32, [np.arange(rows)]).dtype == np.int32


def test_a_long_column_has_a_file_without_a_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = open_files()
    short, long = zeros(1000, np.int8), zeros(1001, np.int8)
    assert open_files() == before + 1, "the short one has none"
    assert not list(tmp_path.iterdir())
    assert len(short) + len(long) == 2001
    del long
    assert open_files() == before


def test_what_was_written_is_there_after_its_memory_was_given_back():
    found = zeros(2**20, np.float64)
    before = resident()
    found[:] = np.arange(2**20)
    touched = resident()
    give_back(found[5:9])  # a part of it stands for the whole
    assert touched - before > 7 * 2**20 > 2**20 > resident() - before
    assert np.array_equal(found, np.arange(2**20))


def test_who_goes_through_a_long_column_has_a_piece_of_it_in_memory():
    found = zeros(2**20, np.float64)
    before, total, most = resident(), 0.0, 0
    for rows in pieces(len(found), found, by=2**16):
        found[rows] += 1
        total += float(found[rows].sum())
        most = max(most, resident() - before)
    assert total == 2**20
    assert most < 2**20, "the whole has eight times as many bytes"


def test_pieces_are_in_order_and_whole_multiples_but_for_the_last():
    assert [(p.start, p.stop) for p in pieces(2500, by=400)] == [
        (0, 800),
        (800, 1600),
        (1600, 2400),
        (2400, 2500),
    ]
    assert [(p.start, p.stop) for p in pieces(9, by=5000)] == [(0, 9)]
    assert not list(pieces(0))


def test_rows_are_taken_of_all_columns_alike():
    t, none = np.arange(2500.0), np.zeros(0, np.int8)
    kept, still_none = taken([t, none], lambda rows: t[rows] % 2 == 0)
    assert np.array_equal(kept, t[::2])
    assert still_none.dtype == np.int8 and not len(still_none)


def test_a_full_disk_is_told_with_the_folder_and_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(columns, "TemporaryFile", lambda: open("/dev/full", "w+b"))  # noqa: SIM115
    before = open_files()
    with pytest.raises(TraceError) as told:
        zeros(5000, np.float64)
    assert str(tmp_path) in str(told.value)
    assert os.strerror(errno.ENOSPC) in str(told.value)
    assert "TMPDIR" in str(told.value)
    del told
    assert open_files() == before


def test_no_folder_for_temporary_files_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    gone = tmp_path / "gone"
    monkeypatch.setattr(tempfile, "tempdir", str(gone))
    with pytest.raises(TraceError, match=f"{gone}: .*No such file.*TMPDIR"):
        zeros(5000, np.float64)
