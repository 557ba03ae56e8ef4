"""Columns put in order of time, also where they do not fit into memory: pieces are sorted, and then merged."""

from itertools import pairwise

import numpy as np

from pilotlight.sim import columns
from pilotlight.sim.columns import Array, Column, give_back, pieces, taken
from pilotlight.sim.trace import Floats

APART = 256
"""Rows of a sorted piece from one that is looked at, when it is decided what is merged together, to the next."""


def by_time(given: list[Array]) -> list[Array]:
    """In order of the first of them; rows of one moment keep theirs. A column without rows stays so."""
    runs = taken(given, lambda rows: np.argsort(given[0][rows], kind="stable"))
    t: Floats = runs[0]
    if len(t) <= columns.PIECE:
        return runs
    found = [Column(c.dtype) for c in runs]
    for begins, ends in pairwise(_cuts(t)):
        parts = np.concatenate([np.arange(b, e) for b, e in zip(begins, ends, strict=True)])
        order = parts[np.argsort(t[parts], kind="stable")]
        for c, to in zip(runs, found, strict=True):
            if len(c):
                to.add(c[order])
        give_back(*runs)
    return [c.array() for c in found]


def _cuts(t: Floats) -> list[list[int]]:
    """Where each sorted piece is cut, from the first moment to the last: all between two cuts is about a piece, and
    comes before all that is after them."""
    runs = [*pieces(len(t), t)]
    some = np.sort(np.concatenate([t[run][::APART] for run in runs]))
    edges = np.unique(some[:: max(1, columns.PIECE // APART)])[1:]
    inner = [run.start + np.searchsorted(t[run], edges) for run in runs]
    bounds = zip(runs, inner, strict=True)
    return np.stack([np.concatenate([[run.start], cut, [run.stop]]) for run, cut in bounds], axis=1).tolist()
