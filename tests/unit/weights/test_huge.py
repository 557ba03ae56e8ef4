import mmap
import os
from pathlib import Path

import pytest

from pilotlight.weights import huge, page_cache
from pilotlight.weights.blocks import BLOCK
from pilotlight.weights.huge import IN_VAIN, Laid, is_small, lay_anew
from pilotlight.weights.page_cache import CHUNK
from pilotlight.weights.read_ahead import is_cold
from unit.weights.test_read_ahead import never, put_out

SMALL = 1 << 16
"""Bytes that curl and cp write at a time, about."""


def write(file: Path, size: int, *pieces: int) -> bytes:
    """Chunks of it in pieces of these lengths in turn; what was written."""
    data = os.urandom(size)
    with file.open("wb", buffering=0) as out:
        for number, start in enumerate(range(0, size, CHUNK)):
            chunk, piece = data[start : start + CHUNK], pieces[number % len(pieces)]
            for i in range(0, len(chunk), piece):
                out.write(chunk[i : i + piece])
    return data


def huge_bytes(file: Path) -> int:
    """Of the file that one entry of 2 MiB maps, as the kernel says of a mapping of it."""
    with file.open("rb") as data:
        size = file.stat().st_size // BLOCK * BLOCK
        flags = mmap.MAP_SHARED | mmap.MAP_POPULATE
        with mmap.mmap(data.fileno(), size, flags=flags, prot=mmap.PROT_READ):
            text = Path("/proc/self/smaps").read_text()
    return 1024 * int(text.split(f"{file}\n")[1].split("FilePmdMapped:")[1].split()[0])


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """In memory alone as yet, in small pages."""
    file = tmp_path / "a.gguf"
    write(file, CHUNK, BLOCK)
    if not huge_bytes(file):
        pytest.skip("the file system of the folder for temporary files keeps no files in huge pages")
    file.unlink()
    write(file, 3 * CHUNK + 12_345, SMALL)
    return file


@pytest.fixture
def dropped(monkeypatch) -> list[int]:
    """Where the chunks begin that were put out of memory."""
    found: list[int] = []

    def drop(fd: int, start: int, size: int) -> None:
        found.append(start)
        page_cache.drop(fd, start, size)

    monkeypatch.setattr(huge, "drop", drop)
    return found


def test_what_was_written_in_small_pieces_is_laid_in_huge_pages(weights):
    before = weights.read_bytes()
    assert is_small([weights]) and huge_bytes(weights) == 0
    assert lay_anew([weights], never) == Laid(huge=3 * CHUNK)
    assert huge_bytes(weights) == 3 * CHUNK and not is_small([weights])
    assert weights.read_bytes() == before


def test_pages_of_1_mib_are_small_too(weights):
    write(weights, 2 * CHUNK, BLOCK // 2)
    assert is_small([weights])
    assert lay_anew([weights], never) == Laid(huge=2 * CHUNK)


def test_what_lies_in_huge_pages_is_left_as_it_is(weights, dropped):
    write(weights, 2 * CHUNK, BLOCK)
    assert not is_small([weights])
    assert lay_anew([weights], never) == Laid() and dropped == []


def test_only_what_lies_in_small_pages_is_laid_anew(weights, dropped):
    write(weights, 4 * CHUNK, BLOCK, BLOCK, SMALL, BLOCK)
    assert is_small([weights]), "a quarter"
    assert lay_anew([weights], never) == Laid(huge=CHUNK) and dropped == [2 * CHUNK]


def test_several_files_are_one_whole(weights, tmp_path):
    other = tmp_path / "b.gguf"
    write(other, 9 * CHUNK, BLOCK)
    assert is_small([weights, other]) and not is_small([other])
    assert lay_anew([other, weights], never) == Laid(huge=3 * CHUNK)


def test_never_is_more_than_a_chunk_missing_and_it_can_be_called_off(weights):
    asked = 0

    def is_over() -> bool:
        nonlocal asked
        asked += 1
        assert not is_cold([weights])
        return asked == 3

    assert lay_anew([weights], is_over) == Laid(huge=2 * CHUNK)
    assert asked == 3 and not is_cold([weights])


def test_what_is_on_the_disk_alone_is_left_there(weights, dropped):
    put_out(weights)
    assert not is_small([weights])
    assert lay_anew([weights], never) == Laid() and dropped == []
    assert is_cold([weights]), "it was not read either"


def test_it_gives_up_where_the_pages_stay_small(weights, dropped):
    size = (IN_VAIN + 2) * CHUNK
    write(weights, size, SMALL)
    flags = mmap.MAP_SHARED | mmap.MAP_POPULATE
    with (
        weights.open("rb") as data,
        mmap.mmap(data.fileno(), 0, flags=flags, prot=mmap.PROT_READ) as mapped,
    ):
        assert lay_anew([weights], never) == Laid(in_vain=IN_VAIN * CHUNK), "who maps it keeps it"
        assert len(dropped) == IN_VAIN and mapped[-1:]
    assert lay_anew([weights], never) == Laid(huge=size)


def test_a_few_pages_that_are_missing_here_and_there_are_read_with_the_rest(weights):
    for start in range(0, 3 * CHUNK, BLOCK):
        put_out(weights, SMALL, start)
    assert is_small([weights])
    assert lay_anew([weights], never) == Laid(huge=3 * CHUNK)


@pytest.mark.parametrize("step", ["read_huge", "touch"])
def test_nothing_more_is_dropped_when_some_cannot_be_read_again(step, weights, dropped, monkeypatch):
    monkeypatch.setattr(huge, step, lambda *_: False)
    assert lay_anew([weights], never) == Laid(in_vain=CHUNK) and dropped == [0]


def test_what_the_disk_has_written_into_memory_is_touched_at_once(weights, monkeypatch):
    read: list[tuple[int, int]] = []

    def touch(fd: int, start: int, room: memoryview) -> bool:
        read.append((start, len(room)))
        return page_cache.touch(fd, start, room) and room == weights.read_bytes()[start : start + CHUNK]

    monkeypatch.setattr(huge, "touch", touch)
    assert lay_anew([weights], never) == Laid(huge=3 * CHUNK)
    assert read == [(0, CHUNK), (CHUNK, CHUNK), (2 * CHUNK, CHUNK)]


def test_a_file_that_is_cut_off_meanwhile_harms_nobody(weights):
    def cut() -> bool:
        os.truncate(weights, 100)
        return False

    assert lay_anew([weights], cut) == Laid()
    assert weights.stat().st_size == 100


def test_it_is_not_for_files_of_which_the_kernel_does_not_tell(weights, monkeypatch):
    monkeypatch.setattr(huge, "can_tell", lambda file: file != weights)
    assert not is_small([weights])


def test_a_kernel_that_cannot_populate_cannot_tell(weights, dropped, monkeypatch):
    monkeypatch.setattr(page_cache, "_POPULATE_READ", 12345)  # of no kernel
    assert not is_small([weights])
    assert lay_anew([weights], never) == Laid() and dropped == []


@pytest.mark.timeout(20)
def test_of_what_is_no_file_there_is_nothing_to_lay(tmp_path, dropped):
    pipe, empty, missing = tmp_path / "pipe", tmp_path / "empty", tmp_path / "missing"
    os.mkfifo(pipe)
    empty.touch()
    none = [pipe, empty, tmp_path]
    assert not is_small(none) and lay_anew(none, never) == Laid() and not is_small([])
    assert dropped == []
    for of_missing in (lambda: is_small([missing]), lambda: lay_anew([missing], never)):
        with pytest.raises(FileNotFoundError):
            of_missing()
