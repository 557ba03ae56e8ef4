"""What `objective.per_model_max` does for a model that is seldom asked for, beside a busy one, and what it costs.

    python benchmarks/rare_models.py [--days 7] [--limit 20%]

The busy one is asked for every 10 s on average, by chance (Poisson, a fixed seed). All runs go through `pilotlight
simulate` with the default policies, with the limit and without. Prints a table for docs/scaling.md: the cold rate of
the rare model and what all that time cost, less the warm-up; and what one replica that is always up costs in it.
"""

import argparse
from collections.abc import Iterator

import numpy as np

from pilotlight.sim.defaults import TEXT
from pilotlight.sim.result import Result
from pilotlight.sim.simulate import simulate
from pilotlight.sim.starts import constant
from pilotlight.sim.trace import Trace
from pilotlight.spec.load import parse

HOUR, DAY = 3600.0, 86400.0
BUSY = 10.0
"""Seconds between two requests of the busy model, on average."""

ASKED = {
    "4 times an hour": (HOUR / 4, True),
    "once an hour": (HOUR, True),
    "every hour on the hour": (HOUR, False),
    "every 3 hours": (3 * HOUR, True),
}
"""How often the rare one is: seconds between two requests, and whether by chance."""

STARTS = (5.0, 40.0)
"""Seconds."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--days", type=float, default=7.0)
    parser.add_argument("--limit", default="20%", help="of cold requests of a model")
    args = parser.parse_args()
    print("| the rare one is asked for | 5 s, without | with | 40 s, without | with |\n|---|---|---|---|---|")
    for words, (gap, by_chance) in ASKED.items():
        trace = beside_a_busy_one(gap, by_chance, args.days * DAY)
        cells = [of(r) for start in STARTS for r in both(trace, args.limit, start)]
        print(f"| {words} | {' | '.join(cells)} |", flush=True)
    always = 0.9 * args.days * DAY / HOUR * 2500 / 730
    print(f"\nOne replica that is always up costs ${always:,.0f} in the time that counts.")


def beside_a_busy_one(gap: float, by_chance: bool, span: float) -> Trace:
    dice = np.random.default_rng(3)
    busy = np.cumsum(dice.exponential(BUSY, int(2 * span / BUSY) + 20))
    many = int(2 * span / gap) + 20
    rare = np.cumsum(dice.exponential(gap, many) if by_chance else np.full(many, gap))
    rows = [
        (float(t), name, 400, 100)
        for name, times in (("busy", busy), ("rare", rare))
        for t in times[times < span]
    ]
    return Trace.from_rows("by chance", rows)


def both(trace: Trace, limit: str, start: float) -> Iterator[Result]:
    for more in ("", f", per_model_max: {limit}"):
        text = TEXT.replace("[2%, 5%]}", f"[2%, 5%]{more}}}")
        yield simulate(trace, parse(text, "x", {}, simulated=True), constant(start))


def of(r: Result) -> str:
    return f"{100 * r.cold_rate_by_model['rare']:.0f}, ${r.cost_usd:,.0f}"


if __name__ == "__main__":
    main()
