"""One warmer against full shutdown."""

from collections.abc import Iterator, Sequence

from claim import REFINED, REFUTED, REPRODUCED, Claim
from worlds import STARTS, on_demand, percent, run, synthetic

from pilotlight.sim.trace import Trace
from pilotlight.spec.model import Warmer

TTL = 300.0
"""Seconds that what is beyond the warmer, or all, is kept."""


def claims(traces: Sequence[Trace]) -> Iterator[Claim]:
    lines: list[str] = []
    shares: list[float] = []
    for trace in (*synthetic(), *traces):
        for start in STARTS:
            bare, warm = run(trace, on_demand(TTL), start), run(trace, on_demand(TTL, warmer=Warmer()), start)
            if not bare.cold_rate or warm.cold_rate is None:
                continue
            fewer = 1 - warm.cold_rate / bare.cold_rate
            shares.append(fewer)
            times = warm.cost_usd / bare.cost_usd
            lines.append(
                f"{trace.name} at {start:g} s: {percent(bare.cold_rate)} cold -> {percent(warm.cold_rate)}, "
                f"{100 * fewer:.0f} % fewer at {times:.2g} x the cost"
            )
    inside = sum(0.6 <= s <= 0.7 for s in shares)
    verdict = REPRODUCED if inside == len(shares) else REFINED if max(shares) >= 0.6 else REFUTED
    found = (
        f"{100 * min(shares):.0f} to {100 * max(shares):.0f} % fewer, {inside} of {len(shares)} inside the claimed "
        "range: what the last replica's going made cold is gone, what a scale-out makes cold stays. "
        + "; ".join(lines)
    )
    yield Claim(
        "speculative warmer",
        "60-70 % fewer cold starts than full shutdown",
        "article",
        found,
        verdict,
        "simulated",
    )
