"""From which rate or utilisation on always-on is the cheaper one."""

from collections.abc import Callable, Iterator, Sequence

from claim import REFINED, REFUTED, REPRODUCED, Claim
from worlds import on_demand, run, steady

from pilotlight.fleet.declared import MONTH
from pilotlight.sim.oracle import evaluated

PREMIUM = 2.5
WORK = 6.0
"""Seconds of a request."""
KEPT, START = 60.0, 40.0
REQUESTS = 4000
CLAIMED, POINTS = (0.4, 0.5), 0.025
"""Utilisation, and how far from it still is it: the crossing is found to 5 %."""
NONE = 1e-3
"""Seconds of a start that takes no time."""


def claims() -> Iterator[Claim]:
    free = crossing(0.0, NONE)
    billed = crossing(KEPT, START)
    busy = [rate * WORK / 3600 for rate in (free, billed)]
    yield Claim(
        "break-even by rate",
        "always-on is cheaper from about 200 requests an hour",
        "article",
        f"N = 3600 / (premium x billed seconds of a request). Requests of 6 s that a GPU takes one at a time: "
        f"{3600 / (PREMIUM * 6):.0f} an hour by the formula, {free:.0f} in the simulator. With starts of 40 s and 60 s "
        f"of keep-alive billed: {3600 / (PREMIUM * 106):.1f} by the formula if each request pays for both, "
        f"{billed:.1f} in the simulator, where requests share them. 200 an hour means 7.2 s of a whole GPU for each.",
        REFINED,
        "simulated and computed",
    )
    yield Claim(
        "break-even by utilisation",
        "above 40-50 % utilisation always-on is cheaper",
        "article",
        f"1 / premium of billed utilisation: {100 / PREMIUM:.0f} % at a premium of 2.5, 50 % at 2. Of busy time the "
        f"crossing is simulated at {100 * busy[0]:.0f} % where nothing else is billed, and at {100 * busy[1]:.0f} % "
        "with 60 s of keep-alive and starts of 40 s too: the figure holds of what is billed, not of what is busy.",
        verdict(busy),
        "simulated and computed",
    )


def verdict(busy: Sequence[float]) -> str:
    """Of the shares of the time that a replica is busy at the crossing, with nothing else billed and with more."""
    holds = [CLAIMED[0] - POINTS <= share <= CLAIMED[1] + POINTS for share in busy]
    return REPRODUCED if all(holds) else REFINED if any(holds) else REFUTED


def crossing(ttl: float, start: float) -> float:
    """Requests an hour, Poisson, of WORK seconds each, one at a time on one replica, from which on one that is rented
    costs less than one that comes and goes."""
    config = on_demand(ttl, target_requests=1, max_requests=1, max_replicas=1)
    dedicated = config.prices.gpu_month_usd / MONTH
    given = config.simulation
    tokens = round((WORK - given.first_token) / given.per_token)

    def dearer(rate: float) -> bool:
        trace = steady(rate / 3600, REQUESTS / rate * 3600, tokens, seed=1)
        since, until = evaluated(trace)
        return run(trace, config, start).cost_usd > (until - since) * dedicated

    return bisect(dearer, 1.0, 500.0)


def bisect(dearer: Callable[[float], bool], low: float, high: float) -> float:
    while high / low > 1.05:
        middle = (low * high) ** 0.5
        low, high = (low, middle) if dearer(middle) else (middle, high)
    return (low * high) ** 0.5
