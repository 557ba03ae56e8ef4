"""Measured start times from a file: one number a line, or a column of CSV or Parquet. Seconds."""

import math
from pathlib import Path
from typing import Any

from pilotlight.errors import TraceError
from pilotlight.sim.starts import StartTimes, empirical
from pilotlight.sim.traces.csv_rows import header
from pilotlight.sim.traces.parquet import MAGIC, parquet_column, parquet_columns

COLUMNS = ("seconds", "duration", "duration_s")

LONGEST = 86400.0
"""Seconds; a longer start is taken for a fault of the file [G]."""

MOST_BYTES = 64 * 2**20


def read_starts(path: Path) -> StartTimes:
    """Raises TraceError, with the line, for what is no start time; and for a file without any."""
    try:
        with path.open("rb") as file:
            is_parquet = file.read(len(MAGIC)) == MAGIC
        found = _parquet(path) if is_parquet else _text(path)
    except OSError as e:
        raise TraceError(f"{path}: cannot be read ({e.strerror or e})") from None
    if not found:
        raise TraceError(f"{path}: has no start time; write one number of seconds a line")
    return empirical(found, path.name)


def _parquet(path: Path) -> list[float]:
    name = _column(path, parquet_columns(path))
    return [_seconds(path, i, value) for i, value in enumerate(parquet_column(path, name), 1)]


def _text(path: Path) -> list[float]:
    if path.stat().st_size > MOST_BYTES:
        raise TraceError(f"{path}: is larger than {MOST_BYTES // 2**20} MiB; that many starts are not needed")
    lines = path.read_text(errors="replace").removeprefix("\ufeff").splitlines()
    numbered = [(i, line) for i, line in enumerate(lines, 1) if line.strip() and not line.startswith("#")]
    if not numbered or _is_number(numbered[0][1]):
        return [_seconds(path, i, line) for i, line in numbered]
    names, separator = header(numbered[0][1])
    at = names.index(_column(path, names))
    return [_seconds(path, i, (line.split(separator)[at : at + 1] or [""])[0]) for i, line in numbered[1:]]


def _column(path: Path, names: list[str]) -> str:
    plain = {name.strip().strip('"').lower(): name for name in names}
    for name in COLUMNS:
        if name in plain:
            return plain[name]
    wanted = ", ".join(COLUMNS)
    raise TraceError(f"{path}: has no column of start times; one of them must be called one of {wanted}")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _seconds(path: Path, line: int, value: Any) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not 0 <= seconds <= LONGEST:
        text = f"{str(value)[:40]!r} is no start time; write seconds, 0 to {LONGEST:.0f}"
        raise TraceError(f"{path}:{line}: {text}")
    return seconds
