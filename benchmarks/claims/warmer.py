"""One warmer against full shutdown."""

from collections.abc import Iterator, Sequence

import msgspec
from claim import REFINED, REFUTED, REPRODUCED, Claim
from worlds import STARTS, on_demand, percent, run, synthetic

from pilotlight.sim.trace import Trace
from pilotlight.spec.model import Warmer

TTL = 300.0
"""Seconds that what is beyond the warmer, or all, is kept."""
HEAD = """\
Traffic is ten requests an hour for two weeks (poisson, bursty, daily), or a trace. Without a warmer all goes after
five minutes; with one the last replica leaves one behind. Starts take 5 s or 40 s. Cold without and with one, and the
cost with it as a multiple of that without:

"""


class Tried(msgspec.Struct, frozen=True):
    traffic: str
    start: float
    bare: float
    """Cold rate, as is the next."""
    warm: float
    times: float
    """The cost, with a warmer, of that without."""

    @property
    def fewer(self) -> float:
        return 1 - self.warm / self.bare

    def line(self) -> str:
        return (
            f"- {self.traffic}, {self.start:g} s: {percent(self.bare)} and {percent(self.warm)} "
            f"({100 * self.fewer:.0f} % fewer), {self.times:.2g} x\n"
        )


def claims(traces: Sequence[Trace]) -> Iterator[Claim]:
    found = [t for trace in (*synthetic(), *traces) for start in STARTS if (t := tried(trace, start))]
    fewer, times = [t.fewer for t in found], [t.times for t in found]
    inside = sum(0.6 <= s <= 0.7 for s in fewer)
    yield Claim(
        "speculative warmer",
        "60-70 % fewer cold starts than full shutdown",
        "article",
        f"{100 * min(fewer):.0f} to {100 * max(fewer):.0f} % fewer at {min(times):.2g} to {max(times):.2g} x the "
        f"cost, {inside} of {len(found)} in the claimed range ([each](#speculative-warmer)): what the last replica's "
        "going made cold is gone, what a scale-out makes cold stays.",
        REPRODUCED if inside == len(found) else REFINED if max(fewer) >= 0.6 else REFUTED,
        "simulated",
        HEAD + "".join(t.line() for t in found),
    )


def tried(trace: Trace, start: float) -> Tried | None:
    """None where nothing is cold anyway."""
    bare, warm = run(trace, on_demand(TTL), start), run(trace, on_demand(TTL, warmer=Warmer()), start)
    if not bare.cold_rate or warm.cold_rate is None:
        return None
    return Tried(trace.name, start, bare.cold_rate, warm.cold_rate, warm.cost_usd / bare.cost_usd)
