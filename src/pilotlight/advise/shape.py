"""What a traffic is like: how much, how even, how much of a replica's time it takes, and when in the day."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from pilotlight.sim.trace import Floats, Trace

DAY, HOUR, MINUTE = 86400.0, 3600.0, 60.0
STEADY = 0.4
"""Deviation of the counts of an hour over their mean, beyond what chance makes of an even rate, below which traffic is
steady [G]; a day whose rate swings between half and one and a half of the mean has 0.35."""
SPIKY = 10.0
"""Busiest minute over the mean one from which traffic has spikes [G]."""
SPARSE = 1 / 600.0
"""Requests a second of a model, below which most find whatever was started for the last one idle for long [G]."""


class Shape(msgspec.Struct, frozen=True):
    requests: int
    models: int
    span_s: float
    per_hour: float
    """Of all models together."""
    peak_per_minute: int
    peak_over_mean: float
    """Requests of the busiest minute over those of an average one."""
    hourly_cv: float
    """Deviation of the counts of whole hours over their mean; 0 where there are fewer than two."""
    busy: float
    """Replicas' worth of work at any time: slots in use on average over the slots of a replica."""
    running: float
    """Requests in flight on average."""
    in_sessions: float
    """As `continued` has it."""
    by_hour: tuple[float, ...]
    """Requests per hour, on average, in each of the 24 hours of the day."""

    @property
    def word(self) -> str:
        if self.per_hour / HOUR / max(1, self.models) < SPARSE:
            return "sparse"
        if self.peak_over_mean >= SPIKY:
            return "spiky"
        chance = 1 / max(1.0, self.per_hour)  # of Poisson, squared
        return "steady" if self.hourly_cv**2 - chance < STEADY**2 else "uneven"


def shape(trace: Trace, seconds: Floats, slots: int | Sequence[int]) -> Shape:
    """`seconds`: how long each request runs; `slots`: of a replica of each of the trace's models. Not of an empty
    trace, nor of one without a span."""
    t = trace.t - trace.t[0]
    minutes = np.bincount((t / MINUTE).astype(np.int64))
    hours = np.bincount((t / HOUR).astype(np.int64))[: int(trace.span // HOUR)]
    each = np.broadcast_to(np.asarray(slots), len(trace.models))[trace.model]
    mean = len(trace) / max(1.0, trace.span / MINUTE)
    return Shape(
        requests=len(trace),
        models=len(np.unique(trace.model)),
        span_s=trace.span,
        per_hour=len(trace) / trace.span * HOUR,
        peak_per_minute=int(minutes.max()),
        peak_over_mean=float(minutes.max() / mean),
        hourly_cv=float(hours.std() / hours.mean()) if len(hours) > 1 else 0.0,
        busy=float((seconds / each).sum() / trace.span),
        running=float(seconds.sum() / trace.span),
        in_sessions=continued(trace),
        by_hour=_of_the_day(trace),
    )


def continued(trace: Trace) -> float:
    """Share of requests that go on with a session that the trace names."""
    if trace.session is None or not len(trace):
        return 0.0
    named = trace.session[trace.session >= 0]
    return float((len(named) - len(np.unique(named))) / len(trace))


def _of_the_day(trace: Trace) -> tuple[float, ...]:
    """By the trace's dates in UTC; one without dates begins at midnight."""
    t: Any = trace.t + (trace.epoch or 0.0)
    counts = np.bincount(((t % DAY) / HOUR).astype(np.int64) % 24, minlength=24)
    edges: Any = np.arange(25) * HOUR
    first, last = float(t[0]), float(t[-1])
    spent = _passed(last, edges) - _passed(first, edges)
    return tuple((counts / np.maximum(spent / HOUR, 1e-9) * (spent > MINUTE)).tolist())


def _passed(moment: float, edges: Floats) -> Floats:
    """Seconds that lie in each hour of the day before a moment."""
    days, rest = divmod(moment, DAY)
    return days * HOUR + np.clip(rest - edges[:-1], 0.0, HOUR)
