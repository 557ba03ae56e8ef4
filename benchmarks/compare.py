"""The frame of the scripts that compare proxies: common options, start everything, rounds, notes."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness import Bench
from peers import STARTERS, Target, start_targets
from rounds import Rounds, run_rounds


def arguments(
    doc: str | None, *, rounds: int, seconds: float, peers: str = "nginx"
) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ",".join(name for name in STARTERS if name != "pilotlight")
    parser.add_argument("--peers", default=peers, help=f"some of {names}; default %(default)s")
    parser.add_argument("--without-pilotlight", action="store_true", help="only the peers")
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--seconds", type=float, default=seconds, help="measured per target and round")
    parser.add_argument("--quick", action="store_true", help="two short rounds, to see that it works")
    parser.add_argument("--install", action="store_true", help="install Ray and LiteLLM into the cache first")
    parser.add_argument("--pilotlight", help="the pilotlight command")
    parser.add_argument("--json", help="write all figures to this file")
    return parser


@dataclass
class Comparison:
    """What was measured, and what could not be had and why."""

    rounds: Rounds
    missing: dict[str, str]
    count: int

    @property
    def proxies(self) -> list[str]:
        return [name for name in self.rounds.rows if name != "direct"]

    @property
    def notes(self) -> list[str]:
        missing = [f"{name}: {why}" for name, why in self.missing.items()]
        return [*missing, f"rounds kept: {len(self.rounds.kept())} of {self.count}"]

    @property
    def figures(self) -> dict[str, object]:
        return {"rows": self.rounds.rows, "kept": self.rounds.kept(), "missing": self.missing}


def compare(
    given: argparse.Namespace,
    measure: Callable[[Target], dict[str, float]],
    *,
    quiet_by: str,
    upstream_options: Sequence[str] = (),
    streaming: bool = False,
) -> Comparison:
    """Starts what `given` asks for and measures it in rounds; noise shows in the column `quiet_by`."""
    ours = [] if given.without_pilotlight else ["pilotlight"]
    with Bench() as bench:
        targets, missing = start_targets(
            bench,
            [*ours, *filter(None, given.peers.split(","))],
            upstream_options,
            install=given.install,
            pilotlight=given.pilotlight,
            streaming=streaming,
        )
        rounds = run_rounds(list(targets), given.rounds, lambda name: measure(targets[name]), quiet_by)
    ordered = Rounds({name: rounds.rows[name] for name in targets}, rounds.direct)
    return Comparison(ordered, missing, given.rounds)
