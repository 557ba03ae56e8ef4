"""The controller of the cold rate: what a cold request must cost for the band to hold.

Every spell of demand tells at what price of a cold request its replica would have been kept for it. The share of
cold requests that any price would have brought of late is then a sum over a histogram, and the controller takes the
lowest price that keeps it inside the band, trimmed by how far the cold rate itself has been off. One price for all
deployments is what makes a given cold rate cheapest: nowhere is more paid to spare a request than elsewhere. While too
many windows of requests are above the band it is stretched (windows.py). Where bursts are cold at any price, it has a
limit (`dearest`).

Below the band nothing is made cold on purpose: at a price of zero a replica is still kept for as long as that costs
less than its next start, and what is rented for long stays.
"""

from math import exp, inf, log2

from pilotlight.fleet.demand import PRICE_BINS, Demand, Hindsight, Prices, Windows
from pilotlight.fleet.deployment import Goal
from pilotlight.fleet.fleet import DeploymentState, Fleet
from pilotlight.policy import guard, windows

PER_OCTAVE = 3
"""Bins per doubling of the price; the last bin is for what no price would have spared."""

LOWEST = 1e-5
"""USD."""

MEMORY = 50_000.0
"""Requests over which it looks back [G]: a price that changes often pays more for the same cold rate, and one that
was learned over a few days holds for the next."""

AIM = 0.65
"""Between the band's edges, 0 the lower and 1 the upper [G]."""

EVERY, SOON, PART = 200, 25, 0.01
"""Requests after which it thinks again: at most, at least, and in between as a share of those that it looks back on.
With little traffic a day would else pass between two looks. Where there are providers it is the most at once: their
own first answers are cold, and a price that is learned from those few would have replicas kept in their place."""

WINDOW = 1000.0
"""Requests that the band is judged by: with fewer it takes those to come for free of cold ones."""

PULL = 0.3
"""By which share the price follows a cold rate that is twice what the band allows, for every 1,000 requests [G]."""

MOST = 12.0
"""The trim stays between this and its inverse."""

RETURN = 0.03
"""By which share it returns to 1, on a logarithmic scale, for every 1,000 requests with the cold rate inside the band
[G]: what was off long ago says little of the traffic of today."""


def spared(p: Prices, usd: float, colds: float) -> None:
    """A spell that was met warm, and would have been at this price or a higher one, and the requests that it would
    else have kept waiting."""
    p.past.spells[bin_of(usd)] += colds


def was_cold(fleet: Fleet, usd: float, plain: float, told: bool = True) -> None:
    """A request that would have been warm at the price `usd`; its deployment's is `plain`, before any stretch. What
    the price should be is asked of those only of which this is to be `told`."""
    p = fleet.prices
    if fleet.goal.cold_usd is None:
        windows.was_cold(p.windows, usd, plain)
    p.past.cold += 1.0
    p.past.spells[bin_of(usd if told else inf)] += 1.0


def bin_of(usd: float) -> int:
    if usd <= LOWEST:
        return 0
    if usd == inf:
        return PRICE_BINS - 1
    return min(PRICE_BINS - 2, int(PER_OCTAVE * log2(usd / LOWEST)) + 1)


def came(fleet: Fleet, d: Demand, requests: int, now: float) -> bool:
    """So many more requests of a deployment have come. Whether a window of all requests is over with them."""
    p = fleet.prices
    p.since += requests
    if p.past.as_of == inf:
        p.past.as_of = now
    is_over = fleet.goal.cold_usd is None and windows.came(p.windows, fleet.goal, requests)
    guard.came(fleet.goal, d, requests)
    if p.since >= (p.due or _due(fleet)):
        think(fleet, now)
    return is_over


