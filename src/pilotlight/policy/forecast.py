"""How many requests a model will get in the next minutes: two moving averages and a small day-and-week profile.

    rate of a bin = slow + u (fast - slow) + t (profile of the bin - what the averages hold of the profile)

All is in arrivals per bin of BIN seconds. `u` and `t` lie between 0 and 1 and are learned from how the forecasts came
out: a model without a daily rhythm keeps t at 0, and is forecast by its averages alone. The profile is additive and
shrunk towards 0: a factor per time of day goes wild where the traffic is sparse. benchmarks/forecast.py has figures.
"""

from array import array
from math import exp, floor, isfinite

import msgspec

BIN = 300.0
"""Seconds of a bin [G]: longer than a start, and short enough that a day's rush begins in the right one."""

DAY, HOUR, WEEK = 288, 12, 168
"""Bins of a day and of an hour, hours of a week."""


def _step(half_life: float) -> float:
    """Weight of a bin in a moving average with this half-life in seconds."""
    return 1.0 - 0.5 ** (BIN / half_life)


FAST = 300.0
"""Half-life in seconds of the fast average [G]: on request traces, one-step errors are least at five to ten minutes."""

SLOW = 7200.0
"""Half-life in seconds of the slow average [G]: on request traces, anything from one to six hours does as well."""

FAST_STEP, SLOW_STEP = _step(FAST), _step(SLOW)  # of a whole bin

BASE = _step(2 * 86400.0)
"""Weight of a bin in the mean from which the profile is a deviation, and in the mean squared error: half-life two
days [G], so that a day and a night are in them."""

TRUST = 1.0 - BASE
"""What a bin's outcome keeps, a bin later, in `u` and `t`."""

DOUBT = 100.0
"""Bins' worth of squared error that stand against the profile before it is trusted [G]: eight hours."""

SHRINK = 2.0
"""Days (weeks) without any deviation that a profile is taken to have seen before its first one, less one [G]."""

LEAST = 0.1
"""Least weight of the latest day (week) in the profile, and of the latest burst in its usual size [G]."""

LONGEST = 1e9
"""Seconds; a longer horizon is taken for this."""


class Trust(msgspec.Struct, eq=False):
    """The slope of a regression through 0 that forgets."""

    product: float = 0.0
    square: float = 0.0

    def learn(self, x: float, y: float) -> None:
        self.product = TRUST * self.product + x * y
        self.square = TRUST * self.square + x * x

    def share(self, prior: float, against: float) -> float:
        """0 to 1. `prior` is the square that stands for a slope of 1 beforehand, `against` that for one of 0."""
        product, square = self.product + prior, self.square + prior + against
        if product <= 0:
            return 0.0
        return 1.0 if product >= square else product / square


class Averages(msgspec.Struct, eq=False):
    """A fast and a slow moving average, in arrivals per bin."""

    fast: float = 0.0
    slow: float = 0.0

    def learn(self, value: float) -> None:
        """From a whole bin."""
        self.fast += FAST_STEP * (value - self.fast)
        self.slow += SLOW_STEP * (value - self.slow)

    def towards(self, value: float, seconds: float) -> tuple[float, float]:
        """What they are after `seconds` of that value."""
        fast, slow = 0.5 ** (seconds / FAST), 0.5 ** (seconds / SLOW)
        return value + fast * (self.fast - value), value + slow * (self.slow - value)


class Forecast(msgspec.Struct, eq=False):
    """About 500 bytes while nothing came, 4.5 KB from then on."""

    phase: float = 0.0
    """Second at which a day begins on the axis of the times given; 0 for Unix time is midnight UTC."""
    began: float | None = None
    """Second at which the bin that is being counted began; None before the first call."""
    now: float = 0.0
    """The latest moment it was told of."""
    count: float = 0.0
    """Arrivals in the bin so far."""
    bins: int = 0
    """Bins counted to their end."""
    base: float = 0.0
    """Mean arrivals per bin over days."""
    seen: Averages = msgspec.field(default_factory=Averages)
    held: Averages = msgspec.field(default_factory=Averages)
    """Of the profile, as `seen` is of the arrivals: what is in those of the time of day already."""
    follow: Trust = msgspec.field(default_factory=Trust)
    """`u`."""
    rhythm: Trust = msgspec.field(default_factory=Trust)
    """`t`."""
    error: float = 0.0
    """Mean squared error of the forecasts of a bin."""
    quiet: bool = True
    """The last bin was empty. So is what came before the first arrival."""
    burst: float = 1.0
    """Arrivals in a bin that follows an empty one, where there are any."""
    bursts: int = 0
    day: "array[float] | None" = None
    """Deviation from `base` by bin of the day; None before the first arrival."""
    week: "array[float] | None" = None
    """Deviation from that by hour of the week."""


