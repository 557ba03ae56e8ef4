"""Percentiles of a column that need not fit into memory: each is one of its values, none lies between two."""

from collections.abc import Sequence
from math import ceil

import numpy as np
import numpy.typing as npt

from pilotlight.sim import columns
from pilotlight.sim.columns import pieces
from pilotlight.sim.trace import Floats

DIGIT = 16
"""Bits of a number that are looked at in one pass."""
SIGN = np.uint64(1 << 63)

_Keys = npt.NDArray[np.uint64]


def percentiles(values: Floats, percents: Sequence[float]) -> list[float]:
    """As numpy's `inverted_cdf`. There is at least one value, and none is NaN."""
    n = len(values)
    if n <= columns.PIECE:
        return [float(x) for x in np.percentile(values, percents, method="inverted_cdf")]
    return [_nth(values, max(0, ceil(n * (percent / 100) - 1))) for percent in percents]


def _nth(values: Floats, n: int) -> float:
    """Where it would stand if they were in order, from 0: digit by digit, from the one that weighs most."""
    found = 0
    for shift in range(64 - DIGIT, -1, -DIGIT):
        counts = np.zeros(1 << DIGIT, np.int64)
        for rows in pieces(len(values), values):
            keys = _keys(values[rows])
            if shift < 64 - DIGIT:
                keys = keys[keys >> np.uint64(shift + DIGIT) == found]
            digits = (keys >> np.uint64(shift)).astype(np.int64) & ((1 << DIGIT) - 1)
            counts += np.bincount(digits, minlength=1 << DIGIT)
        up_to = np.cumsum(counts)
        digit = int(np.searchsorted(up_to, n, "right"))
        n -= int(up_to[digit - 1]) if digit else 0
        found = found << DIGIT | digit
    key = np.uint64(found)
    return float((key ^ SIGN if key & SIGN else ~key).view(np.float64))


def _keys(values: Floats) -> _Keys:
    """Whole numbers that are in the order of these: a float's bits are, but for the sign."""
    bits = (values + 0.0).view(np.uint64)  # there is no -0.0 any more
    return np.where(bits & SIGN, ~bits, bits ^ SIGN)
