"""Writes in whole huge pages.

The kernel keeps a file in memory as it was written: 1 MiB at a time as pages of 4 KiB, or some KiB, and a whole block
at a multiple of its size as one huge page, on file systems that can (ext4 since Linux 6.16, XFS since 6.6). A process
that maps the weights then has one entry to make where it would have 512: 1 GB takes 2 ms in place of 62.
"""

import time
from collections.abc import Callable
from typing import IO

BLOCK = 2 << 20
"""Bytes: the huge page of x86-64, and of arm64 with pages of 4 KiB."""

PATIENCE = 0.25
"""Seconds after which what has come is written, be it a block or not: those who wait see that it goes on."""


def write_all(data: IO[bytes], piece: bytes | memoryview) -> None:
    """To an unbuffered file."""
    rest = memoryview(piece)
    while rest:
        rest = rest[data.write(rest) :]


def gathered(read: Callable[[int], bytes], offset: int) -> bytes:
    """What `read` gives of so many bytes at most, until the block that begins at or before `offset` is whole; less at
    the end or when it takes long, and nothing at the end only. What came before an exception is given first; `read`
    has to raise it again.
    """
    left = BLOCK - offset % BLOCK
    parts: list[bytes] = []
    until = time.monotonic() + PATIENCE
    try:
        while left and (part := read(left)):
            parts.append(part)
            left -= len(part)
            if time.monotonic() > until:
                break
    except Exception:
        if not parts:
            raise
    return parts[0] if len(parts) == 1 else b"".join(parts)


class Blocks:
    """Pieces of any length, written to an unbuffered file as whole blocks."""

    def __init__(self, data: IO[bytes], offset: int) -> None:
        """From `offset`, where the file stands."""
        self.written = offset
        """Bytes of the file that are."""
        self._data = data
        self._held = bytearray()

    def write(self, piece: bytes | memoryview) -> None:
        self._held += piece
        whole = (self.written + len(self._held)) // BLOCK * BLOCK - self.written
        if whole > 0:
            self._write(whole)

    def flush(self) -> None:
        self._write(len(self._held))

    def _write(self, size: int) -> None:
        with memoryview(self._held) as held:
            write_all(self._data, held[:size])
        del self._held[:size]
        self.written += size
