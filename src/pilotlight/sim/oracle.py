"""What a trace would cost whoever knew it beforehand: the yardstick that costs are given in multiples of.

The oracle sees all arrivals in advance, has no cold starts and packs requests into slots without a gap. Its price:

1. A request of a model is in flight from its arrival t for `first_token + per_token * output_tokens` seconds,
   `per_prompt_token` within the first token, and others do not slow it down. n(t) of a model's requests are in
   flight at t.
2. Level k = 1, 2, ... of a model is busy while n(t) > slots * (k - 1): it is the k-th replica, which is needed
   only while the ones below it are full.
3. H of a level, what an on-demand replica is billed, is the seconds it is busy, and min(gap, start) for each gap
   between two busy periods: it is kept over the gap, or it goes and is started anew, whichever is shorter.
   The first start is free, and nothing is billed after the last request.
4. A level costs the cheaper of premium * H (on demand) and the whole evaluated span (always on), at the dedicated
   price of its devices.
5. The first tenth of the trace's span is warm-up and costs nothing. The evaluated span is from there to the last
   arrival; busy periods and gaps count by what of them lies in it.

`gpu_hours` is the sum of H of all levels, times their devices, in hours, whatever they are billed at.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from pilotlight.sim.busy import Busy, Int64s, busy
from pilotlight.sim.trace import Floats, Trace

WARM_UP = 0.1
"""Share of a trace's span that is not evaluated."""


class Level(msgspec.Struct, frozen=True):
    """The k-th replica of a model."""

    model: str
    level: int
    """From 1."""
    gpu_hours: float
    """H."""
    cost_usd: float
    always_on: bool
    """Whether that is the cheaper way to have it."""


class Oracle(msgspec.Struct, frozen=True):
    cost_usd: float
    gpu_hours: float
    by_model: dict[str, float]
    """USD. Every model of the trace is there."""
    levels: tuple[Level, ...]
    """Those that are needed in the evaluated span, in the trace's order of models, lowest first."""
    peaks: dict[str, int]
    """As `peak_levels` has them."""


def oracle(
    trace: Trace,
    *,
    start: float | Sequence[float],
    slots: int | Sequence[int],
    first_token: float | Floats,
    per_token: float,
    dedicated: float,
    premium: float,
    warm_up: float = WARM_UP,
    devices: int | Sequence[int] = 1,
) -> Oracle:
    """The cost as the module's text defines it. `start`, `first_token` and `per_token` are seconds, `dedicated` USD per
    second of one GPU, `premium` the factor that on demand costs more, `slots` the requests a replica takes at once.
    `start`, `slots` and `devices` may be given for each of the trace's models, `first_token` for each request."""
    since, until = evaluated(trace, warm_up) if len(trace) else (0.0, 0.0)
    span, hours, peaks, starts = until - since, _Hours(), _Peaks(trace), _each(trace, start)
    for some in busy(trace, _each(trace, slots), first_token, per_token):
        peaks.add(some)
        if span > 0:
            hours.add(some, since, until, starts)
    each = _each(trace, devices)[hours.model]
    costs = np.minimum(premium * hours.seconds, span) * dedicated * each
    columns = (hours.model, hours.level, hours.seconds, costs)
    found = tuple(
        Level(trace.models[m], k + 1, h / 3600, usd, premium * h > span)
        for m, k, h, usd in zip(*(column.tolist() for column in columns), strict=True)
        if h > 0
    )
    by_model = dict.fromkeys(trace.models, 0.0)
    for level in found:
        by_model[level.model] += level.cost_usd
    gpu_hours = float((hours.seconds * each).sum()) / 3600
    return Oracle(sum(by_model.values()), gpu_hours, by_model, found, peaks.found())


def evaluated(trace: Trace, warm_up: float = WARM_UP) -> tuple[float, float]:
    """The span that counts, in the trace's seconds: after the warm-up, to the last arrival. The trace is not empty."""
    first, last = float(trace.t[0]), float(trace.t[-1])
    return first + warm_up * (last - first), last


def peak_levels(
    trace: Trace, *, slots: int | Sequence[int], first_token: float | Floats, per_token: float
) -> dict[str, int]:
    """Replicas that each model needs at its busiest moment of the whole trace: what always-on must be sized for."""
    peaks = _Peaks(trace)
    for some in busy(trace, _each(trace, slots), first_token, per_token):
        peaks.add(some)
    return peaks.found()


def _each(trace: Trace, given: float | Sequence[float]) -> npt.NDArray[Any]:
    """Of each of the trace's models."""
    return np.broadcast_to(np.asarray(given), len(trace.models))


class _Peaks:
    """The highest level of each model."""

    def __init__(self, trace: Trace) -> None:
        self._models = trace.models
        self._levels = np.zeros(len(trace.models), np.int64)

    def add(self, some: Busy) -> None:
        np.maximum.at(self._levels, some.model, some.level + 1)

    def found(self) -> dict[str, int]:
        return dict(zip(self._models, self._levels.tolist(), strict=True))


class _Hours:
    """H of each level, summed up; columns of one length, in order of model and level."""

    def __init__(self) -> None:
        self.model: Int64s = np.zeros(0, np.int64)
        self.level: Int64s = np.zeros(0, np.int64)
        self.seconds: Floats = np.zeros(0)

    def add(self, some: Busy, since: float, until: float, start: npt.NDArray[Any]) -> None:
        """All levels that there were before are among these."""
        if not len(some.start):
            return
        first, seconds = _on_demand(some, since, until, start)
        model, level = some.model[first], some.level[first]
        seconds[np.searchsorted(model << 32 | level, self.model << 32 | self.level)] += self.seconds
        self.model, self.level, self.seconds = model, level, seconds


def _on_demand(busy: Busy, since: float, until: float, start: npt.NDArray[Any]) -> tuple[Int64s, Floats]:
    """For each level: the index of its first busy period, and H in seconds."""
    seconds = np.clip(busy.end, since, until) - np.clip(busy.start, since, until)
    is_first = np.ones(len(seconds), np.bool_)
    is_first[1:] = (np.diff(busy.model) != 0) | (np.diff(busy.level) != 0)
    gap = np.zeros(len(seconds))
    gap[1:] = busy.start[1:] - np.maximum(busy.end[:-1], since)
    seconds += np.where(is_first, 0.0, np.clip(gap, 0.0, start[busy.model]))
    first = np.flatnonzero(is_first)
    return first, np.add.reduceat(seconds, first)
