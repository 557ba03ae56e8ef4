"""The figures of `pilotlight simulate` on a terminal."""

import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pilotlight.cli import cost_view
from pilotlight.sim.defaults import NAME, TEXT
from pilotlight.sim.report import advice, prices, said
from pilotlight.sim.result import Result
from pilotlight.sim.sweep import Point
from pilotlight.sim.trace import Trace
from pilotlight.units import format_duration, format_fraction

MOST_FAULTS = 5
"""That are shown of each trace."""

Row = tuple[str, Callable[[Result], float | None], Callable[[float], str], int]
"""Its name, the figure, how it is written, and whether less (-1) or more (1) of it is better, or neither (0)."""


def usd(x: float) -> str:
    return f"${x:,.2f}"


def hours(x: float) -> str:
    return f"{x:,.1f} h"


def times(x: float) -> str:
    return f"{x:.2f}x"


def count(x: float) -> str:
    return f"{x:,.0f}"


def _of(r: Result, name: str, figure: str) -> float | None:
    """A figure of a class; None where no request has it."""
    return getattr(r.by_class.get(name), figure, None)


ROWS: tuple[Row, ...] = (
    ("cold rate", lambda r: r.cold_rate, format_fraction, -1),
    ("  of the worst model", lambda r: r.cold_rate_worst_model, format_fraction, -1),
    ("  windows above the band", lambda r: r.windows_above_band, format_fraction, -1),
    ("  windows in the band", lambda r: r.windows_in_band, format_fraction, 0),
    ("first token, median", lambda r: r.ttft_p50, format_duration, -1),
    ("  95 of 100", lambda r: r.ttft_p95, format_duration, -1),
    ("  99 of 100", lambda r: r.ttft_p99, format_duration, -1),
    ("of critical requests, cold", lambda r: _of(r, "critical", "cold_rate"), format_fraction, -1),
    ("  first token, 95 of 100", lambda r: _of(r, "critical", "ttft_p95"), format_duration, -1),
    ("of batch requests, first token, 95 of 100", lambda r: _of(r, "batch", "ttft_p95"), format_duration, -1),
    ("  past their deadline", lambda r: _of(r, "batch", "past_deadline"), count, -1),
    ("answered by a stand-in", lambda r: r.stood_in, count, 0),
    ("cost", lambda r: r.cost_usd, usd, -1),
    ("  to providers, pings included", lambda r: r.burst_usd + r.ping_usd or None, usd, 0),
    ("  of the oracle", lambda r: r.oracle_cost_usd, usd, 0),
    ("  over the oracle", lambda r: r.cost_over_oracle, times, -1),
    ("  of always on", lambda r: r.always_on_usd, usd, 0),
    ("GPU time paid for", lambda r: r.gpu_hours, hours, 0),
    ("  at the dedicated price", lambda r: r.dedicated_gpu_hours, hours, 0),
    ("replica time", lambda r: r.replica_hours, hours, 0),
    ("starts", lambda r: float(r.starts), count, 0),
    ("session turns on their replica", lambda r: r.turns_kept, format_fraction, 1),
    ("answered by providers", lambda r: r.burst_requests or None, count, 0),
    ("never served", lambda r: float(r.unserved), count, -1),
    ("  declined by them", lambda r: r.burst_declined or None, count, 0),
    ("asked of both at once", lambda r: r.burst_hedged or None, count, 0),
    ("  and answered by a replica", lambda r: r.burst_cut or None, count, 0),
    ("requests a CPU second", lambda r: r.requests_per_s, count, 0),
)


