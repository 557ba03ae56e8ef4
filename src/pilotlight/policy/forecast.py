"""How many requests a model will get in the next minutes: two moving averages and a small day-and-week profile.

    rate of a bin = slow + u (fast - slow) + t (profile of the bin - what the averages hold of the profile)

All is in arrivals per bin of BIN seconds. `u` and `t` lie between 0 and 1 and are learned from how the forecasts came
out: a model without a daily rhythm keeps t at 0, and is forecast by its averages alone. The profile is additive and
shrunk towards 0: a factor per time of day goes wild where the traffic is sparse. benchmarks/forecast.py has figures.
"""

from array import array
from collections.abc import Iterator
from math import exp, floor, isfinite

from pilotlight.fleet.forecast import BASE, BIN, DAY, HOUR, TRUST, WEEK, Forecast

DOUBT = 100.0
"""Bins' worth of squared error that stand against the profile before it is trusted [G]: eight hours."""

SHRINK = 2.0
"""Days (weeks) without any deviation that a profile is taken to have seen before its first one, less one [G]."""

LEAST = 0.1
"""Least weight of the latest day (week) in the profile, and of the latest burst in its usual size [G]."""

LONGEST = 1e9
"""Seconds; a longer horizon is taken for this."""

NOTHING = 1e-3
"""Arrivals in a bin, at the most, that are as good as none [G]."""


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
    return 1.0 - exp(-expected(f, at, horizon) / _burst(f))


def _burst(f: Forecast) -> float:
    """Arrivals that come at once."""
    return max(1.0, f.burst) if f.quiet and f.count <= 0 else 1.0


def prewarm_at(
    f: Forecast, now: float, start_seconds: float, idle_cost_per_s: float, cold_cost: float
) -> bool:
    """Whether a replica begun now is expected to save more than it costs. It tells `f` that it is `now`.

    It is up after `start_seconds` and is kept for a bin. It saves the price of one cold request if any comes in that
    time, and costs a replica's seconds at `idle_cost_per_s` from now on. Both prices are in one currency.
    """
    saw(f, now, 0.0)
    return chance(f, now + start_seconds, BIN) * cold_cost > idle_cost_per_s * (start_seconds + BIN)


def first_likely(f: Forecast, after: float, least: float) -> float | None:
    """The first moment after `after`, within a day, at which a bin begins with at least this chance of an arrival."""
    if f.day is None or not isfinite(after):
        return None
    begin = f.phase + (floor((after - f.phase) / BIN) + 1) * BIN
    size = _burst(f)
    for i, (rate, _) in enumerate(_rates(f, begin, DAY * BIN)):
        if 1.0 - exp(-rate / size) >= least:
            return begin + i * BIN
    return None


def hopeless(f: Forecast) -> bool:
    """Nothing that it knows of any day makes a request likely any more."""
    if f.day is None or f.week is None:
        return True
    return max(f.seen.fast, f.seen.slow, f.base, max(f.day) + max(f.week)) < NOTHING


def _u(f: Forecast) -> float:
    return f.follow.share(1e-9, 0.0)


def _t(f: Forecast) -> float:
    return f.rhythm.share(0.0, DOUBT * f.error)


def _mixed(fast: float, slow: float, u: float) -> float:
    return slow + u * (fast - slow)


def _rates(f: Forecast, at: float, seconds: float) -> Iterator[tuple[float, float]]:
    """(arrivals per bin, seconds) of the bins and parts of bins in [at, at + seconds)."""
    assert f.began is not None and f.day is not None and f.week is not None
    here = round((f.began - f.phase) / BIN)
    seen, held = _as_of_now(f, f.day[here % DAY] + f.week[here // HOUR % WEEK])
    u, t = _u(f), _t(f)
    number, left = floor((at - f.phase) / BIN), seconds
    part = min(BIN, max(0.0, BIN - (at - f.phase - number * BIN)))
    while left > 0:
        p = f.day[number % DAY] + f.week[number // HOUR % WEEK]
        far = u ** max(1, number - here + 1)  # what is of late counts the less the further one looks
        rate = _mixed(*seen, far) + t * (p - _mixed(*held, far))
        yield max(0.0, rate), min(part, left)
        number, left, part = number + 1, left - part, BIN


def _as_of_now(f: Forecast, p: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """`seen` and `held` with what the bin under way has brought so far."""
    assert f.began is not None
    seconds = min(BIN, max(0.0, f.now - f.began))
    if seconds < 1e-3:
        return (f.seen.fast, f.seen.slow), (f.held.fast, f.held.slow)
    return f.seen.towards(f.count * BIN / seconds, seconds), f.held.towards(p, seconds)
