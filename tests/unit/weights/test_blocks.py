import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotlight.weights import blocks, trouble
from pilotlight.weights.blocks import BLOCK, Blocks, gathered


class Noted(io.BytesIO):
    """Takes `most` bytes at a time, and notes what it was given where."""

    def __init__(self, most: int = 1 << 30) -> None:
        super().__init__()
        self.most, self.writes = most, []

    def write(self, piece) -> int:
        taken = bytes(piece[: self.most])
        self.writes.append((self.tell(), len(taken)))
        return super().write(taken)


class Coming:
    """Gives at most `each` bytes at a time, then what comes at its end again and again."""

    def __init__(self, data: bytes, each: int, end: Exception | None = None) -> None:
        self.data, self.each, self.end = data, each, end

    def __call__(self, most: int) -> bytes:
        piece, self.data = self.data[: min(most, self.each)], self.data[min(most, self.each) :]
        if not piece and self.end:
            raise self.end
        return piece


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", 16)


@given(st.lists(st.binary(max_size=50), max_size=20), st.integers(0, 40), st.integers(1, 20))
def test_every_byte_is_written_once_and_in_whole_blocks(pieces, offset, most):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK", 16)
        data = Noted()
        data.seek(offset)
        writer = Blocks(data, offset)
        for piece in pieces:
            writer.write(piece)
            assert data.tell() == writer.written
            assert writer.written == offset or writer.written % 16 == 0
        writer.flush()
        assert data.getvalue()[offset:] == b"".join(pieces)
        assert writer.written == max(offset, data.tell())


def test_a_file_that_takes_little_at_a_time_gets_all(small):
    data = Noted(most=3)
    writer = Blocks(data, 0)
    writer.write(bytes(range(40)))
    assert (writer.written, data.getvalue()) == (32, bytes(range(32)))
    writer.flush()
    assert data.getvalue() == bytes(range(40))


def test_what_comes_is_gathered_up_to_the_end_of_the_block(small):
    read = Coming(bytes(range(50)), each=5)
    assert gathered(read, 0) == bytes(range(16))
    assert gathered(read, 16 + 12) == bytes(range(16, 20))  # the block had begun
    assert gathered(read, 32) == bytes(range(20, 36))
    assert gathered(read, 48) == bytes(range(36, 50))  # the end
    assert gathered(read, 62) == b""


def test_what_came_before_a_fault_is_not_lost(small):
    read = Coming(b"abcde", each=2, end=ConnectionError("gone"))
    assert gathered(read, 0) == b"abcde"
    with pytest.raises(ConnectionError, match="gone"):
        gathered(read, 5)


def test_what_comes_slowly_is_not_waited_for(monkeypatch, small):
    monkeypatch.setattr(blocks, "PATIENCE", -1.0)
    assert gathered(Coming(b"abcde", each=2), 0) == b"ab"


def test_a_block_is_a_huge_page():
    assert BLOCK == 2 * 1024 * 1024


def test_a_stall_is_told_as_one_also_the_second_time():
    class Response:
        errors = iter([TimeoutError("timed out"), OSError("cannot read from timed out object")])

        def read1(self, most: int) -> bytes:
            raise next(self.errors)

    for _ in range(2):
        with pytest.raises(trouble.Broken, match="nothing came for 30 s"):
            trouble.read(Response(), 10)
