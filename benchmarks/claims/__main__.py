"""What is published about cold starts and their cost, tried: a table of claims and what came of each.

    python benchmarks/claims [TRACE...] [--into docs/claims.md] [--where "2 cores, AMD EPYC"] [--no-live]

A claim is simulated through pilotlight's own policies, measured on this machine, computed from stated prices, or said
to be not testable here. Traces are further traffic for the claim about warmers; the rest makes its own by fixed seeds.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import break_even
import functions
import hybrid
import live
import pings
import prewarm
import tokens
import untested
import warmer
import waste
from claim import Claim

from pilotlight.cost.declared import EXAMPLES_OF
from pilotlight.errors import PilotlightError
from pilotlight.sim.load import load

HEAD = """\
# Claims, checked

What articles, vendors and papers of 2025 and 2026 say about cold starts and their cost, and what comes of it here.
Made by `python benchmarks/claims` ({where}, {date}); prices are examples of {EXAMPLES_OF}
([cost](cost.md)). *Reproduced*: the figure comes out. *Refined*: it comes out under conditions that the claim leaves
out. *Refuted*: it does not come out. *Simulated* figures are of the policies that run in a server, on traffic that the
script makes or is given; *measured* ones are of llama.cpp on that machine.

| claim | as published | source | here | verdict | how |
|---|---|---|---|---|---|
"""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("traces", nargs="*", metavar="TRACE")
    parser.add_argument("--into", type=Path, help="write the page there")
    parser.add_argument("--where", default="a machine that was not named", help="for the page")
    parser.add_argument("--no-live", action="store_true", help="nothing that needs an engine")
    parser.add_argument("--pilotlight", default="pilotlight", help="the command, for what is measured")
    args = parser.parse_args()
    try:
        traces = [load(t) for t in args.traces]
        found = list(all_of(lambda: warmer.claims(traces), None if args.no_live else args.pilotlight))
    except PilotlightError as e:
        print(f"claims: {e}", file=sys.stderr)
        return 1
    page = HEAD.format(where=args.where, date=datetime.now(UTC).date(), EXAMPLES_OF=EXAMPLES_OF) + "".join(
        map(row, found)
    )
    if args.into is None:
        print(page)
    else:
        args.into.write_text(page)
    return 0


def all_of(of_warmers: Callable[[], Iterator[Claim]], pilotlight: str | None) -> Iterator[Claim]:
    parts: list[Callable[[], Iterator[Claim]]] = [
        of_warmers, hybrid.claims, waste.claims, break_even.claims, prewarm.claims, pings.claims, functions.claims,
        tokens.claims,
    ]  # fmt: skip
    if pilotlight is not None:
        parts.append(lambda: live.claims(pilotlight))
    for part in (*parts, untested.claims):
        for claim in part():
            print(f"{claim.subject}: {claim.verdict}", file=sys.stderr)
            yield claim


def row(c: Claim) -> str:
    cells = (c.subject, c.claimed, c.source, c.found, f"**{c.verdict}**", c.how)
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |\n"


if __name__ == "__main__":
    sys.exit(main())
