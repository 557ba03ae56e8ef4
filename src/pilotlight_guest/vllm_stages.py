"""Where a start of vLLM spends its time, read off its log lines. Standard library only.

vLLM says it in words that are no interface, so what is not recognised changes nothing: such a start shows `load` from
the order to readiness. The lines are those of vLLM 0.32.0; each process of the engine notes its own.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time

from pilotlight_guest.vllm_watch import Ended

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

Mark = tuple[str, float, float]
"""What was said, when on the monotonic clock, and the seconds that it gave for it."""

LINES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("loading", re.compile(r"Starting to load model ")),  # v1/worker/{cpu,gpu}_model_runner.py
    (
        "fetched",
        re.compile(r"Time spent downloading weights for .*: (?P<seconds>[\d.]+) seconds"),
    ),  # model_loader/weight_utils.py, where it took more than half a second
    (
        "loaded",
        re.compile(r"Loading weights took |Model loading took .* seconds"),
    ),  # model_loader/, gpu_model_runner
    (
        "compiling",
        re.compile(r"Starting torch\.compile|Warming up model for the compilation"),
    ),  # compilation/monitor
    (
        "compiled",
        re.compile(r"torch\.compile (?:and initial profiling/warmup run together )?took |Warming up done"),
    ),
    ("again", re.compile(r"Compiling model again due to a load failure")),  # compilation/decorators.py
    (
        "kept",
        re.compile(r"saved AOT compiled function to |Compiling a graph for compile range .* takes "),
    ),  # compilation/{decorators,backends}.py; not where it came from the cache
    ("sized", re.compile(r"KV cache size: [\d,]+ tokens")),  # v1/core/kv_cache_utils.py
    (
        "captured",
        re.compile(r"Graph capturing finished in (?P<seconds>[\d.]+) secs"),
    ),  # v1/worker/gpu_model_runner.py
    ("up", re.compile(r"init engine \(profile, create kv cache, warmup model\) took ")),  # v1/engine/core.py
)

_DIED = re.compile(r"Worker proc \S+ died unexpectedly \(exit code: (?P<status>-\d+|None)\)")
"""v1/executor/multiproc_executor.py; after it the engine says no more than that its executor failed. None is said where
the worker's pipes have closed and it has not quite ended."""

_WRONG = ("ended", "error")

_FOUND = re.compile(r"Value error, ([\s\S]*?) \[type=")


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
    loaded = last.get("loaded", first.get("sized"))  # there is no word of weights that are made up
    if "loading" not in said or loaded is None:
        return [("load", began, ready)]
    begin = first["loading"]
    found = [("gpu_context", began, begin)]
    if "fetched" in said:
        fetch = max(begin, min(at - seconds for _, at, seconds in said["fetched"]))
        begin = last["fetched"]
        found.append(("fetch", fetch, begin))
    found.append(("load", begin, max(begin, loaded)))
    if "compiling" in said and "compiled" in said:
        found.append(("compile", first["compiling"], last["compiled"]))
    up = last.get("up", ready)
    begin = found[-1][2]
    if "captured" in said:
        took = max(seconds for _, _, seconds in said["captured"])
        capture = max(last["captured"] - took, first.get("sized", begin))
        return [*found, ("kv_cache", begin, capture), ("graph_capture", capture, last["captured"])]
    return [*found, ("kv_cache", begin, up)] if "sized" in said else found


def once(marks: Iterable[Mark]) -> set[str]:
    """Stages that the next start will not have: weights that were downloaded, and what was compiled and is kept. Where
    vLLM could not read what the start before had kept, as on CPUs, it compiles in every start."""
    said = {mark[0] for mark in marks}
    compiled = {"compile"} if "kept" in said and "again" not in said else set[str]()
    return compiled | ({"fetch"} if "fetched" in said else set[str]())


class Notes:
    """Notes marks and errors from this process and all that it forks from now on.

    Through a pipe, one write for each: its buffer takes more than a start ever says, and beyond it they are lost.
    """

    def __init__(self) -> None:
        self._reads, self._writes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._closed = False
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
            if record.levelno >= logging.ERROR:  # a warning is of what vLLM goes on without
                self._note_error(record)
            mark = read(record.getMessage(), time.monotonic())
            if mark is not None:
                self._write(*mark)
        except (OSError, TypeError, ValueError):  # nobody reads any more, or a line that cannot be formatted
            pass

    def _note_error(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            kind = "ended" if isinstance(error, Ended) else "error"
            self._write(kind, time.monotonic(), reason(error)[:2000])
        if died := _DIED.match(record.getMessage()):
            status = None if died["status"] == "None" else int(died["status"])
            kind = "error" if status is None else "ended"  # it may have said itself why
            self._write(kind, time.monotonic(), str(Ended("worker", status)))

    def _write(self, *words: object) -> None:
        os.write(self._writes, json.dumps(words).encode() + b"\n")

    def close(self) -> tuple[list[Mark], list[str]]:
        """All marks and errors so far; nothing the second time. This process notes no more. Of the errors those come
        first that tell of a process that was killed: what others met may be that it had gone."""
        if self._closed:
            return [], []
        self._closed = True
        logging.setLogRecordFactory(self._made)
        try:
            found = [json.loads(line) for line in os.read(self._reads, 65536).splitlines()]
        except BlockingIOError:
            found = []
        finally:
            os.close(self._reads)
            os.close(self._writes)
        errors = [text for kind in _WRONG for name, _, text in found if name == kind]
        return [(name, at, took) for name, at, took in found if name not in _WRONG], errors


def reason(error: BaseException) -> str:
    """One line. Of pydantic, which says all that it was given, what it found."""
    text = str(error)
    found = _FOUND.search(text)
    if found:
        return " ".join(found[1].split())
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    if isinstance(error, Ended):
        return first
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
