"""A progress bar on stderr, where stderr is a terminal; a line now and then where it is not."""

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from pilotlight.units import format_size

EVERY = 10.0
"""Seconds between two lines."""


class ProgressBar:
    def __init__(self, label: str) -> None:
        console = Console(file=sys.stderr)
        self._label = label
        self._live = console.is_terminal
        self._said: tuple[float, int] | None = None
        """When, and of how many bytes."""
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), DownloadColumn(binary_units=True),
            TransferSpeedColumn(), TimeRemainingColumn(), console=console, disable=not self._live,
        )  # fmt: skip
        self._task = self._bar.add_task(label, total=None)

    def update(self, done: int, total: int | None) -> None:
        self._bar.update(self._task, completed=done, total=total)
        if not self._live:
            self._say(done, total)

    def _say(self, done: int, total: int | None) -> None:
        """At first, every 10 s, and at the end."""
        now = time.monotonic()
        share = f"{done * 100 // total} % of {format_size(total)}" if total else f"{format_size(done)} so far"
        if self._said is not None:
            at, before = self._said
            if done == before or (done != total and now - at < EVERY):
                return
            share += f", {format_size(max(0, done - before) / max(now - at, 0.001))}/s"
        print(f"{self._label}: {share}", file=sys.stderr, flush=True)
        self._said = now, done

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
