"""How long the gaps between two needs of a replica are, and what each keep-alive would cost and save over them."""

from bisect import bisect_right
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
    fade(gaps)


def fade(gaps: Gaps) -> None:
    """With too many, all count for half."""
    if gaps.total > 2 * MEMORY:
        gaps.counts = [0.5 * n for n in gaps.counts]
        gaps.seconds = [0.5 * s for s in gaps.seconds]
        gaps.total *= 0.5


def bin_of(seconds: float) -> int:
    if seconds <= SHORTEST:
        return 0
    i = int(PER_OCTAVE * log2(seconds / SHORTEST)) + 1
    return i if i < BINS else BINS - 1


def frontier(gaps: Gaps, prior: Gaps) -> Frontier:
    """The lower convex hull of (share missed, idle seconds) over all keep-alives that end at a bin's edge."""
    scale = PRIOR / prior.total
    left = everything = gaps.total + PRIOR
    kept = 0.0
    hull = [(0.0, 0.0, 1.0, 0.0)]  # keep-alive, idle seconds, share missed, worth
    _, idle, missed, worth = hull[0]
    for n, n_prior, seconds, seconds_prior, edge in zip(
        gaps.counts, prior.counts, gaps.seconds, prior.seconds, EDGES, strict=True
    ):
        n += scale * n_prior  # noqa: PLW2901
        if n < 1e-9:
            continue
        left -= n
        kept += seconds + scale * seconds_prior
        cost = (kept + edge * left) / everything
        share = left / everything
        while (price := (cost - idle) / (missed - share)) <= worth:
            if len(hull) == 1:  # it costs no more than not keeping at all
                price = 0.0
                break
            hull.pop()
            _, idle, missed, worth = hull[-1]
        idle, missed, worth = cost, share if share > 0.0 else 0.0, price
        hull.append((edge, idle, missed, worth))
    stays, idles, misses, worths = zip(*hull, strict=True)
    return Frontier(stays, worths[1:], idles, misses)


def best(f: Frontier, worth: float) -> int:
    """Index of the keep-alive to choose when a spell met cold costs as much as `worth` idle seconds."""
    return bisect_right(f.worth, worth)


def cost(f: Frontier, worth: float) -> float:
    """Idle seconds a gap, with those that a spell met cold is worth, at the best keep-alive."""
    i = best(f, worth)
    return f.idle[i] + f.missed[i] * worth


def no_longer(f: Frontier, stay: float) -> int:
    """Index of the longest keep-alive that is no longer than this."""
    return bisect_right(f.stays, stay) - 1


def price_of(f: Frontier, gap: float) -> float:
    """The least `worth` at which a replica is kept over such a gap; infinite when none is."""
    i = bisect_right(f.stays, gap)
    if i >= len(f.stays):
        return float("inf")
    return f.worth[i - 1] if i else 0.0