def show(results: Sequence[Result], console: Console | None = None) -> None:
    console = console or Console(highlight=False)
    if any(r.config == NAME for r in results):
        console.print("Without --config the default policies are simulated (--show-config):")
        text = "".join(f"  {line}\n" for line in TEXT.splitlines()[1:])
        console.print(Text(text, "dim"), soft_wrap=True)
    by_trace: dict[int, list[Result]] = {}
    names = list(dict.fromkeys(r.config for r in results))
    for i, result in enumerate(results):
        by_trace.setdefault(i // len(names), []).append(result)
    for found in by_trace.values():
        _show_trace(found, console)


def _show_trace(found: Sequence[Result], console: Console) -> None:
    _head(found[0], console)
    starts = {(r.start_time, r.start_time_from): None for r in found}
    console.print("; ".join(f"a start takes {_start(*s)}" for s in starts), soft_wrap=True)
    table = Table(box=None, pad_edge=False, show_header=len(found) > 1)
    table.add_column("", no_wrap=True)
    for name in _short([r.config for r in found]):
        table.add_column(name, justify="right", overflow="fold")
    if len(found) > 1:
        table.add_column("", no_wrap=True)
    for name, figure, written, better in ROWS:
        values = [figure(r) for r in found]
        if any(v is not None for v in values) and not (name == "never served" and not any(values)):
            cells = ["-" if v is None else written(v) for v in values]
            table.add_row(name, *cells, *([_change(values, better)] if len(found) > 1 else []))
    console.print(table)
    for note in dict.fromkeys(note for r in found for note in r.notes):
        console.print(f"note: {note}", soft_wrap=True)
    console.print()


def _short(paths: Sequence[str]) -> list[str]:
    """File names, where they tell the paths apart."""
    names = [Path(path).name for path in paths]
    return names if len(set(names)) == len(names) else list(paths)


def _head(r: Result, console: Console) -> None:
    counts = ((r.requests, "request"), (r.models, "model"))
    requests, models = (f"{n:,} {what}{'s' if n != 1 else ''}" for n, what in counts)
    about = f"{requests}, {models}, {format_duration(r.span_s)}; {r.evaluated:,} counted"
    console.print(Text(r.trace, "bold"), Text(f"  {about}"), soft_wrap=True)


def _start(seconds: float, source: str) -> str:
    text = format_duration(seconds)
    if source == "default":
        return f"{text}, the default, for nothing else is known (--start-time)"
    if source == "given":
        return text
    return f"{text} on average, as learned here" if source == "learned" else f"{text} on average ({source})"


def _change(values: Sequence[float | None], better: int) -> Text:
    """From the first to the last: what got better or worse."""
    first, last = values[0], values[-1]
    if first is None or last is None or first == last:
        return Text("")
    by = f"{last / first - 1:+.1%}" if first else "from none"
    if by in ("+0.0%", "-0.0%"):
        return Text("")
    if not better:
        return Text(by, "dim")
    is_better = (last > first) == (better > 0)
    return Text(f"{by} {'better' if is_better else 'worse'}", "green" if is_better else "red")


def show_bills(results: Sequence[Result]) -> None:
    """By what replicas did, where that was wanted."""
    for result in results:
        if result.bill is not None:
            told = result.bill.told()
            print(f"\n{result.trace}, {result.config}: {cost_view.usd(told['usd'])}")
            cost_view.lines(told)
            cost_view.otherwise(told)
            waiting = told["waiting"]
            each = (
                f", on average {cost_view.usd(waiting['usd'] / waiting['cold'])} each"
                if waiting["cold"]
                else ""
            )
            print(
                f"waiting: {waiting['cold']:,} cold requests count as {cost_view.usd(waiting['usd'])}{each}"
            )


def tell_prices(results: Sequence[Result]) -> None:
    for line in prices(results):
        print(line)


def show_sweep(key: str, found: Sequence[Point], limit: float, console: Console | None = None) -> None:
    console = console or Console(highlight=False)
    _head(found[0].result, console)
    table = Table(box=None, pad_edge=False)
    for name in (key, "COST", "COLD", "WORST MODEL", "P99", "x ORACLE"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    for p in found:
        r = p.result
        cold = "-" if r.cold_rate is None else format_fraction(r.cold_rate)
        worst = "-" if r.cold_rate_worst_model is None else format_fraction(r.cold_rate_worst_model)
        p99 = "-" if r.ttft_p99 is None else format_duration(r.ttft_p99)
        over = "-" if r.cost_over_oracle is None else times(r.cost_over_oracle)
        table.add_row(p.value, usd(r.cost_usd), cold, worst, p99, over, said(p), style=_style(p))
    console.print(table)
    console.print(advice(key, next(p for p in found if p.recommended), limit), soft_wrap=True)
    console.print()


def _style(p: Point) -> str:
    return "bold green" if p.recommended else "dim" if p.dominated else ""


def tell_faults(trace: Trace) -> None:
    """On standard error."""
    for fault in trace.faults[:MOST_FAULTS]:
        print(fault, file=sys.stderr)
    if trace.skipped > len(trace.faults[:MOST_FAULTS]):
        print(f"{trace.name}: {trace.skipped:,} rows in all were left out", file=sys.stderr)


@contextmanager
def busy(what: str) -> Generator[None]:
    """A sign of life on standard error, where that is a terminal."""
    console = Console(file=sys.stderr)
    if not console.is_terminal:
        yield
        return
    with console.status(what):
        yield
