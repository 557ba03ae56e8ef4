"""Columns of numbers that may be longer than there is memory for.

A short one is a plain array. A longer one lies in a file without a name, in the folder for temporary files, and is an
array all the same, for the file is mapped. Whoever goes through it piece by piece gives back what was touched, so that
the memory of a process does not grow with its trace. The file goes with the array, and with the process however that
ends.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from mmap import MADV_DONTNEED, mmap
from tempfile import TemporaryFile, gettempdir
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from pilotlight.errors import TraceError

PIECE = 2**18
"""Rows that are worked on at once, and that a column must have more of before it goes to a file."""

Array = npt.NDArray[Any]


class Column:
    """Grows at its end. What is added must not be changed any more."""

    def __init__(self, kind: npt.DTypeLike) -> None:
        self._kind = np.dtype(kind)
        self._blocks: list[Array] = []
        self._rows = 0
        """Of the blocks."""
        self._file: IO[bytes] | None = None

    def add(self, values: Array) -> None:
        """Raises TraceError when the folder for temporary files has no room."""
        self._blocks.append(values)
        self._rows += len(values)
        if self._rows > PIECE:
            self._write()

    def array(self) -> Array:
        """All that was added; nothing can be added after it. Raises TraceError as `add` does."""
        if self._file is None:
            blocks, self._blocks = self._blocks, []
            return np.concatenate(blocks, dtype=self._kind) if blocks else np.zeros(0, self._kind)
        self._write()
        with self._file as file, _room():
            file.flush()
            return np.frombuffer(mmap(file.fileno(), 0), self._kind)

    def _write(self) -> None:
        with _room():
            self._file = self._file or TemporaryFile()  # noqa: SIM115  (closed by `array`)
            for block in self._blocks:
                self._file.write(np.ascontiguousarray(block, self._kind).data)
        self._blocks, self._rows = [], 0


def column(kind: npt.DTypeLike, values: Iterable[Array]) -> Array:
    """Of these pieces. Raises TraceError when the folder for temporary files has no room."""
    found = Column(kind)
    for piece in values:
        found.add(piece)
    return found.array()


def zeros(n: int, kind: npt.DTypeLike) -> Array:
    """That many. Raises TraceError when the folder for temporary files has no room."""
    return column(kind, (np.zeros(min(PIECE, n - begin), kind) for begin in range(0, n, PIECE)))


def taken(columns: Sequence[Array], which: Callable[[slice], Array]) -> list[Array]:
    """Of each piece of the columns what `which` says: a mask, or an order. A column without rows stays so."""
    found = [Column(c.dtype) for c in columns]
    for rows in pieces(max(map(len, columns)), *columns):
        some = which(rows)
        for c, to in zip(columns, found, strict=True):
            if len(c):
                to.add(c[rows][some])
    return [c.array() for c in found]


def pieces(n: int, *columns: Array | None, by: int = 1) -> Iterator[slice]:
    """So many rows, some at a time, in order: multiples of `by`, but for the last. What was touched of `columns` is
    given back in between."""
    step = max(1, PIECE // by) * by
    for begin in range(0, n, step):
        yield slice(begin, min(begin + step, n))
        give_back(*columns)


def give_back(*columns: Array | None) -> None:
    """The memory that these take for now; what is in them stays, and comes back when it is touched."""
    for c in columns:
        base: Any = c
        while isinstance(base, np.ndarray):
            base = base.base
        if isinstance(base, memoryview) and isinstance(base.obj, mmap):
            base.obj.madvise(MADV_DONTNEED)


@contextmanager
def _room() -> Generator[None]:
    try:
        yield
    except OSError as e:
        raise TraceError(
            f"{_folder()}: cannot take the columns of a long trace, which needs up to 125 bytes for each request there "
            f"({e.strerror or e}); set TMPDIR to a folder with room"
        ) from None


def _folder() -> str:
    try:
        return gettempdir()
    except OSError:
        return "temporary files"
