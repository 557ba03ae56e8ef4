"""What a forecaster of a deployment's requests remembers; policy/forecast.py learns and asks.

All is in arrivals per bin of BIN seconds.
"""

from array import array

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
