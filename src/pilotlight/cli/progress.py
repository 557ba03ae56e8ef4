"""A progress bar on stderr, where stderr is a terminal; a line now and then where it is not."""

import sys
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


class ProgressBar:
    def __init__(self, label: str) -> None:
        console = Console(file=sys.stderr)
        self._label = label
        self._live = console.is_terminal
        self._said = 0
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), DownloadColumn(binary_units=True),
            TransferSpeedColumn(), TimeRemainingColumn(), console=console, disable=not self._live,
        )  # fmt: skip
        self._task = self._bar.add_task(label, total=None)

    def update(self, done: int, total: int | None) -> None:
        self._bar.update(self._task, completed=done, total=total)
        if not self._live and total and done * 4 // total > self._said:
            self._said = done * 4 // total
            print(f"{self._label}: {done * 100 // total} % of {total / 2**20:.0f} MiB", file=sys.stderr)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