def think(fleet: Fleet, now: float) -> None:
    p, goal = fleet.prices, fleet.goal
    since = p.since
    _pass(p.past, since, now)
    p.since, p.due = 0, _due(fleet)
    if goal.cold_usd is not None:
        p.windows = Windows()  # should the price not be said any more
        return
    aim = goal.low + AIM * (goal.high - goal.low)
    share = (p.past.cold + 0.5 * aim * WINDOW) / (p.past.requests + 0.5 * WINDOW)
    off = is_off(share, goal)
    if off:
        p.trim = min(MOST, max(1 / MOST, p.trim * exp(PULL * since / WINDOW * off)))
    else:
        p.trim **= max(0.0, 1.0 - RETURN * since / WINDOW)
    p.most = dearest(fleet)
    p.usd = min(p.most, lowest(p.past, aim) * p.trim)


def _due(fleet: Fleet) -> int:
    return EVERY if fleet.providers else min(EVERY, max(SOON, int(PART * fleet.prices.past.requests)))


def usd(fleet: Fleet) -> float:
    """What a cold request counts for now, in USD, where neither its start nor its deployment has it count for more."""
    said, p = fleet.goal.cold_usd, fleet.prices
    return p.usd * windows.stretch(p.windows) if said is None else said


def is_off(share: float, goal: Goal) -> float:
    """How far the cold rate is outside the band, as a share of the edge that it has crossed: -1 to 1, 0 inside. Of a
    goal of no cold request any is as far as can be."""
    if share > goal.high:
        return min(1.0, share / goal.high - 1.0) if goal.high else 1.0
    return share / goal.low - 1.0 if share < goal.low else 0.0


def dearest(fleet: Fleet) -> float:
    """USD at which sparing the share of requests that may be cold pays for one replica of each deployment that is up
    all the time. What is still cold then comes with bursts that nobody foresees, and a higher price would keep
    replicas for days for the sake of each. A goal of no cold request asks for just that, and has no limit."""
    p = fleet.prices
    if not (p.up and p.past.seconds and fleet.goal.high):
        return inf
    return p.up * p.past.seconds / p.past.steady / fleet.goal.high


def always_up(fleet: Fleet, d: DeploymentState) -> float:
    """USD a second of one replica: rented, where its base may be."""
    usd = fleet.goal.on_demand if d.spec.base is not None else fleet.goal.dedicated
    return usd * (d.spec.need.gpus or 1)


def declared(fleet: Fleet) -> None:
    """After every declaration."""
    asked = (
        d for d in fleet.deployments.values() if d.demand is not None and d.demand.levels and not d.removed
    )
    fleet.prices.up = sum(always_up(fleet, d) for d in asked)


def _pass(h: Hindsight, requests: int, now: float) -> None:
    keep = max(0.0, 1.0 - requests / MEMORY)
    h.requests = h.requests * keep + requests
    steady = min(requests, 2 * EVERY)
    keep = 1.0 - steady / MEMORY
    h.steady = h.steady * keep + steady
    h.seconds = h.seconds * keep + (now - h.as_of)
    h.as_of = now
    h.spells = [keep * n for n in h.spells]
    h.cold *= keep


def because(fleet: Fleet) -> str:
    """Why a cold request counts for what it does."""
    p, goal = fleet.prices, fleet.goal
    if goal.cold_usd is not None:
        return "it is objective.cold_request_cost_usd"
    h = p.past
    if h.requests < SOON:
        return "a first guess, for too few requests have come to learn from"
    band = f"{100 * goal.low:.3g} to {100 * goal.high:.3g} %"
    text = f"{100 * h.cold / h.requests:.3g} % of the last {h.requests:.0f} requests were cold, the band is {band}"
    if p.usd <= 0.0:
        text += ": no price is needed for that"
    elif p.usd >= p.most:
        text += ": the price is limited to what would pay for one replica of each model that is always up"
    else:
        text += (
            f": the lowest price that would have kept them inside it, times {p.trim:.3g} for being off so far"
        )
    return text + windows.because(p.windows)


def lowest(h: Hindsight, share: float) -> float:
    """The lowest price, in USD, at which at most this share of the requests would have been cold."""
    left = share * max(h.requests, WINDOW)
    left -= min(h.spells[-1], 0.5 * left)  # what no price spares is made up for elsewhere, up to a point
    for i in range(PRICE_BINS - 2, -1, -1):
        left -= h.spells[i]
        if left < 0.0:
            return LOWEST * 2 ** (i / PER_OCTAVE)
    return 0.0
