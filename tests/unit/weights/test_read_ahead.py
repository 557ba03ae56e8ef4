import os
import threading
from pathlib import Path

import pytest

from pilotlight.weights import page_cache, read_ahead
from pilotlight.weights.page_cache import CHUNK
from pilotlight.weights.read_ahead import is_cold, read


def never() -> bool:
    return False


def put_out(file: Path, size: int | None = None, start: int = 0) -> None:
    """So many bytes of it out of memory, or all."""
    fd = os.open(file, os.O_RDONLY)
    os.fsync(fd)
    os.posix_fadvise(fd, start, size or 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


@pytest.fixture
def weights(tmp_path: Path) -> list[Path]:
    """Two files, on the disk alone."""
    files = [tmp_path / "a.gguf", tmp_path / "b.gguf"]
    for file in files:
        file.write_bytes(os.urandom(2 * CHUNK + 12_345))
        put_out(file)
    if not is_cold(files):
        pytest.skip("what lies in the folder for temporary files stays in memory")
    return files


def test_what_is_on_the_disk_alone_is_brought_into_memory(weights):
    read(weights, never)
    assert not is_cold(weights)
    assert all(read_ahead._look(file) == [True] * read_ahead.PROBES for file in weights)


def test_an_eighth_that_is_missing_is_worth_it_and_less_is_not(weights):
    read(weights, never)
    put_out(weights[0], 2 * CHUNK // 16)
    assert not is_cold(weights[:1])
    put_out(weights[0], 2 * CHUNK // 4)
    assert is_cold(weights[:1])
    assert is_cold(weights), "an eighth of both together"


def test_it_can_be_called_off(weights):
    asked = threading.Event()

    def is_over() -> bool:
        over = asked.is_set()
        asked.set()
        return over

    read(weights, is_over)
    assert is_cold(weights)


def test_a_file_that_is_cut_off_meanwhile_harms_nobody(weights, monkeypatch):
    def cut(fd: int, size: int) -> list[page_cache.Chunk]:
        os.truncate(weights[0], 100)
        return page_cache.chunks(fd, size)

    monkeypatch.setattr(read_ahead, "chunks", cut)
    read(weights, never)
    assert not is_cold(weights[1:])


def test_of_what_is_not_there_it_says_so(tmp_path):
    empty, missing = tmp_path / "empty", tmp_path / "missing"
    empty.touch()
    read([empty], never)
    assert not is_cold([empty, missing]) and not is_cold([])
    with pytest.raises(FileNotFoundError):
        read([missing], never)


def test_a_kernel_that_cannot_populate_is_told_what_will_be_needed(weights, monkeypatch):
    monkeypatch.setattr(page_cache, "_POPULATE_READ", 12345)  # of no kernel
    asked: list[int] = []
    monkeypatch.setattr(os, "posix_fadvise", lambda _fd, start, _size, _how: asked.append(start))
    read(weights[:1], never)
    assert sorted(asked) == [0, CHUNK, 2 * CHUNK]


def test_what_is_looked_at_is_spread_over_the_file():
    assert page_cache.spread(0, 64) == []
    assert page_cache.spread(1, 64) == [0]
    assert page_cache.spread(3, 64) == [0, 1, 2]
    assert page_cache.spread(6400, 64)[:3] == [50, 150, 250]
    assert page_cache.spread(6400, 64)[-1] == 6350


@pytest.mark.timeout(20)
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.gguf")
    assert not is_cold([tmp_path / "a.gguf"])
    read([tmp_path / "a.gguf"], never)
