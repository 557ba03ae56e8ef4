"""When each replica of a trace would be busy, were there always enough of them: what the oracle reckons with."""

from collections.abc import Iterator

import msgspec
import numpy as np
import numpy.typing as npt

from pilotlight.sim.trace import Floats, Trace

Int64s = npt.NDArray[np.int64]


class Busy(msgspec.Struct, frozen=True):
    """Busy periods in order of model, level and time; four columns of one length."""

    model: Int64s
    level: Int64s
    """From 0."""
    start: Floats
    end: Floats


class _Turns(msgspec.Struct, frozen=True):
    """Moments at which a busy period of a level begins or ends, in turns; in order of model, level and time."""

    model: Int64s
    level: Int64s
    t: Floats

    def at(self, which: npt.NDArray[np.intp]) -> "_Turns":
        return _Turns(self.model[which], self.level[which], self.t[which])


def busy(trace: Trace, slots: Int64s, first_token: float | Floats, per_token: float) -> Iterator[Busy]:
    """All periods of all levels, some at a time, by one sweep over arrivals and ends. `slots`: of each model;
    `first_token`: seconds, of all requests or of each.

    Where there are several, each begins with the last period of every level of the ones before, as one that has no
    length: what comes next of that level is to know how long the gap was.
    """
    sweep = _Sweep(len(trace.models), slots)
    first = np.broadcast_to(first_token, len(trace))
    for rows in trace.pieces(first):
        t = trace.t[rows]
        until = float(trace.t[rows.stop]) if rows.stop < len(trace) else np.inf
        yield sweep.take(t, t + first[rows] + per_token * trace.output_tokens[rows], trace.model[rows], until)


class _Sweep:
    """n changes by one at a time, so a change concerns one level: it begins or ends a busy period of level k where the
    larger of n before and after is slots * (k - 1) + 1. Per level they take turns, so a stable sort pairs them."""

    def __init__(self, models: int, slots: Int64s) -> None:
        self._slots = slots.astype(np.int32)
        self._flying = np.zeros(models, np.int32)
        """In flight, of each model."""
        self._ends: Floats = np.zeros(0)
        """Of those that are."""
        self._whose = np.zeros(0, np.int32)
        nothing = np.zeros(0, np.int64)
        self._kept = _Turns(nothing, nothing, np.zeros(0))
        """Of each level its last period as one without a length, and the beginning of the one that it is in."""

    def take(self, t: Floats, end: Floats, model: npt.NDArray[np.int32], until: float) -> Busy:
        """What ends until `until`; the rest is kept for the next time. `t`, `end`, `model`: of requests that arrive."""
        some = end > t  # what takes no time needs no slot
        n = int(np.count_nonzero(some))
        ends, whose = np.concatenate([self._ends, end[some]]), np.concatenate([self._whose, model[some]])
        over = ends <= until
        self._ends, self._whose = ends[~over], whose[~over]
        turns = self._turns(
            np.concatenate([t[some], ends[over]]),
            np.concatenate([model[some], whose[over]]),
            np.repeat(np.array([1, -1], np.int8), [n, int(np.count_nonzero(over))]),
        )
        return self._periods(turns)

    def _turns(self, t: Floats, model: npt.NDArray[np.int32], step: npt.NDArray[np.int8]) -> _Turns:
        # At one moment ends come before arrivals: a slot is free at once.
        order = np.lexsort((step, t, model))
        t, step, model = t[order], step[order], model[order]
        changes = np.bincount(model, minlength=len(self._flying))
        flying = np.cumsum(step, dtype=np.int32)
        before = np.append(0, flying)[np.append(0, np.cumsum(changes))].astype(np.int32)
        flying += np.repeat(self._flying - before[:-1], changes)  # those of each model alone
        self._flying += np.diff(before)
        flying -= step > 0  # from 0, and before the change where that was more
        full = self._slots[model]
        turns = np.flatnonzero(flying % full == 0)
        found = _Turns(
            np.append(self._kept.model, model[turns].astype(np.int64)),
            np.append(self._kept.level, (flying[turns] // full[turns]).astype(np.int64)),
            np.append(self._kept.t, t[turns]),
        )
        return found.at(np.lexsort((found.level, found.model)))

    def _periods(self, turns: _Turns) -> Busy:
        n = len(turns.t)
        is_first = np.ones(n + 1, np.bool_)  # of its level
        is_first[1:-1] = (np.diff(turns.model) != 0) | (np.diff(turns.level) != 0)
        starts = np.flatnonzero(is_first)
        i = np.arange(n) - np.repeat(starts[:-1], np.diff(starts))
        is_begin, is_last = i % 2 == 0, is_first[1:]
        is_over = is_last | np.append(is_last[1:] & is_begin[1:], False)  # nothing of its level ends after it
        again = np.where(is_begin, is_last, 2 * is_over)
        self._kept = turns.at(np.repeat(np.arange(n), again))
        begins = np.flatnonzero(is_begin & ~is_last)
        return Busy(turns.model[begins], turns.level[begins], turns.t[begins], turns.t[begins + 1])
