"""Synthetic traffic: Poisson, bursty and daily arrivals by a seed, as text or from code.

Every model has arrivals of its own, independent of the others, so that bursts are a model's and not everybody's. The
same text gives the same trace, to the bit, with the same numpy.
"""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from pilotlight.errors import TraceError
from pilotlight.sim.columns import Array, Column, column, pieces
from pilotlight.sim.sorting import by_time, first_late
from pilotlight.sim.trace import Floats, Trace

MOST_REQUESTS = 20_000_000
"""Expected; half a gigabyte of trace [G]."""
DAY = 86400.0
WEEK = 7 * DAY
BUSIEST = 14 * 3600.0
"""Seconds of the day at which daily traffic is at its peak [G]."""
MONDAY = 4 * DAY
"""Unix seconds of the first Monday there was: where daily traffic begins, so that schedules mean the same days."""
WEEKEND = 0.6
"""Share of a weekday's traffic that Saturday and Sunday have [G]."""
SPREAD = 1.0
"""Standard deviation of the logarithm of tokens. LLM traces have 0.7 to 1.5 [G]."""
LARGEST = 131_072
"""Tokens of a prompt or an answer at most."""
RUN_IN = 10.0
"""Correlation times (cv² gaps) before the start, so that a bursty trace does not always begin with a burst."""
DRAWN = 1024
"""Gaps drawn at a time, at least."""

Arrivals = Callable[[np.random.Generator, float, float], Floats]
"""Times in order, from the dice, a rate per second and a number of seconds."""


class Mix(msgspec.Struct, frozen=True):
    """Who asks for how much."""

    models: int = 1
    zipf: float = 1.0
    """Model i gets a share of the traffic in proportion to 1 / i ** zipf; 0 gives all the same."""
    prompt: float = 400.0
    """Median of the prompt's tokens [G]; they are lognormal."""
    output: float = 120.0
    """Median of the answer's tokens [G]."""

    @property
    def shares(self) -> Floats:
        weights = np.arange(1, self.models + 1, dtype=np.float64) ** -self.zipf
        return weights / weights.sum()


def poisson(
    rate: float, seconds: float, *, mix: Mix | None = None, seed: int = 0, name: str = "poisson"
) -> Trace:
    """Arrivals that know nothing of each other; `rate` per second of all models together."""
    return _trace(name, _poisson, rate, seconds, mix or Mix(), seed)


def bursty(
    rate: float,
    seconds: float,
    *,
    cv: float = 4.0,
    mix: Mix | None = None,
    seed: int = 0,
    name: str = "bursty",
) -> Trace:
    """Gaps from a Gamma distribution whose standard deviation is `cv` times their mean: 1 is Poisson, below it the
    arrivals are more even, above it they come in bursts. (ServeGen and BurstGPT fit Gamma to real gaps.)"""

    def arrivals(dice: np.random.Generator, rate: float, seconds: float) -> Floats:
        return _renewal(dice, rate, seconds, cv)

    return _trace(name, arrivals, rate, seconds, mix or Mix(), seed)


def daily(
    rate: float,
    seconds: float,
    *,
    peak: float = 1.8,
    mix: Mix | None = None,
    seed: int = 0,
    name: str = "daily",
) -> Trace:
    """Poisson whose rate is a sine over the day, from a Monday at 0:00; weekends have WEEKEND of it.

    `rate` is a weekday's mean, `peak` the busiest moment over that mean, 1 (even) to 2 (nothing at night).
    """

    def arrivals(dice: np.random.Generator, rate: float, seconds: float) -> Floats:
        t = _poisson(dice, rate * peak, seconds)
        some = (t[rows] for rows in pieces(len(t), t))
        return column(np.float64, (x[dice.random(len(x)) * peak < _of_day(x, peak)] for x in some))

    return _trace(name, arrivals, rate, seconds, mix or Mix(), seed, epoch=MONDAY)


def _trace(
    name: str,
    arrivals: Arrivals,
    rate: float,
    seconds: float,
    mix: Mix,
    seed: int,
    epoch: float | None = None,
) -> Trace:
    """Raises TraceError when the traffic is so thin that nobody asks, or is more than MOST_REQUESTS."""
    if rate * seconds > MOST_REQUESTS:
        raise TraceError(f"{name}: {rate * seconds:,.0f} requests; at most {MOST_REQUESTS:,} can be made up")
    # A stream of dice for each model: one more model changes nothing about the others' gaps but their rate.
    dice = [
        np.random.Generator(np.random.PCG64(s)) for s in np.random.SeedSequence(seed).spawn(mix.models + 1)
    ]
    times, models = Column(np.float64), Column(np.int32)
    for i, share in enumerate(mix.shares.tolist()):
        one = arrivals(dice[i], rate * share, seconds)
        for rows in pieces(len(one), one):
            times.add(one[rows])
            models.add(np.full(len(one[rows]), i, np.int32))
    t, model = _in_order([times.array(), models.array()])
    if not len(t):
        raise TraceError(f"{name}: nobody asks in so short a time at so low a rate; raise one of them")
    prompt, output = (_tokens(dice[-1], median, len(t)) for median in (mix.prompt, mix.output))
    names = [f"model-{i + 1}" for i in range(mix.models)]
    return Trace(name, names, t, model, prompt, output, epoch=epoch)


def _in_order(columns: list[Array]) -> list[Array]:
    return columns if first_late(columns[0]) is None else by_time(columns)


def _poisson(dice: np.random.Generator, rate: float, seconds: float) -> Floats:
    n = dice.poisson(rate * seconds)
    t = column(np.float64, (dice.random(rows.stop - rows.start) * seconds for rows in pieces(n)))
    return _in_order([t])[0]


def _renewal(dice: np.random.Generator, rate: float, seconds: float, cv: float) -> Floats:
    shape = 1 / cv**2
    begin = -RUN_IN * max(1.0, cv**2) / rate
    found, gap = Column(np.float64), 1 / (rate * shape)
    while (last := begin) < seconds:
        passed = 0.0
        for rows in pieces(DRAWN + int((seconds - begin) * rate)):
            gaps = dice.gamma(shape, gap, rows.stop - rows.start)
            gaps[0] += passed
            since = np.cumsum(gaps)
            passed = float(since[-1])
            t = last + since
            found.add(t[(t >= 0) & (t < seconds)])
            begin = float(t[-1])
    return found.array()


def _of_day(t: Floats, peak: float) -> Floats:
    """The rate at each moment over a weekday's mean."""
    sine = 1 + (peak - 1) * np.cos((t - BUSIEST) * (2 * np.pi / DAY))
    return np.where(t % WEEK >= 5 * DAY, WEEKEND * sine, sine)


def _tokens(dice: np.random.Generator, median: float, n: int) -> Any:
    logs = (dice.normal(np.log(median), SPREAD, rows.stop - rows.start) for rows in pieces(n))
    return column(np.int32, (np.clip(np.exp(x), 1, LARGEST).astype(np.int32) for x in logs))
