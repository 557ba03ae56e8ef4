"""Half files that others open: their length, their room on the disk, and when their header is there."""

import errno
import os
from pathlib import Path

import pytest

from pilotlight.errors import SourceError
from pilotlight.weights import arriving, gguf_header, transfer
from pilotlight.weights.arriving import FIRST_LOOK, Arriving
from pilotlight.weights.cache import WeightCache
from unit.weights.servers import FileServer


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return WeightCache(tmp_path_factory.mktemp("weights")).fetch("demo://50m").read_bytes()


def test_types_are_known_once_the_header_is_there(model: bytes, tmp_path: Path) -> None:
    path = tmp_path / "weights.part"
    path.write_bytes(model[: 1 << 20])
    assert gguf_header.tensor_types(path, 1 << 20) == {0, 8}
    seen = [n for n in range(0, 1 << 19, 4096) if gguf_header.tensor_types(path, n) is not None]
    assert seen and seen == list(range(seen[0], 1 << 19, 4096)), "from one byte on, and never before"
    assert seen[0] >= 288_320, "not before the last tensor's description"


def test_a_header_that_can_never_be_one(model: bytes, tmp_path: Path) -> None:
    path = tmp_path / "weights.part"
    path.write_bytes(b"GGUF" + (99).to_bytes(4, "little") + model[8 : 1 << 20])
    with pytest.raises(SourceError, match="version 99"):
        gguf_header.tensor_types(path, 1 << 20)
    told: list[Path] = []
    Arriving(path, told.append).look(1 << 20, len(model))
    assert told == []


def test_it_tells_once_and_not_of_what_is_whole(model: bytes, tmp_path: Path) -> None:
    path = tmp_path / "weights.part"
    path.write_bytes(model[: 1 << 20])
    told: list[Path] = []
    watch = Arriving(path, told.append)
    for done in (1000, FIRST_LOOK, 2 * FIRST_LOOK, 3 * FIRST_LOOK, 4 * FIRST_LOOK):
        watch.look(done, len(model))
    assert told == [path]
    Arriving(path, told.append).look(1 << 20, 1 << 20)
    assert told == [path]


def test_reserving_keeps_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "weights.part"
    path.write_bytes(b"abc")
    fd = os.open(path, os.O_RDWR)
    arriving.reserve(fd, 10_000)
    arriving.reserve(fd, 5_000)
    os.close(fd)
    assert path.read_bytes() == b"abc" + bytes(9_997)
    assert arriving.allocated(path) >= 10_000 and arriving.allocated(tmp_path / "none") == 0


def test_where_room_cannot_be_reserved_the_file_is_sparse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(fd: int, size: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "not here")

    monkeypatch.setattr(arriving, "_fallocate", refuse)
    fd = os.open(tmp_path / "f", os.O_RDWR | os.O_CREAT)
    arriving.reserve(fd, 1 << 20)
    assert (os.fstat(fd).st_size, os.fstat(fd).st_blocks) == (1 << 20, 0)
    os.close(fd)


def test_a_disk_that_is_full_says_so_before_anybody_maps_the_file(
    model: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, size: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(arriving, "_fallocate", full)
    told: list[Path] = []
    with FileServer() as server:
        server.files["/m.gguf"] = model[: 4 << 20]
        with pytest.raises(SourceError, match=r"needs .* more"):
            WeightCache(tmp_path).fetch(f"{server.url}/m.gguf", early=told.append)
    assert told == [] and list(tmp_path.rglob("*.part")) == []


def test_what_comes_early_becomes_the_whole_file(
    model: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int]] = []

    def early(path: Path) -> None:
        stat = path.stat()
        seen.append((stat.st_ino, stat.st_size))

    monkeypatch.setattr(transfer, "BACK_OFF", 0.0)
    with FileServer() as server:
        server.files["/m.gguf"], server.cut_after = model, [2 << 20, 3 << 20]
        whole = WeightCache(tmp_path).fetch(f"{server.url}/m.gguf", early=early)
    assert seen == [(whole.stat().st_ino, len(model))]
    assert whole.read_bytes() == model


def test_a_half_file_that_was_kept_has_its_header_at_once(
    model: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "BACK_OFF", 0.0)
    seen: list[int] = []
    with FileServer() as server:
        server.files["/m.gguf"], server.cut_after = model, [2 << 20] + [0] * 50
        with pytest.raises(SourceError, match="2 MiB are kept"):
            WeightCache(tmp_path).fetch(f"{server.url}/m.gguf", early=lambda p: seen.append(p.stat().st_ino))
        server.cut_after = []
        whole = WeightCache(tmp_path).fetch(
            f"{server.url}/m.gguf", early=lambda p: seen.append(p.stat().st_ino)
        )
    assert seen == [whole.stat().st_ino] * 2
    assert whole.read_bytes() == model


def test_a_file_that_became_shorter_before_its_first_byte_came_has_no_end_of_zeros(
    model: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "BACK_OFF", 0.0)
    with FileServer() as server:
        server.files["/m.gguf"], server.cut_after = model, [0] * 50
        with pytest.raises(SourceError):
            WeightCache(tmp_path).fetch(f"{server.url}/m.gguf", early=lambda p: None)
        server.files["/m.gguf"], server.cut_after = model[: 2 << 20], []
        whole = WeightCache(tmp_path).fetch(f"{server.url}/m.gguf", early=lambda p: None)
    assert whole.stat().st_size == 2 << 20


def test_without_a_length_nothing_comes_early(model: bytes, tmp_path: Path) -> None:
    told: list[Path] = []
    with FileServer() as server:
        server.files["/m.gguf"], server.length = model[: 2 << 20], False
        with pytest.raises(SourceError):
            WeightCache(tmp_path).fetch(f"{server.url}/m.gguf", early=told.append)
    assert told == []


@pytest.mark.parametrize(
    ("source", "streams"),
    [
        ("https://host/m.gguf", True),
        ("hf://org/repo/m.gguf", True),
        ("hf://org/repo/m-00001-of-00002.gguf", False),
        ("demo://50m", False),
        ("/srv/m.gguf", False),
        ("s3://no/such", False),
    ],
)
def test_what_comes_as_one_file_over_the_network(source: str, streams: bool, tmp_path: Path) -> None:
    assert WeightCache(tmp_path).streams(source) is streams
