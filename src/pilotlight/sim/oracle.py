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

from pilotlight.sim.trace import Floats, Trace

WARM_UP = 0.1
"""Share of a trace's span that is not evaluated."""

_Int64s = npt.NDArray[np.int64]


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


class _Busy(msgspec.Struct, frozen=True):
    """Busy periods in order of model, level and time; four columns of one length."""

    model: _Int64s
    level: _Int64s
    """From 0."""
    start: Floats
    end: Floats


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
    nothing = Oracle(0.0, 0.0, dict.fromkeys(trace.models, 0.0), ())
    if not len(trace):
        return nothing
    since, until = evaluated(trace, warm_up)
    busy = _busy(trace, _each(trace, slots), first_token, per_token)
    if until <= since or not len(busy.start):
        return nothing
    first, hours = _on_demand(busy, since, until, _each(trace, start))
    span = until - since
    each = _each(trace, devices)[busy.model[first]]
    costs = np.minimum(premium * hours, span) * dedicated * each
    models, levels = busy.model[first].tolist(), busy.level[first].tolist()
    found = tuple(
        Level(trace.models[m], k + 1, h / 3600, usd, premium * h > span)
        for m, k, h, usd in zip(models, levels, hours.tolist(), costs.tolist(), strict=True)
        if h > 0
    )
    by_model = nothing.by_model
    for level in found:
        by_model[level.model] += level.cost_usd
    return Oracle(sum(by_model.values()), float((hours * each).sum()) / 3600, by_model, found)


def evaluated(trace: Trace, warm_up: float = WARM_UP) -> tuple[float, float]:
    """The span that counts, in the trace's seconds: after the warm-up, to the last arrival. The trace is not empty."""
    first, last = float(trace.t[0]), float(trace.t[-1])
    return first + warm_up * (last - first), last


def peak_levels(
    trace: Trace, *, slots: int | Sequence[int], first_token: float | Floats, per_token: float
) -> dict[str, int]:
    """Replicas that each model needs at its busiest moment of the whole trace: what always-on must be sized for."""
    busy = _busy(trace, _each(trace, slots), first_token, per_token)
    peaks = np.zeros(len(trace.models), np.int64)
    np.maximum.at(peaks, busy.model, busy.level + 1)
    return dict(zip(trace.models, peaks.tolist(), strict=True))


def _each(trace: Trace, given: float | Sequence[float]) -> npt.NDArray[Any]:
    """Of each of the trace's models."""
    return np.broadcast_to(np.asarray(given), len(trace.models))


def _busy(trace: Trace, slots: npt.NDArray[Any], first_token: float | Floats, per_token: float) -> _Busy:
    """All busy periods of all levels, by one sweep over arrivals and ends.

    n changes by one at a time, so a change concerns one level: it begins or ends a busy period of level k where the
    larger of n before and after is slots * (k - 1) + 1. Per level they take turns, so a stable sort pairs them.
    """
    end = trace.t + first_token + per_token * trace.output_tokens
    some = end > trace.t  # what takes no time needs no slot
    t = np.concatenate([trace.t[some], end[some]])
    del end
    n = len(t) // 2
    step = np.repeat(np.array([1, -1], np.int8), n)
    model = np.tile(trace.model[some], 2)
    order = np.lexsort((step, t, model))  # at one moment ends come before arrivals: a slot is free at once
    t, step, model = t[order], step[order], model[order]
    del order
    larger = np.cumsum(step, dtype=np.int32)  # in flight, of each model: those before it have all ended
    larger -= step > 0  # from 0, and before the change where that was more
    full = slots.astype(np.int32)
    turns = np.flatnonzero(larger % full[model] == 0)
    model, level = model[turns].astype(np.int64), (larger[turns] // full[model[turns]]).astype(np.int64)
    t = t[turns]
    order = np.lexsort((level, model))
    begin, over = order[0::2], order[1::2]
    return _Busy(model[begin], level[begin], t[begin], t[over])


def _on_demand(busy: _Busy, since: float, until: float, start: npt.NDArray[Any]) -> tuple[_Int64s, Floats]:
    """For each level: the index of its first busy period, and H in seconds."""
    seconds = np.clip(busy.end, since, until) - np.clip(busy.start, since, until)
    is_first = np.ones(len(seconds), np.bool_)
    is_first[1:] = (np.diff(busy.model) != 0) | (np.diff(busy.level) != 0)
    gap = np.zeros(len(seconds))
    gap[1:] = busy.start[1:] - np.maximum(busy.end[:-1], since)
    seconds += np.where(is_first, 0.0, np.clip(gap, 0.0, start[busy.model]))
    first = np.flatnonzero(is_first)
    return first, np.add.reduceat(seconds, first)
