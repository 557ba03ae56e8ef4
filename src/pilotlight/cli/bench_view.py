"""The figures of `pilotlight bench` on a terminal, and a sign of life while they are taken."""

import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from pilotlight.bench.plot import ms
from pilotlight.bench.result import Measured, Report, Run
from pilotlight.bench.variants import Variant

WIDTH = 44
"""Characters of the longest bar."""
COLOURS = ("blue", "green", "yellow", "magenta", "cyan", "red", "bright_blue", "bright_green")


def show(report: Report, console: Console | None = None) -> None:
    console = console or Console(highlight=False)
    console.print(f"{report.about}\n{report.machine}; {report.date}\n", soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    for name, justify in (("TECHNIQUE", "left"), ("MEDIAN", "right"), ("x PLAIN", "right")):
        table.add_column(name, justify=justify, no_wrap=True)  # pyright: ignore[reportArgumentType]
    table.add_column("FROM THE REQUEST TO ITS FIRST TOKEN", no_wrap=True)
    longest = max(m.ttft for m in report.measured)
    for m in report.measured:
        _add(table, m, report.measured[0].ttft, WIDTH / longest)
    console.print(table)
    for note in report.notes()[1:]:
        console.print(f"note: {note}", soft_wrap=True)


def _add(table: Table, m: Measured, plain: float, scale: float) -> None:
    seconds = sorted(run.ttft for run in m.runs)
    between = f"{len(seconds)} runs, {ms(seconds[0])} to {ms(seconds[-1])}"
    table.add_row(Text(m.variant.name, "bold"), Text(ms(m.ttft), "bold"), f"{m.ttft / plain:.2f}", between)
    starts = m.starts()
    for n, (stage, took) in enumerate(m.stages().items()):
        bar = " " * round(starts[stage] * scale) + "█" * max(1, round(took * scale))
        table.add_row(f"  {stage}", ms(took), "", Text(bar, COLOURS[n % len(COLOURS)]))
    table.add_row()


class Watch:
    """On standard error: a bar where that is a terminal, else a line now and then."""

    def __init__(self, variants: int, runs: int) -> None:
        console = Console(file=sys.stderr)
        self._live = console.is_terminal
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            console=console, disable=not self._live, transient=True,
        )  # fmt: skip
        self._task = self._progress.add_task("getting ready", total=variants * (runs + 1))
        self._counts: dict[str, int] = {}
        self._runs = runs

    def told(self, variant: Variant, run: Run | None) -> None:
        name = variant.name
        if run is None:
            text = f"{name} is ready"
        else:
            self._counts[name] = self._counts.get(name, 0) + 1
            text = f"{name} {self._counts[name]}/{self._runs}: {ms(run.ttft)}"
        self._progress.update(self._task, advance=1, description=f"{text:32}")
        if not self._live:
            print(text, file=sys.stderr, flush=True)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
