"""Where engines log, and what their last lines say: one file for each replica, `<log_dir>/<model>/<n>.log`."""

import hashlib
import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from urllib.parse import quote

KEPT = 5
"""Logs kept for a model beside those in use."""

_TAIL_BYTES = 64 * 2**10
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours, the cursor
    r"|\x1b[\]P^_X][^\x07\x1b]*(?:\x07|\x1b\\)?"  # titles, links, the clipboard; up to what ends them
    r"|\x1b[ -/]*[0-~]"
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_EXCEPTION = re.compile(r"^[\w.]*(Error|Exception|Exit|Interrupt)\b(: |$)")
_COMPLAINT = re.compile(
    r"\berror\b|\bfailed\b|\bfatal\b|couldn't|could not|cannot|not found|no such", re.IGNORECASE
)
_STAMP = re.compile(r"^[\d.:\-T ,Z]*\b[EWF] ")
"""In front of llama.cpp's lines: `0.00.042.692 E `."""


def folder_name(model: str) -> str:
    """A model's name as one that every file system takes, and that no other model has."""
    name = quote(model, safe="")
    if name.startswith("."):
        name = "%2E" + name[1:]
    if len(name) > 128:
        name = f"{name[:100]}-{hashlib.sha256(model.encode()).hexdigest()[:16]}"
    return name


def paths(log_dir: Path, model: str) -> list[Path]:
    """The logs of a model's replicas, oldest first."""
    numbered = [(int(f.stem), f) for f in (log_dir / folder_name(model)).glob("*.log") if f.stem.isdigit()]
    return [file for _, file in sorted(numbered)]


def new(log_dir: Path, model: str, in_use: Collection[Path]) -> Path:
    """An empty log for one more replica; the oldest that are not in use go. Raises OSError."""
    there = paths(log_dir, model)
    folder = log_dir / folder_name(model)
    for private in (log_dir, folder):  # engines may log what was asked of them
        private.mkdir(0o700, parents=True, exist_ok=True)
    for old in [log for log in there if log not in in_use][:-KEPT]:
        old.unlink(missing_ok=True)
        rotated(old).unlink(missing_ok=True)
    path = folder / f"{int(there[-1].stem) + 1 if there else 1}.log"
    path.touch(0o600)
    return path


def rotated(log: Path) -> Path:
    """What was in the log before its latest rotation."""
    return log.with_name(log.name + ".1")


def plain(text: str) -> str:
    """What an engine wrote, as it may be shown on a terminal: without colours, and without all that a terminal obeys.
    A carriage return, with which a progress bar is drawn over, begins a line."""
    return _CONTROLS.sub("", _ESCAPES.sub("", text.replace("\r\n", "\n").replace("\r", "\n")))


def tail(log: Path, lines: int) -> tuple[str, ...]:
    """The last lines, oldest first, without colours; none when there is no log."""
    found = _last_lines(log, lines)
    if len(found) < lines:
        found = _last_lines(rotated(log), lines - len(found)) + found
    return tuple(found)


def _last_lines(log: Path, lines: int) -> list[str]:
    try:
        fd = os.open(log, os.O_RDONLY | os.O_NONBLOCK)  # a pipe there would be waited for
        with os.fdopen(fd, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [line.rstrip() for line in plain(text).splitlines()][-lines:] if lines > 0 else []


def telling(lines: Sequence[str]) -> str:
    """The line that says best why an engine ended: an exception, else the first complaint, else the last line."""
    said = [_STAMP.sub("", line).strip() for line in lines if line.strip()]
    exceptions = [line for line in said if _EXCEPTION.match(line)]
    complaints = [line for line in said if _COMPLAINT.search(line)]
    best = exceptions[-1:] or complaints[:1] or said[-1:]
    return best[0][:300] if best else ""
