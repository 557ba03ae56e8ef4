"""A file as a Trace. What it is shows in its content, not in its name."""

import gzip
import stat
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from pilotlight.errors import TraceError
from pilotlight.sim.trace import Trace
from pilotlight.sim.traces.azure import AZURE
from pilotlight.sim.traces.burstgpt import BURSTGPT
from pilotlight.sim.traces.csv_rows import csv_blocks, header
from pilotlight.sim.traces.gather import Gather
from pilotlight.sim.traces.json_rows import first_object
from pilotlight.sim.traces.layout import Layout, find
from pilotlight.sim.traces.lines import blocks
from pilotlight.sim.traces.mooncake import MILLISECOND, is_mooncake, mooncake_blocks
from pilotlight.sim.traces.own_table import OWN
from pilotlight.sim.traces.parquet import MAGIC, parquet_blocks, parquet_columns
from pilotlight.sim.traces.request_log import is_request_log, request_log_blocks

LAYOUTS = (OWN, AZURE, BURSTGPT)
GZIP = b"\x1f\x8b"
HEAD = 2**16
"""Bytes looked at to find out what a file is."""
TRIED = 20
"""Lines of them that may be broken before one is whole."""


def read(path: Path | str, *, strict: bool = False) -> Trace:
    """The trace in a file: pilotlight's request log, CSV or Parquet with its columns (t, model, prompt_tokens,
    output_tokens, session, class, stand_in), Azure LLM, BurstGPT or Mooncake; what is text may be packed with gzip.

    A bad row is left out, counted and named. Raises TraceError where the file cannot be read or is none of these,
    where no row is good, and, when `strict`, where one is bad.
    """
    path = Path(path)
    with _errors(path):
        _check(path)
        with _opened(path) as file:
            head = file.read(HEAD)
            if head.startswith(MAGIC):
                return _parquet(path, packed=isinstance(file, gzip.GzipFile), strict=strict)
            texts = _texts(path, head)
            file.seek(0)
            return _lines(path, file, texts, strict=strict)


def _parquet(path: Path, *, packed: bool, strict: bool) -> Trace:
    if packed:
        raise TraceError(f"{path}: is Parquet packed with gzip; unpack it first (gunzip)")
    gather = Gather(path)
    for block in parquet_blocks(path, _layout(path, parquet_columns(path))):
        gather.add(block)
    return gather.trace(strict=strict)


def _lines(path: Path, file: IO[bytes], head: list[str], *, strict: bool) -> Trace:
    names, separator = header(head[0])
    found = None if _matching(names) else first_object(head[:TRIED])
    gather = Gather(path, scale=MILLISECOND if found and is_mooncake(found) else 1.0)
    if found is None:
        it = csv_blocks(blocks(file), find(_layout(path, names), names), separator)
    elif is_mooncake(found):
        it = mooncake_blocks(blocks(file), gather)
    elif is_request_log(found):
        it = request_log_blocks(blocks(file), gather)
    else:
        raise TraceError(
            f"{path}: its JSON lines have neither `t` and `model` nor what Mooncake has. {_known()}"
        )
    for block in it:
        gather.add(block)
    return gather.trace(strict=strict, ordered=found is None or is_mooncake(found))


# -- what it is ----------------------------------------------------------------------------------------------


def _matching(columns: list[str]) -> Layout | None:
    return next((layout for layout in LAYOUTS if not layout.missing(columns)), None)


def _layout(path: Path, columns: list[str]) -> Layout:
    if layout := _matching(columns):
        if twice := layout.twice(columns):
            raise TraceError(f"{path}: has the column `{twice[0]}` more than once; leave one of them out")
        return layout
    nearest = min(LAYOUTS, key=lambda layout: len(layout.missing(columns)))
    missing = nearest.missing(columns)
    if len(missing) < len(nearest.required):
        lacks = ", ".join(f"`{name}`" for name in missing)
        raise TraceError(f"{path}: has no column {lacks}, which {nearest.format} needs. {_known()}")
    found = ", ".join(ascii(c.strip()[:40]) for c in columns[:8])
    raise TraceError(f"{path}: is no trace that can be read; its first line is {found}. {_known()}")


def _known() -> str:
    tables = "; ".join(f"{', '.join(layout.names)} ({layout.format})" for layout in LAYOUTS)
    return (
        f"What can be: CSV or Parquet with the columns {tables}; JSON lines with t, model (pilotlight's request log) "
        "or timestamp, input_length, output_length (Mooncake)"
    )


def _texts(path: Path, head: bytes) -> list[str]:
    """The head's lines that are not blank. Raises TraceError when there are none, or when it is no text."""
    if b"\0" in head.partition(b"\n")[0]:  # further down a log may have a block of them: a power cut
        raise TraceError(f"{path}: is neither text nor Parquet. {_known()}")
    texts = [text for text in head.decode("utf-8-sig", "replace").split("\n") if text.strip()]
    if not texts:
        raise TraceError(f"{path}: is empty")
    return texts


# -- the file ------------------------------------------------------------------------------------------------


def _check(path: Path) -> None:
    """Raises TraceError for what is no file: a pipe would be waited for, and for ever."""
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise TraceError(f"{path}: is a folder; name a file in it")
    if not stat.S_ISREG(mode):
        raise TraceError(f"{path}: is not a file; write it into one first")


@contextmanager
def _opened(path: Path) -> Generator[IO[bytes]]:
    with path.open("rb") as file:
        packed = file.read(len(GZIP)) == GZIP
        file.seek(0)
        if not packed:
            yield file
            return
        with gzip.GzipFile(fileobj=file) as unpacked:
            yield cast("IO[bytes]", unpacked)


@contextmanager
def _errors(path: Path) -> Generator[None]:
    try:
        yield
    except TraceError:
        raise
    except FileNotFoundError:
        raise TraceError(f"{path}: no such file") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as e:
        raise TraceError(f"{path}: is damaged or cut off ({e}); fetch it again") from None
    except OSError as e:
        raise TraceError(f"{path}: cannot be read ({e.strerror or e})") from None
    except ValueError as e:
        if "null" not in str(e):  # a NUL in the path
            raise
        raise TraceError(f"{str(path)!r}: no such file") from None
