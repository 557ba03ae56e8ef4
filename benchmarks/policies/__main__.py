"""The default policies next to simple ones, on request traces: cold starts, cost, and whether the goals are reached.

    python benchmarks/policies TRACE... [--start-times 5,40] [--page FILE] [--into docs/performance.md]

A trace is what `pilotlight simulate` reads. All have one config: the default policies, with nothing tuned to a trace.
All run through pilotlight's simulator and the code that decides in a server; Knative's autoscaler and the hybrid
histogram, which are no policies of pilotlight, say there what comes and goes in place of its own (rivals.py). What is
chosen with hindsight is marked by its value in brackets.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import configs
import goals
import msgspec
import pieces
import plots
import rivals
import speed
import tables
from histogram import Histogram
from knative import Knative
from rows import Cell, Row, of

from pilotlight.errors import PilotlightError
from pilotlight.fleet.declared import MONTH
from pilotlight.sim.defaults import default_config
from pilotlight.sim.load import load
from pilotlight.sim.oracle import Oracle, oracle
from pilotlight.sim.result import Result
from pilotlight.sim.simulate import simulate
from pilotlight.sim.starts import constant
from pilotlight.sim.trace import Trace
from pilotlight.spec.model import Config
from pilotlight.units import format_duration

WARMER_TTL = 60.0


class Bench:
    """Of one trace with one start time."""

    def __init__(self, trace: Trace, start: float) -> None:
        self.trace, self.start = trace, start

    def run(self, config: Config) -> Result:
        return simulate(self.trace, config, constant(self.start))

    def cell(self, *, variants: bool) -> Cell:
        best = yardstick(self.trace, self.start)
        trace = self.trace
        return Cell(
            trace.name, self.start, len(trace), len(trace.models), trace.span / 3600, best.cost_usd,
            tuple(self.rows()), tuple(self.variants()) if variants else (),
        )  # fmt: skip

    def rows(self) -> Iterator[Row]:
        yield of(goals.DEFAULT, self.run(default_config()))
        if goals.is_sparse(self.trace.name):
            yield self.pool()
        yield from self.best_keep_alive()
        for minutes in configs.TTLS:
            yield of(f"keep-alive {minutes} min", self.run(configs.keep_alive(60.0 * minutes)))
        for name, rival in (("Knative", Knative()), ("histogram", Histogram(self.start))):
            yield of(name, rivals.play(self.trace, rival, constant(self.start)))
        yield of("one warmer, rest 1 min", self.run(configs.warmer(WARMER_TTL)))
        yield of(goals.STAYS, self.run(configs.silent()))
        yield of(goals.ALWAYS, self.run(configs.always_on(self.trace)))

    def variants(self) -> Iterator[Row]:
        for name, config in configs.variants().items():
            yield of(name, self.run(config))

    def pool(self) -> Row:
        found: dict[int, Row] = {}

        def holds(gpus: int) -> bool:
            found[gpus] = self.pooled(gpus)
            return found[gpus].holds

        gpus = configs.smallest_pool(self.trace, holds)
        return found.get(gpus) or self.pooled(gpus)

    def pooled(self, gpus: int) -> Row:
        name = f"{goals.POOL} ({gpus} GPU{'s' if gpus > 1 else ''})"
        return of(name, self.run(configs.pool(gpus)), hindsight=True)

    def best_keep_alive(self) -> Iterator[Row]:
        found: dict[float, Row] = {}

        def holds(seconds: float) -> bool:
            found[seconds] = of(goals.BEST, self.run(configs.keep_alive(seconds)), hindsight=True)
            return found[seconds].holds

        seconds = configs.shortest_keep_alive(self.trace.span, holds)
        if seconds is not None:
            name = f"{goals.BEST} ({format_duration(round(seconds))})"
            yield msgspec.structs.replace(found[seconds], policy=name)


def in_pieces(trace: Trace, starts: list[float]) -> list[tuple[str, list[Row]]]:
    """The default policies on each piece with a span, with each start time."""
    return [
        (piece.name, [of(goals.DEFAULT, Bench(piece, start).run(default_config())) for start in starts])
        for piece in pieces.of(trace)
        if piece.span > 0.0
    ]


def yardstick(trace: Trace, start: float) -> Oracle:
    config = default_config()
    given, slots = config.simulation, config.default_model.slots
    assert slots is not None
    return oracle(
        trace,
        start=start,
        slots=slots,
        first_token=given.first_token,
        per_token=given.per_token,
        dedicated=config.prices.gpu_month_usd / MONTH,
        premium=config.prices.serverless_premium,
        warm_up=given.warm_up,
    )


def numbers(text: str) -> list[float]:
    try:
        found = [float(part.strip().removesuffix("s")) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or not all(0 < x < float("inf") for x in found):
        raise argparse.ArgumentTypeError(f"{text!r} are no seconds: write them like 5,40")
    return found


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="policies", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("traces", nargs="+", metavar="TRACE")
    parser.add_argument("--start-times", type=numbers, default=[5.0, 40.0], help="seconds (default 5,40)")
    parser.add_argument("--variants", action="store_true", help="also the defaults with one thing changed")
    parser.add_argument(
        "--pieces", action="store_true", help="also the defaults on halves, and on every other model"
    )
    parser.add_argument("--page", type=Path, help="write plots and all columns to this HTML file")
    parser.add_argument("--into", type=Path, help="put the summary between the marks of this Markdown file")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--where", default="", help="machine and date, to stand above the figures")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    check(given)
    try:
        traces = [load(name) for name in given.traces]
    except PilotlightError as error:
        sys.exit(str(error))
    if empty := [trace.name for trace in traces if trace.span <= 0.0]:
        sys.exit(f"{empty[0]} spans no time: give a trace with requests at different moments")
    cells: list[Cell] = []
    verdicts: list[goals.Verdict] = []
    for trace in traces:
        for start in given.start_times:
            cells.append(Bench(trace, start).cell(variants=given.variants))
            verdicts += goals.judge(cells[-1])
            print(tables.long(cells[-1]), flush=True)
    fast = [
        speed.measure(trace, default_config(), start)
        for trace in traces
        if len(trace) >= speed.ENOUGH
        for start in given.start_times
    ]
    parts = [in_pieces(trace, given.start_times) for trace in traces] if given.pieces else []
    text = tables.summary(cells, verdicts, fast, given.where, [row for rows in parts for row in rows])
    print(text)
    if given.json:
        given.json.write_bytes(msgspec.json.encode({"cells": cells, "verdicts": verdicts, "speed": fast}))
    if given.page:
        given.page.write_text(plots.html(cells, verdicts, fast, given.where))
    if given.into:
        given.into.write_text(tables.put_into(given.into.read_text(), text))


def check(given: argparse.Namespace) -> None:
    """What would else be found out only after minutes."""
    for path in (given.page, given.json):
        if path and not path.parent.is_dir():
            sys.exit(f"{path}: there is no folder {path.parent}")
    if given.into:
        try:
            tables.put_into(given.into.read_text(), "")
        except (OSError, ValueError) as error:
            sys.exit(f"{given.into}: {error}")


if __name__ == "__main__":
    main()
