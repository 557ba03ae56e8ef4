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
        order = np.argsort(_together(t, begins, ends), kind="stable")
        for c, to in zip(runs, found, strict=True):
            if len(c):
                to.add(_together(c, begins, ends)[order])
    return [c.array() for c in found]


def _together(c: Array, begins: list[int], ends: list[int]) -> Array:
    """What lies between. To touch one row of a file may map 2 MiB around it, so each is given back at once."""
    found: list[Array] = []
    for begin, end in zip(begins, ends, strict=True):
        found.append(c[begin:end].copy())
        give_back(c)
    return np.concatenate(found)


def first_late(t: Floats) -> int | None:
    """The first row that is before the one above it; None where all are in order."""
    for rows in pieces(len(t), t):
        begin = max(0, rows.start - 1)
        late = np.flatnonzero(np.diff(t[begin : rows.stop]) < 0)
        if len(late):
            return begin + int(late[0]) + 1
    return None


def _cuts(t: Floats) -> list[list[int]]:
    """Where each sorted piece is cut, from the first moment to the last: all between two cuts is about a piece, and
    comes before all that is after them."""
    some = np.sort(np.concatenate([t[run][::APART].copy() for run in pieces(len(t), t)]))
    edges = np.unique(some[:: max(1, columns.PIECE // APART)])[1:]
    found = [
        np.concatenate([[run.start], run.start + np.searchsorted(t[run], edges), [run.stop]])
        for run in pieces(len(t), t)
    ]
    return np.stack(found, axis=1).tolist()
