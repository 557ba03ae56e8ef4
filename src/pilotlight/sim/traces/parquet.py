"""Tables in Parquet. The columns are those of the CSV formats; a row's number stands for its line.

arro3 is imported where it is used, so that who reads no Parquet does not load it.
"""

import os
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pilotlight.errors import TraceError
from pilotlight.sim.traces.gather import Block
from pilotlight.sim.traces.layout import Layout, find

MAGIC = b"PAR1"
ROWS = 65_536
"""Read at a time."""


def parquet_columns(path: Path) -> list[str]:
    """Their names. Raises TraceError when the file is damaged."""
    return list(_reader(path).schema.names)


def parquet_blocks(path: Path, layout: Layout) -> Iterator[Block]:
    """Raises TraceError when the file is damaged."""
    reader = _reader(path)
    at = find(layout, reader.schema.names)
    done = 0
    for batch in _read(path, reader):
        n = batch.num_rows
        yield Block(
            range(done + 1, done + n + 1),
            _values(batch.column(at.t)),
            _values(batch.column(at.prompt_tokens)),
            _values(batch.column(at.output_tokens)),
            _listed(batch, at.model),
            _listed(batch, at.session),
            request_class=_listed(batch, at.request_class),
            stand_in=_listed(batch, at.stand_in),
        )
        done += n


def parquet_column(path: Path, name: str) -> Iterator[Any]:
    """Its values. Raises TraceError when the file is damaged."""
    for batch in _read(path, _reader(path)):
        yield from _values(batch.column(name))


def _listed(batch: Any, i: int | None) -> list[Any] | None:
    return None if i is None else batch.column(i).to_pylist()


def _values(column: Any) -> Sequence[Any]:
    """Numbers as an array where they are plain numbers; dates as Unix seconds; anything else as Python's values."""
    from arro3.core import DataType  # noqa: PLC0415

    kind = column.type
    if DataType.is_temporal(kind):
        stamps = column.cast(DataType.timestamp("us")).cast(DataType.int64()).to_pylist()
        return [None if s is None else s / 1e6 for s in stamps]
    if column.null_count == 0 and (DataType.is_integer(kind) or DataType.is_floating(kind)):
        return column.to_numpy()
    return column.to_pylist()


def _reader(path: Path) -> Any:
    from arro3.io import read_parquet  # noqa: PLC0415

    if path.stat().st_size < 12 or _end(path) != MAGIC:
        raise TraceError(
            f"{path}: begins like Parquet and does not end like it; it was cut off on its way here"
        )
    with _damage(path), _silent_stderr():
        return read_parquet(path, batch_size=ROWS)


def _read(path: Path, reader: Any) -> Iterator[Any]:
    while True:
        with _damage(path):
            batch = next(reader, None)
        if batch is None:
            return
        yield batch


def _end(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-len(MAGIC), os.SEEK_END)
        return file.read()


@contextmanager
def _damage(path: Path) -> Generator[None]:
    """arro3 raises bare Exceptions and, when it opens a file, Rust's panics, which are no Exceptions."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError):
        raise
    except BaseException as e:
        # A panic's words are for who wrote the reader.
        text = f" ({' '.join(str(e).split())[:160]})" if isinstance(e, Exception) else "; fetch it again"
        raise TraceError(f"{path}: is damaged, or a kind of Parquet that cannot be read{text}") from None


@contextmanager
def _silent_stderr() -> Generator[None]:
    """A panic writes a stack of calls to file descriptor 2 before it is raised, and our message says it better."""
    sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # there is none
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
