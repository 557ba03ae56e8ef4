"""From which rate or utilisation on always-on is the cheaper one."""

from collections.abc import Callable, Iterator

from claim import REFINED, REPRODUCED, Claim
from worlds import on_demand, run, steady

from pilotlight.fleet.declared import MONTH
from pilotlight.sim.oracle import evaluated

PREMIUM = 2.5
WORK = 6.0
"""Seconds of a request."""
KEPT, START = 60.0, 40.0
REQUESTS = 4000
NONE = 1e-3
"""Seconds of a start that takes no time."""


def claims() -> Iterator[Claim]:
    free = crossing(0.0, NONE)
    billed = crossing(KEPT, START)
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
        f"1 / premium of billed utilisation: {100 / PREMIUM:.0f} % at a premium of 2.5, 50 % at 2; at the crossing "
        f"above {100 * free * 6 / 3600:.0f} % busy is simulated without, {100 * billed * 6 / 3600:.0f} % with idle and "
        "start time billed: what counts is what is billed, not what is busy.",
        REPRODUCED,
        "simulated and computed",
    )


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
