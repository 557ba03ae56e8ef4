"""What the last points of the cold rate cost."""

from collections.abc import Iterator

import msgspec
from claim import REFINED, REFUTED, Claim
from worlds import STARTS, on_demand, run, synthetic

from pilotlight.sim.trace import Trace

RATES = (0.2, 0.1, 0.05, 0.02, 0.005)
START = STARTS[1]
LONGEST = 86_400.0
"""Seconds of keep-alive that are tried at most."""


class Ladder(msgspec.Struct, frozen=True):
    """What one traffic costs at each cold rate, by the shortest fixed keep-alive that holds it."""

    traffic: str
    usd: dict[float, float]
    rented: float
    """USD of as many as its busiest moment needs, always on, at the dedicated price: 0 % cold."""

    def of_5(self, rate: float) -> float:
        return self.usd[rate] / self.usd[0.05]


def claims() -> Iterator[Claim]:
    found = [ladder(trace) for trace in synthetic()]
    names = ", ".join(x.traffic for x in found)

    def times(rate: float) -> str:
        return ", ".join(f"{x.of_5(rate):.2f}" for x in found)

    cheaper = [x for x in found if x.rented < min(x.usd.values())]
    yield Claim(
        "cold-start rate to aim at",
        "above 10 %: scale-down too aggressive; below 5 %: possibly over-provisioned; best 2-5 %",
        "article",
        f"Cost of the shortest keep-alive that holds it, {START:g} s starts, 5 % being 1 ({names}): "
        f"20 % {times(0.2)}; 10 % {times(0.1)}; 2 % {times(0.02)}; 0.5 % {times(0.005)}. Renting for the peak, 0 % "
        "cold: "
        + ", ".join(f"{x.rented / x.usd[0.05]:.2f}" for x in found)
        + f". The last points cost little where gaps are even and much where traffic comes in bursts; in "
        f"{len(cheaper)} of {len(found)} 0 % by renting is cheaper than any of it. The band is right where nothing "
        "cheaper holds less.",
        REFINED if len(cheaper) < len(found) else REFUTED,
        "simulated",
    )


def ladder(trace: Trace) -> Ladder:
    rented = run(trace, on_demand(0.0), START).always_on_usd
    return Ladder(trace.name, {rate: cheapest(trace, rate) for rate in RATES}, rented)


def cheapest(trace: Trace, rate: float) -> float:
    """USD with the shortest keep-alive, to 3 %, that has no more than `rate` cold."""
    low, high = 1.0, LONGEST
    while high / low > 1.03:
        middle = (low * high) ** 0.5
        cold = run(trace, on_demand(middle), START).cold_rate or 0.0
        low, high = (middle, high) if cold > rate else (low, middle)
    return run(trace, on_demand(high), START).cost_usd