# -- learn -----------------------------------------------------------------------------------------------------------


def saw(f: Forecast, at: float, n: float = 1.0) -> None:
    """Counts n >= 0 arrivals at second `at`. With 0, it says that time has passed and nothing came.

    A clock that goes back within a bin changes nothing; one that goes back further makes the count begin anew there.
    A moment that is none (infinite, not a number) is ignored.
    """
    if f.began is None or not f.began - BIN < at < f.began + BIN:
        if not isfinite(at):
            return
        _turn(f, at)
    if at > f.now:  # noqa: PLR1730 (a call of max costs as much as all the rest, and it is made for every request)
        f.now = at
    f.count += n


def _turn(f: Forecast, at: float) -> None:
    """Makes the bin of `at` the one that is counted."""
    number = floor((at - f.phase) / BIN)
    if f.began is not None and at > f.began:
        _close(f, number)
    f.began, f.now, f.count = f.phase + number * BIN, at, 0.0


def _close(f: Forecast, until: int) -> None:
    """Learns from the bin that is over and from the empty ones after it, up to bin `until`.

    Nothing is learned from silence before the first arrival. Of one longer than a day, the last day is gone through.
    """
    assert f.began is not None
    number = round((f.began - f.phase) / BIN)
    if f.day is None:
        if f.count <= 0:
            return
        f.day, f.week = array("d", bytes(8 * DAY)), array("d", bytes(8 * WEEK))
    _learn(f, number, f.count)
    if until - number - 1 > DAY:
        _forget(f, until - number - 1 - DAY)
        number = until - 1 - DAY
    for empty in range(number + 1, until):
        _learn(f, empty, 0.0)


def _learn(f: Forecast, number: int, count: float) -> None:
    """From a whole bin."""
    assert f.day is not None and f.week is not None
    _learn_bursts(f, count)
    i, j = number % DAY, number // HOUR % WEEK
    seen, held, u, p = f.seen, f.held, _u(f), f.day[i] + f.week[j]
    error = count - _mixed(seen.fast, seen.slow, u)
    rise = p - _mixed(held.fast, held.slow, u)
    f.bins += 1
    step = max(BASE, 1 / f.bins)
    f.error += step * ((error - _t(f) * rise) ** 2 - f.error)
    f.follow.learn(seen.fast - seen.slow, count - seen.slow)
    f.rhythm.learn(rise, error)
    seen.learn(count)
    held.learn(p)
    _learn_profile(f, i, j, count - f.base)
    f.base += step * (count - f.base)


def _learn_bursts(f: Forecast, count: float) -> None:
    if count > 0 and f.quiet:
        f.bursts += 1
        f.burst += max(LEAST, 1 / f.bursts) * (count - f.burst)
    f.quiet = count <= 0


