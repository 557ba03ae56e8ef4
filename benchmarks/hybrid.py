"""A base of one's own and a provider for what exceeds it, beside the base alone, on request traces.

    python benchmarks/hybrid.py TRACE... [--start-times 5,40] [--config examples/hybrid.yaml]

Both run through `pilotlight simulate`; costs are in multiples of the clairvoyant's, who has no provider
(docs/simulate.md).
Prints a table for docs/performance.md.
"""

import argparse
import sys
from pathlib import Path

from pilotlight.errors import PilotlightError
from pilotlight.sim.defaults import default_config
from pilotlight.sim.load import load
from pilotlight.sim.result import Result
from pilotlight.sim.simulate import simulate
from pilotlight.sim.starts import constant
from pilotlight.spec.load import parse

HEAD = """\
| trace | start | base alone: cold % | cost | hybrid: cold % | cost | of it to the provider |
|---|---|---|---|---|---|---|
"""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("traces", nargs="+", metavar="TRACE")
    parser.add_argument("--start-times", default="5,40", help="seconds")
    parser.add_argument("--config", type=Path, default=Path(__file__).parents[1] / "examples" / "hybrid.yaml")
    args = parser.parse_args()
    try:
        hybrid = parse(args.config.read_text(), str(args.config), {}, simulated=True)
        print(HEAD, end="")
        for name in args.traces:
            trace = load(name)
            for start in map(float, args.start_times.split(",")):
                alone, both = (simulate(trace, c, constant(start)) for c in (default_config(), hybrid))
                print(row(trace.name, start, alone, both), flush=True)
    except PilotlightError as e:
        print(f"hybrid: {e}", file=sys.stderr)
        return 1
    return 0


def row(trace: str, start: float, alone: Result, both: Result) -> str:
    paid = both.burst_usd / both.cost_usd if both.cost_usd else 0.0
    return f"| {trace} | {start:g} s | {of(alone)} | **{of(both).replace(' | ', '** | **')}** | {100 * paid:.0f} % |"


def of(r: Result) -> str:
    return f"{100 * (r.cold_rate or 0.0):.2f} | {r.cost_over_oracle or 0.0:.2f}"


if __name__ == "__main__":
    sys.exit(main())
