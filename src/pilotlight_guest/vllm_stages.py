"""Where a start of vLLM spends its time, read off its log lines. Standard library only.

vLLM says it in words that are no interface, so what is not recognised changes nothing: such a start shows `load` from
the order to readiness. The lines are those of vLLM 0.32.0; each process of the engine notes its own.
"""

from __future__ import annotations

import logging
import os
import re
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

Mark = tuple[str, float, float]
"""What was said, when on the monotonic clock, and the seconds that it gave for it."""

LINES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("loading", re.compile(r"Starting to load model ")),  # v1/worker/{cpu,gpu}_model_runner.py
    (
        "loaded",
        re.compile(r"Loading weights took |Model loading took .* seconds"),
    ),  # model_loader/, gpu_model_runner
    (
        "compiling",
        re.compile(r"Starting torch\.compile|Warming up model for the compilation"),
    ),  # compilation/monitor
    ("compiled", re.compile(r"torch\.compile took |Warming up done")),
    ("sized", re.compile(r"KV cache size: [\d,]+ tokens")),  # v1/core/kv_cache_utils.py
    (
        "captured",
        re.compile(r"Graph capturing finished in (?P<seconds>[\d.]+) secs"),
    ),  # v1/worker/gpu_model_runner.py
    ("up", re.compile(r"init engine \(profile, create kv cache, warmup model\) took ")),  # v1/engine/core.py
)


def read(line: str, at: float) -> Mark | None:
    for name, pattern in LINES:
        found = pattern.search(line)
        if found:
            return name, at, float(found.groupdict().get("seconds") or 0.0)
    return None


def spans(marks: Iterable[Mark], began: float, ready: float) -> list[tuple[str, float, float]]:
    """Stages with their begin and end, one after the other. Of several workers the slowest counts."""
    said: dict[str, list[Mark]] = {}
    for mark in marks:
        said.setdefault(mark[0], []).append(mark)
    first = {name: min(at for _, at, _ in found) for name, found in said.items()}
    last = {name: max(at for _, at, _ in found) for name, found in said.items()}
    if "loading" not in said or "loaded" not in said:
        return [("load", began, ready)]
    found = [("gpu_context", began, first["loading"]), ("load", first["loading"], last["loaded"])]
    if "compiling" in said and "compiled" in said:
        found.append(("compile", first["compiling"], last["compiled"]))
    up = last.get("up", ready)
    begin = max(found[-1][2], last["loaded"])
    if "captured" in said:
        took = max(seconds for _, _, seconds in said["captured"])
        capture = max(last["captured"] - took, first.get("sized", begin))
        return [*found, ("kv_cache", begin, capture), ("graph_capture", capture, last["captured"])]
    return [*found, ("kv_cache", begin, up)] if "sized" in said else found


class Notes:
    """Notes marks from this process and all that it forks from now on; `marks` once they have been made.

    Through a pipe, one write for each: its buffer takes more than a start ever says, and beyond it marks are lost.
    """

    def __init__(self) -> None:
        self._reads, self._writes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._made = logging.getLogRecordFactory()
        logging.setLogRecordFactory(
            self._make
        )  # a handler would go when vLLM's processes set up their logging

    def _make(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = self._made(*args, **kwargs)
        if record.name.startswith("vllm"):
            self._note(record)
        return record

    def _note(self, record: logging.LogRecord) -> None:
        try:
            mark = read(record.getMessage(), time.monotonic())
            if mark is not None:
                os.write(self._writes, f"{mark[0]} {mark[1]!r} {mark[2]!r}\n".encode())
        except (OSError, TypeError, ValueError):  # nobody reads any more, or a line that cannot be formatted
            pass

    def marks(self) -> list[Mark]:
        """All so far. This process notes no more."""
        logging.setLogRecordFactory(self._made)
        try:
            lines = os.read(self._reads, 65536).decode().splitlines()
        except BlockingIOError:
            return []
        finally:
            os.close(self._reads)
            os.close(self._writes)
        return [(name, float(at), float(took)) for name, at, took in map(str.split, lines)]
