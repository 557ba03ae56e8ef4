"""Classes and stand-ins in a replay: what became of each class, and which requests another model answered."""

from collections.abc import Collection, Sequence

import numpy as np

from pilotlight.fleet.actions import Moved, Rented
from pilotlight.fleet.classes import BATCH, RANKS
from pilotlight.sim.columns import Column
from pilotlight.sim.outcomes import Outcomes
from pilotlight.sim.percentiles import percentiles
from pilotlight.sim.placed import Placed
from pilotlight.sim.result import OfClass
from pilotlight.sim.trace import Bools, Floats, Trace

SLACK = 1e-6
"""Seconds: a wait is the difference of two moments, and may miss the deadline that it lasted to by a rounding."""


class ByClass:
    """What became of the counted requests of each class; nothing where all of the trace are standard."""

    def __init__(self, trace: Trace, refused: Collection[str], cold_after: float, deadlines: Floats) -> None:
        """`refused`: requests, by their number as text; `deadlines`: seconds that a batch request to each of the
        trace's models waits for idle capacity."""
        self._trace, self._deadlines = trace, deadlines
        self._refused = np.array([int(request) for request in refused], np.int64)
        self._of = {rank: _OfRank(rank, cold_after) for rank in RANKS.values()}

    def add(self, some: Outcomes) -> None:
        rows = some.rows
        ranks = self._trace.ranks_in(rows)
        if ranks is None:
            return
        refused = np.isin(np.arange(rows.start, rows.stop), self._refused)
        late = ~refused & (some.waited >= self._deadlines[self._trace.model[rows]] - SLACK)
        for rank, of in self._of.items():
            of.add(some, some.counted & (ranks == rank), refused, late)

    def found(self) -> dict[str, OfClass]:
        """Of each class that a counted request has."""
        each = {name: self._of[rank].found() for name, rank in RANKS.items()}
        return {name: of for name, of in each.items() if of is not None}


class _OfRank:
    def __init__(self, rank: int, cold_after: float) -> None:
        self._is_batch, self._cold_after = rank == BATCH, cold_after
        self._ttft = Column(np.float64)
        self._cold = self._unserved = self._refused = self._late = 0

    def add(self, some: Outcomes, which: Bools, refused: Bools, late: Bools) -> None:
        ttft = some.ttft[which]
        self._ttft.add(ttft)
        self._cold += int(np.count_nonzero(ttft > self._cold_after))
        self._unserved += int(np.count_nonzero(some.unserved & which))
        self._refused += int(np.count_nonzero(refused & which))
        self._late += int(np.count_nonzero(late & which))

    def found(self) -> OfClass | None:
        ttft = self._ttft.array()
        if not len(ttft):
            return None
        p50, p95 = percentiles(ttft, (50, 95))
        return OfClass(
            requests=len(ttft),
            cold_rate=None if self._is_batch else self._cold / len(ttft),
            ttft_p50=p50,
            ttft_p95=p95,
            unserved=self._unserved,
            refused=self._refused,
            past_deadline=self._late if self._is_batch else None,
        )


def stood_in(
    trace: Trace, names: Sequence[str], placed: Placed | None, log: Sequence[Moved | Rented], since: float
) -> int | None:
    """How many requests that came from `since` on a replica of another deployment had. `names`: the deployment of each
    of the trace's models. None where the trace allows none."""
    if trace.stand_in is None or placed is None:
        return None
    of = {action.replica: action.deployment for action in log if isinstance(action, Moved)}
    codes = {name: i for i, name in enumerate(dict.fromkeys((*names, *of.values())))}
    own = np.array([codes[name] for name in names], np.int32)
    of_replica = np.array([-1, *(codes[of[replica]] for replica in placed.names[1:])], np.int32)
    found = 0
    for rows in trace.pieces(placed.replica):
        had = of_replica[placed.replica[rows]]
        others = (had >= 0) & (had != own[trace.model[rows]]) & (trace.t[rows] >= since)
        found += int(np.count_nonzero(others))
    return found