def _learn_profile(f: Forecast, i: int, j: int, deviation: float) -> None:
    """A mean in which SHRINK - 1 days without deviation come first; an hour of the week gets HOUR bins each time.

    The first week teaches the day alone: there is nothing yet to tell a Monday from a day.
    """
    assert f.day is not None and f.week is not None
    days = f.bins // DAY
    f.day[i] += max(LEAST, 1 / (SHRINK + days)) * (deviation - f.day[i])
    if days >= 7:
        f.week[j] += max(LEAST, 1 / (SHRINK + days // 7 - 1)) / HOUR * (deviation - f.day[i] - f.week[j])


def _forget(f: Forecast, bins: int) -> None:
    """What that many empty bins leave: the averages exactly, the rhythm roughly, flatter and less trusted."""
    assert f.day is not None and f.week is not None
    f.seen.fast, f.seen.slow = f.seen.towards(0.0, bins * BIN)
    f.held.fast, f.held.slow = f.held.towards(0.0, bins * BIN)
    f.base *= (1.0 - BASE) ** bins
    f.rhythm.product *= TRUST**bins
    kept = (1.0 - LEAST) ** (bins / DAY)
    for profile, share in ((f.day, kept), (f.week, kept ** (1 / 7))):
        for i, deviation in enumerate(profile):
            profile[i] = share * deviation


# -- ask -------------------------------------------------------------------------------------------------------------


def expected(f: Forecast, at: float, horizon: float) -> float:
    """Arrivals expected in [at, at + horizon) seconds: finite, never negative.

    It is told from what was seen until `f.now`; a caller whose clock is further says so first: saw(f, now, 0.0).
    Beyond a day from `at`, what the first day has is taken to go on.
    """
    if f.day is None or not isfinite(at) or not horizon > 0:
        return 0.0
    horizon = min(horizon, LONGEST)
    walked = min(horizon, DAY * BIN)
    return sum(rate * seconds for rate, seconds in _rates(f, at, walked)) / BIN * (horizon / walked)


def bin_rate(f: Forecast, at: float) -> float:
    """Arrivals expected in the bin of `at`, a second."""
    return expected(f, at, 1e-3) / 1e-3


def chance(f: Forecast, at: float, horizon: float) -> float:
    """Of at least one arrival in [at, at + horizon) seconds.

    Arrivals come as a Poisson process; after an empty bin they come in bursts of the usual size, and it is the bursts
    that do. Otherwise a model that gets hundreds of requests once a day would seem sure to get one in any minute.
    """
    size = max(1.0, f.burst) if f.quiet and f.count <= 0 else 1.0
    return 1.0 - exp(-expected(f, at, horizon) / size)


def prewarm_at(
    f: Forecast, now: float, start_seconds: float, idle_cost_per_s: float, cold_cost: float
) -> bool:
    """Whether a replica begun now is expected to save more than it costs. It tells `f` that it is `now`.

    It is up after `start_seconds` and is kept for a bin. It saves the price of one cold request if any comes in that
    time, and costs a replica's seconds at `idle_cost_per_s` from now on. Both prices are in one currency.
    """
    saw(f, now, 0.0)
    return chance(f, now + start_seconds, BIN) * cold_cost > idle_cost_per_s * (start_seconds + BIN)


def _u(f: Forecast) -> float:
    return f.follow.share(1e-9, 0.0)


def _t(f: Forecast) -> float:
    return f.rhythm.share(0.0, DOUBT * f.error)


def _mixed(fast: float, slow: float, u: float) -> float:
    return slow + u * (fast - slow)


def _rates(f: Forecast, at: float, seconds: float) -> list[tuple[float, float]]:
    """(arrivals per bin, seconds) of the bins and parts of bins in [at, at + seconds)."""
    assert f.began is not None and f.day is not None and f.week is not None
    here = round((f.began - f.phase) / BIN)
    seen, held = _as_of_now(f, f.day[here % DAY] + f.week[here // HOUR % WEEK])
    u, t = _u(f), _t(f)
    rates: list[tuple[float, float]] = []
    number, left = floor((at - f.phase) / BIN), seconds
    part = min(BIN, max(0.0, BIN - (at - f.phase - number * BIN)))
    while left > 0:
        p = f.day[number % DAY] + f.week[number // HOUR % WEEK]
        far = u ** max(1, number - here + 1)  # what is of late counts the less the further one looks
        rate = _mixed(*seen, far) + t * (p - _mixed(*held, far))
        rates.append((max(0.0, rate), min(part, left)))
        number, left, part = number + 1, left - part, BIN
    return rates


def _as_of_now(f: Forecast, p: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """`seen` and `held` with what the bin under way has brought so far."""
    assert f.began is not None
    seconds = min(BIN, max(0.0, f.now - f.began))
    if seconds < 1e-3:
        return (f.seen.fast, f.seen.slow), (f.held.fast, f.held.slow)
    return f.seen.towards(f.count * BIN / seconds, seconds), f.held.towards(p, seconds)
