"""How long the gaps between two needs of a replica are, and what each keep-alive would cost and save over them."""

from bisect import bisect_right
from itertools import pairwise
from math import log2

from pilotlight.fleet.demand import BINS, EDGES, PER_OCTAVE, SHORTEST, Frontier, Gaps

MEMORY = 500.0
"""Gaps after which the older ones count for half [G]: enough to tell 2 % of them apart, few enough to follow a model
whose use changes over a day or two."""

PRIOR = 5.0
"""Gaps that what other deployments began with counts for [G]."""


def learn(gaps: Gaps, seconds: float) -> None:
    i = bin_of(seconds)
    gaps.counts[i] += 1.0
    gaps.seconds[i] += seconds
    gaps.total += 1.0
    if gaps.total > 2 * MEMORY:
        gaps.counts = [0.5 * n for n in gaps.counts]
        gaps.seconds = [0.5 * s for s in gaps.seconds]
        gaps.total *= 0.5


def bin_of(seconds: float) -> int:
    if seconds <= SHORTEST:
        return 0
    return min(BINS - 1, int(PER_OCTAVE * log2(seconds / SHORTEST)) + 1)


def frontier(gaps: Gaps, prior: Gaps) -> Frontier:
    """The lower convex hull of (share missed, idle seconds) over all keep-alives that end at a bin's edge."""
    scale = PRIOR / prior.total
    left = everything = gaps.total + PRIOR
    kept = 0.0
    hull = [(0.0, 0.0, 1.0)]
    for i in range(BINS - 1):
        n = gaps.counts[i] + scale * prior.counts[i]
        if n <= 0.0:
            continue
        left -= n
        kept += gaps.seconds[i] + scale * prior.seconds[i]
        point = (EDGES[i], (kept + EDGES[i] * left) / everything, max(0.0, left) / everything)
        while len(hull) > 1 and _worth(hull[-1], point) <= _worth(hull[-2], hull[-1]):
            hull.pop()
        if _worth(hull[-1], point) <= 0.0:
            hull[-1] = point
        else:
            hull.append(point)
    return Frontier(
        tuple(p[0] for p in hull),
        tuple(_worth(a, b) for a, b in pairwise(hull)),
        tuple(p[1] for p in hull),
        tuple(p[2] for p in hull),
    )


def _worth(a: tuple[float, float, float], b: tuple[float, float, float]) -> float:
    """Idle seconds that a cold spell must be worth for `b` to be better than `a`."""
    spared = a[2] - b[2]
    return (b[1] - a[1]) / spared if spared > 1e-12 else float("inf")


def best(f: Frontier, worth: float) -> int:
    """Index of the keep-alive to choose when a spell met cold costs as much as `worth` idle seconds."""
    return bisect_right(f.worth, worth)


def price_of(f: Frontier, gap: float) -> float:
    """The least `worth` at which a replica is kept over such a gap; infinite when none is."""
    i = bisect_right(f.stays, gap)
    if i >= len(f.stays):
        return float("inf")
    return f.worth[i - 1] if i else 0.0
