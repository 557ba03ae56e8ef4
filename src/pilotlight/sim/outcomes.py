"""What became of a replay's requests, some at a time, for a trace may be longer than there is memory for."""

from collections.abc import Iterator

import msgspec
import numpy as np

from pilotlight.sim.columns import Column
from pilotlight.sim.trace import Bools, Floats, Trace


class Outcomes(msgspec.Struct, frozen=True):
    """Of some requests, one after the other; all arrays are of their length."""

    rows: slice
    """Which they are."""
    waited: Floats
    """Seconds; of those never served until the replay ended."""
    ttft: Floats
    unserved: Bools
    counted: Bools
    """That came after the warm-up."""
    patient: Bools
    """That have asked to wait, and are never cold."""
    cold: Bools


def outcomes(
    trace: Trace, wait: Floats, first: Floats, *, since: float, end: float, limit: float
) -> Iterator[Outcomes]:
    """`wait`: seconds of each request, nan of those never served; `first`: from there to its first token. They count
    from `since` on; the replay ended at `end`; cold is what waited longer than `limit` for a first token."""
    for rows in trace.pieces(wait, first):
        t, unserved = trace.t[rows], np.isnan(wait[rows])
        waited = np.where(unserved, end - t, wait[rows])
        ttft, patient = waited + first[rows], trace.is_batch_in(rows)
        yield Outcomes(rows, waited, ttft, unserved, t >= since, patient, (ttft > limit) & ~patient)


class Tally:
    """The sums over all of them."""

    def __init__(self, trace: Trace, pieces: int) -> None:
        """`pieces`: of the plot's axis of time."""
        self.evaluated = self.unserved = 0
        self.ttft, self.model = Column(np.float64), Column(np.int32)
        """Of those that count, and are not patient."""
        self.cold = Column(np.bool_)
        """Of all: that count, and were."""
        n = pieces if trace.span > 0.0 else 0
        self.edges: Floats = np.linspace(0.0, 0.0, 1)
        if n:
            self.edges = np.linspace(float(trace.t[0]), float(trace.t[-1]), n + 1)
        self.came, self.hurried, self.came_cold = np.zeros((3, n), np.int64)
        """Of all, in each piece of the plot; hurried are those that are not patient."""
        self._trace = trace

    def add(self, some: Outcomes) -> None:
        t, hurried = self._trace.t[some.rows], some.counted & ~some.patient
        self.evaluated += int(np.count_nonzero(some.counted))
        self.unserved += int(np.count_nonzero(some.unserved))
        self.ttft.add(some.ttft[hurried])
        self.model.add(self._trace.model[some.rows][hurried])
        self.cold.add(some.cold & some.counted)
        if len(self.came):
            self.came += np.histogram(t, self.edges)[0]
            self.hurried += np.histogram(t[~some.patient], self.edges)[0]
            self.came_cold += np.histogram(t[some.cold], self.edges)[0]
