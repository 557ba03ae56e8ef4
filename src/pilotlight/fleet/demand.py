"""What is remembered of a deployment's traffic: how many replicas it had work for, and how long it had none.

Level k of a deployment is busy while its requests, running and held, are more than k-1 full replicas take. Between
two busy spells of a level lies a gap; a replica kept over the gap meets the next spell warm.
"""

from dataclasses import dataclass, field
from math import inf

import msgspec

PER_OCTAVE = 3
"""Bins per doubling of a gap's length; a bin's edges lie 26 % apart."""

SHORTEST = 0.25
"""Seconds; shorter gaps are in bin 0."""

BINS = 22 * PER_OCTAVE + 1
"""The last one ends at 2^22 quarters of a second, twelve days, and takes all that is longer."""

EDGES = tuple(SHORTEST * 2 ** (i / PER_OCTAVE) for i in range(BINS))
"""Upper edges of the bins, in seconds."""


@dataclass(eq=False, slots=True)
class Gaps:
    """A histogram of gaps by length, in which older gaps count for less."""

    counts: list[float]
    seconds: list[float]
    """Sum of the lengths of those in each bin."""
    total: float = 0.0


def empty_gaps() -> Gaps:
    return Gaps([0.0] * BINS, [0.0] * BINS)


class Frontier(msgspec.Struct, frozen=True):
    """The keep-alives worth choosing: what each costs and saves, from none to the longest.

    `worth[i]` is the number of idle seconds that one spell met cold must be worth for `stays[i+1]` to be better than
    `stays[i]`; ascending.
    """

    stays: tuple[float, ...]
    """Seconds."""
    worth: tuple[float, ...]
    idle: tuple[float, ...]
    """Idle seconds that each keep-alive costs per gap."""
    missed: tuple[float, ...]
    """Share of the gaps that outlast it."""


@dataclass(eq=False, slots=True)
class Level:
    """One more replica's worth of traffic."""

    gaps: Gaps
    idle_since: float
    """When its latest busy spell ended; while it is busy, when the one before did."""
    busy_since: float = 0.0
    busy: bool = False
    waited: int = 0
    """Requests that were cold for want of it in the present spell, or the latest."""
    guessed: bool = False
    """It began when nobody knew how long the deployment's requests run: nothing is learned of it."""
    unmet: bool = False
    """The spell began with no replica for it."""
    busy_seconds: float = 0.0
    """Of its spells; older ones count for less, as in `spells` and `over`."""
    spells: float = 0.0
    over: float = 0.0
    """Seconds that `busy_seconds` and `spells` are of, as of `as_of`."""
    as_of: float = 0.0
    horizon: float = 7200.0
    """Seconds over which they are weighted."""
    new_busy: float = 0.0
    """Seconds and spells since `as_of`."""
    new_spells: int = 0
    met: dict[int, int] = field(default_factory=dict)
    """Gaps since `frontier` was drawn over which a replica was kept, by bin."""
    missed: float = 0.0
    """Spells that began with no replica for them, older ones counting for less."""
    cold: float = 0.0
    """Requests that waited too long in those."""
    frontier: Frontier | None = None
    redraw_at: float = 0.0
    """Total of the gaps from which on `frontier` is drawn anew."""


@dataclass(eq=False, slots=True)
class Demand:
    """Of a deployment."""

    levels: list[Level] = field(default_factory=list)
    busy: int = 0
    """Levels that are busy: 1 to this."""
    above: int = 0
    """With more requests than this the next level is busy too."""
    until: int = -1
    """With this many requests, or fewer, the highest busy level is no longer."""
    service: float | None = None
    """Seconds that its requests run; None while none has."""
    timed: str | None = None
    """The request that is timed at present, and since when."""
    timed_at: float = 0.0
    timings: int = 0
    """Requests that have been timed."""
    base: int = 0
    """Replicas rented for long, because on demand they would cost more."""
    rented_at: float = 0.0
    """When the base last grew."""
    look_at: float = 0.0
    """When the base is to be thought about again."""
    saves_until: float = 0.0
    """Until when it cannot come to be too large, at the price of a cold request that it was thought about with."""
    awaited: float = inf
    """When a Tick will look at it; one that comes at another moment does not."""
    born: float = 0.0
    requests: int = 0
    """Since they were last worked up."""
    work_up: int = 1
    """With so many, they are worked up."""
    asked: int = 0
    """Since its own cold rate was last looked at, and how many of them were cold."""
    cold: int = 0
    owed: float = 0.0
    """Cold requests that it had beyond what it may have; see policy/guard.py."""
    paid: list[float] = field(default_factory=list)
    """What its replicas would cost at each stretch of the price, in USD a second; see policy/surcharge.py."""
    boost: float = 1.0
    """By which a cold request of this deployment counts for more than others', because it has too many."""


@dataclass(eq=False, slots=True)
class Hindsight:
    """What the requests of late would have met; older ones count for less."""

    spells: list[float]
    """Cold requests by the price of a cold request that would have spared them."""
    requests: float = 0.0
    cold: float = 0.0
    """Requests that were cold in truth."""
    steady: float = 0.0
    """The same, but for those that are counted in a lump, long after they came."""
    seconds: float = 0.0
    """In which those came, up to `as_of`; infinite while none has."""
    as_of: float = inf


@dataclass(eq=False, slots=True)
class Windows:
    """The requests of late in windows of equal size, by which the band is judged as well."""

    requests: int = 0
    """Of the present window, and how many were cold that a dearer price might have spared, and that none would."""
    dear: int = 0
    hopeless: int = 0
    seen: int = 0
    """Windows that are over."""
    judged: float = 0.0
    """Of those, older ones counting for less, and those that no price would have kept inside the band."""
    lost: float = 0.0
    in_vain: bool = False
    """Nothing is paid, for too many were lost."""
    grown: float = 1.0
    """What the price would be multiplied by otherwise, if that had no bound."""
    affordable: float = inf
    """What it may be multiplied by at most, by what that would cost; see policy/surcharge.py."""
    turn: int = 0
    """Of which deployment that is reckoned next."""


@dataclass(eq=False, slots=True)
class Prices:
    """What the controller of the cold rate knows."""

    usd: float
    """What a cold request counts for now."""
    past: Hindsight
    young: Gaps
    """First gaps of all deployments: what a new one is taken to be like."""
    most: float = inf
    """What one counts for at most, before any stretch; see policy/cold_rate.py."""
    up: float = 0.0
    """USD a second of one replica, always up, of each deployment that was asked for."""
    trim: float = 1.0
    """What the price is multiplied by, because too many or too few requests have been cold."""
    since: int = 0
    """Requests since it was last thought about."""
    due: int = 0
    """With so many it is thought about again; 0 before the first time."""
    windows: Windows = field(default_factory=Windows)


PRICE_BINS = 92
"""Of the histogram over prices; see policy/cold_rate.py."""

FIRST_USD = 1e-3


def nothing_known() -> Gaps:
    """Every length between a second and a day and a half alike, by order of magnitude [G]."""
    gaps = empty_gaps()
    spread = range(2 * PER_OCTAVE, 19 * PER_OCTAVE)
    for i in spread:
        gaps.counts[i] = 1.0 / len(spread)
        gaps.seconds[i] = EDGES[i] / len(spread)
    gaps.total = 1.0
    return gaps


def first_prices() -> Prices:
    return Prices(FIRST_USD, Hindsight([0.0] * PRICE_BINS), nothing_known())
