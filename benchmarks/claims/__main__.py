"""What is published about cold starts and their cost, tried: a table of claims and what came of each.

    python benchmarks/claims [TRACE...] [--into docs/claims.md] [--where "2 cores, AMD EPYC"] [--no-live]
        [--pilotlight .venv/bin/pilotlight]

A claim is simulated through pilotlight's own policies, measured on this machine, computed from stated prices, or said
to be not testable here. Traces are further traffic for the claim about warmers; the rest makes its own by fixed seeds.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import anatomy
import break_even
import choosing
import clients
import cold_rate
import fetching
import functions
import hybrid
import live
import pings
import prewarm
import starts
import tokens
import untested
import warmer
import waste
from claim import Claim

from pilotlight.cli.state import cache_dir
from pilotlight.cost.declared import EXAMPLES_OF
from pilotlight.errors import PilotlightError
from pilotlight.sim.load import load
from pilotlight.sim.trace import Trace
from pilotlight.spec.model import Config

Part = Callable[[], Iterator[Claim]]

HEAD = """\
# Claims, checked

What articles, vendors and papers of 2025 and 2026 say about cold starts and their cost, and what comes of it here.
Made by `python benchmarks/claims` ({where}, {date}).
Prices are examples of {prices} ([cost](cost.md)). *Reproduced*: the figure comes out. *Refined*: it comes out
under conditions that the claim leaves out. *Refuted*: it does not come out. *Simulated* figures are of the policies
that run in a server, on traffic that the script makes or is given; *measured* ones are of that machine, of interleaved
runs (medians where nothing else is said), most of llama.cpp with random weights of 1B parameters.

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
        found = list(all_of(parts(traces, args.pilotlight, not args.no_live)))
    except PilotlightError as e:
        print(f"claims: {e}", file=sys.stderr)
        return 1
    head = HEAD.format(where=args.where, date=datetime.now(UTC).date(), prices=EXAMPLES_OF)
    page = head + "".join(map(row, found)) + "".join(map(below, found))
    if args.into is None:
        print(page)
    else:
        args.into.write_text(page)
    return 0


def parts(traces: Sequence[Trace], pilotlight: str, live_too: bool) -> list[Part]:
    """In the order of the page."""
    simulated: list[Part] = [
        lambda: warmer.claims(traces), hybrid.claims, waste.claims, cold_rate.claims, break_even.claims,
        lambda: choosing.claims(pilotlight), prewarm.claims, pings.claims,
    ]  # fmt: skip
    computed: list[Part] = [functions.claims, tokens.claims, anatomy.claims]
    measured: list[Part] = [
        lambda: live.claims(pilotlight),
        lambda: starts.claims(cache_dir(Config())),
        lambda: fetching.claims(pilotlight),
        clients.claims,
    ]
    return [*simulated, *computed, *(measured if live_too else ()), untested.claims]


def all_of(parts: Sequence[Part]) -> Iterator[Claim]:
    for part in parts:
        for claim in part():
            print(f"{claim.subject}: {claim.verdict}", file=sys.stderr)
            yield claim


def row(c: Claim) -> str:
    cells = (c.subject, c.claimed, c.source, c.found, f"**{c.verdict}**", c.how)
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |\n"


def below(c: Claim) -> str:
    return f"\n## {c.subject.capitalize()}\n\n{c.detail}" if c.detail else ""


if __name__ == "__main__":
    sys.exit(main())
