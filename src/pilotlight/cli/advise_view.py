"""The advice on a terminal."""

import sys
import time
from collections.abc import Generator
from contextlib import contextmanager

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pilotlight.advise.advice import Advice
from pilotlight.advise.page import said
from pilotlight.advise.played import Played
from pilotlight.advise.playing import Told
from pilotlight.advise.written import number, part, usd
from pilotlight.advise.written import time as duration
from pilotlight.sim.trace import Trace

EVERY = 10.0
"""Seconds between two lines of progress, where standard error is no terminal."""


def show(a: Advice, console: Console | None = None) -> None:
    console = console or Console(highlight=False)
    console.print(Text(a.trace, "bold"), soft_wrap=True)
    console.print(Text(f"Recommended: {a.recommended.candidate.tier}", "bold green"), soft_wrap=True)
    for line in a.why:
        console.print(Text(f"- {line}"), soft_wrap=True)
    console.print(_table(a))
    if a.even is not None:
        e = a.even
        console.print(
            Text(
                f"break-even of {e.below} (below) and {e.above} (above): {e.formula}: {e.with_numbers}; "
                f"this traffic: {number(e.per_hour)}/h"
            ),
            soft_wrap=True,
        )
        for line in e.explained:
            console.print(Text(f"  {line}"), soft_wrap=True)
    for line in a.warnings:
        console.print(Text(f"note: {line}", "yellow"), soft_wrap=True)
    console.print()
    print(a.config, end="")
    console.print()


def _table(a: Advice) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("", "A MONTH", "COLD", "P50", "P99"):
        table.add_column(name, justify="left" if not name else "right", no_wrap=True)
    table.add_column("")
    for p in a.played:
        table.add_row(*_row(p), said(p, a), style=_style(p, a))
    return table


def _row(p: Played) -> list[str]:
    r = p.result
    return [p.id, usd(p.month_usd), part(p.cold_rate), duration(r.ttft_p50), duration(r.ttft_p99)]


def _style(p: Played, a: Advice) -> str:
    if p.id == a.recommended.id:
        return "bold green"
    return "dim" if p.dominated and said(p, a) == "dominated" else ""


@contextmanager
def progress(trace: Trace) -> Generator[Told]:
    """On standard error: a line that changes on a terminal, and else one from time to time."""
    console = Console(file=sys.stderr)
    if console.is_terminal:
        with console.status(f"{trace.name}: {len(trace):,} requests") as status:
            yield lambda done, of, what: status.update(f"{trace.name}: simulated {done} of {of}, {what}")
        return
    last = time.monotonic()

    def told(done: int, of: int, what: str) -> None:
        nonlocal last
        if time.monotonic() - last >= EVERY:
            last = time.monotonic()
            print(f"{trace.name}: simulated {done} of {of}, {what}", file=sys.stderr)

    yield told
