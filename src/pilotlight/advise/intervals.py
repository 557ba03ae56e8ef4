"""How far a figure of a short trace may be from what a longer one would say.

Cost: a circular block bootstrap (Politis and Romano 1992) over days where there are seven or more, else over hours,
else over what the trace can be cut into. Few blocks look more alike than many would, so that the interval is widened by
Student's t over the normal quantile. Of fewer than seven hours, parts of an hour that cost alike say nothing of other
hours: it is as wide as can be, but for what is rented. Cold rate: Wilson's interval, for as many independent requests
as the spread between the blocks speaks for: cold requests come in clusters.
"""

import math

import msgspec
import numpy as np

from pilotlight.sim.trace import Floats

DRAWS = 1000
SEED = 20_000_711
Z = 1.96
DAY, HOUR = 86400.0, 3600.0
ENOUGH_BLOCKS = 7
ENOUGH_DAYS = 7.0
ENOUGH_REQUESTS = 300
"""From which on 5 % of them are known to 2.5 points either way (Wilson)."""
ENOUGH_COLD = 10
"""Cold requests [G]: with fewer, one more or less is a tenth."""
_T = {
    1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57, 6: 2.45, 7: 2.36, 8: 2.31, 9: 2.26, 10: 2.23, 15: 2.13, 20: 2.09,
    30: 2.04, 60: 2.00,
}  # fmt: skip
"""Student's t for 95 % by degrees of freedom."""


class Interval(msgspec.Struct, frozen=True):
    """Of 95 %."""

    low: float
    high: float


def too_short(seconds: float) -> bool:
    """To tell from it what another time of the kind would cost."""
    return seconds < ENOUGH_BLOCKS * HOUR


def pieces_of_a_block(pieces: int, seconds: float) -> int:
    """How many of a series' equal pieces make one block; `seconds` is the length of a piece."""
    span = pieces * seconds
    for block in (DAY, HOUR):
        n = max(1, round(block / seconds)) if seconds > 0 else 1
        if span / block >= ENOUGH_BLOCKS and pieces // n >= ENOUGH_BLOCKS:
            return n
    return max(1, pieces // 12)


def total(values: Floats, block: int) -> Interval:
    """Of the sum of a series, whose neighbours are alike within a block."""
    blocks = max(1, len(values) // block)
    if blocks < 2:
        return widest(values)
    drawn = _sums(values[:, None], block)[:, 0]
    whole = float(values.sum())
    low, high = (float(x) for x in np.percentile(drawn, (2.5, 97.5)))
    wider = _t(blocks - 1) / Z * math.sqrt(blocks / (blocks - 1))
    return Interval(max(0.0, whole - (whole - low) * wider), whole + (high - whole) * wider)


def widest(values: Floats) -> Interval:
    """Of the sum of a series that tells next to nothing: nobody may come, or twice as many, or as many as ever all
    the time."""
    return Interval(0.0, max(2 * float(values.sum()), len(values) * float(values.max(initial=0.0))))


def share(some: Floats, all_of_them: Floats, block: int) -> Interval:
    """Of `some` among `all_of_them`, two series of counts."""
    n, k = float(all_of_them.sum()), float(some.sum())
    if not n:
        return Interval(0.0, 1.0)
    p = k / n
    effective = n
    if 0 < p < 1 and len(some) // block >= 2:
        sums = _sums(np.stack([some, all_of_them], axis=1), block)
        rates = sums[:, 0] / np.maximum(sums[:, 1], 1.0)
        spread = float(rates.var())
        effective = min(n, p * (1 - p) / spread) if spread > 0 else n
    return wilson(p, max(1.0, effective))


def wilson(p: float, n: float) -> Interval:
    """Wilson (1927): of a share p that was seen among n."""
    z2 = Z * Z
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return Interval(max(0.0, middle - half), min(1.0, middle + half))


def _sums(columns: Floats, block: int) -> Floats:
    """Of each column over DRAWS series that are put together of blocks, which begin anywhere and go round."""
    n = len(columns)
    count = max(1, round(n / block))
    round_ = np.concatenate([columns, columns[: block - 1]]) if block > 1 else columns
    running = np.concatenate([np.zeros((1, columns.shape[1])), np.cumsum(round_, axis=0)])
    of_block = running[block:] - running[:-block]
    dice = np.random.Generator(np.random.PCG64(SEED))
    picked = of_block[dice.integers(0, n, (DRAWS, count))].sum(axis=1)
    return picked * (n / (count * block))


def _t(freedom: int) -> float:
    return next((t for k, t in sorted(_T.items(), reverse=True) if freedom >= k), _T[1])
