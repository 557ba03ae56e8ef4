"""Follows how many replicas a deployment has work for, and learns from every spell of it.

It runs with every request, so it does the least that can be done then; what was seen is worked up now and again.
"""

from math import inf, log2

from pilotlight.fleet.demand import BINS, PER_OCTAVE, SHORTEST, Demand, Level, empty_gaps
from pilotlight.fleet.fleet import DeploymentState, Fleet
from pilotlight.fleet.states import READY
from pilotlight.policy import cold_price, cold_rate, gaps, surcharge
from pilotlight.policy.load import load

EVERY = 5
"""Requests after which they are worked up, and one of them is timed."""

AT_LEAST_EVERY = 100
"""Requests after which they are counted where none meets a replica."""

FORGET = 0.98
"""How much the cold spells so far count for when another one comes."""

YOUNG = 8.0
"""Gaps of each deployment that tell what the next new one will be like [G]."""

LASTS = 0.15
"""Of the wait from which a request is cold: work for one more replica that is over sooner waits its turn [G]."""

SERVICE_WEIGHT = 0.1
"""Of the latest request in how long one is taken to run, once ten have been timed; before, all count alike."""


def follow(fleet: Fleet, d: DeploymentState, now: float) -> None:
    """Called when the requests are more than `above` or no more than `until`, or may be."""
    demand = d.demand
    assert demand is not None
    n = load(d, now) if d.held else d.in_flight
    if demand.until < n <= demand.above:
        return
    while n > demand.above:
        _rise(fleet, d, demand, now)
    while n <= demand.until:
        _fall(fleet, d, demand, now)


def wanted(fleet: Fleet, d: DeploymentState, now: float) -> int:
    """Replicas that there is work for, and that will not be over before it is worth anybody's while."""
    demand = d.demand
    assert demand is not None
    n = demand.busy
    lasts = lasting(fleet)
    while n > 1 and now < demand.levels[n - 1].busy_since + lasts:
        n -= 1
    return n


def lasting(fleet: Fleet) -> float:
    """Seconds from which work for one more replica counts."""
    return LASTS * fleet.goal.wait


def _rise(fleet: Fleet, d: DeploymentState, demand: Demand, now: float) -> None:
    k = demand.busy
    if k == len(demand.levels):
        demand.levels.append(Level(empty_gaps(), inf, as_of=now))
        if not k:
            fleet.prices.up += cold_rate.always_up(fleet, d)
    level = demand.levels[k]
    level.busy, level.busy_since, level.waited = True, now, 0
    if k:
        level.guessed = demand.service is None
        level.unmet = not _are_ready(d, k + 1)
    else:
        level.unmet = d.in_flight == d.away  # what others answer meets no replica
        _spell(fleet, level, True, now)
    bounds(d, demand, k + 1)


def _are_ready(d: DeploymentState, enough: int) -> bool:
    """Whether so many are."""
    for r in d.replicas.values():
        if r.state is READY:
            enough -= 1
            if not enough:
                return True
    return False


def _fall(fleet: Fleet, d: DeploymentState, demand: Demand, now: float) -> None:
    k = demand.busy - 1
    level = demand.levels[k]
    level.busy = False
    if level.guessed:
        level.as_of = now
        _missed_a_guess(level)
    else:
        level.new_busy += now - max(level.busy_since, level.as_of)
        if k == 0:
            level.idle_since = now
        elif now - level.busy_since >= lasting(fleet):
            _spell(fleet, level, False, level.busy_since)
            level.idle_since = now
    bounds(d, demand, k)


def begin(fleet: Fleet, d: DeploymentState, demand: Demand, now: float) -> None:
    """The first level gets busy, and has a replica: `follow` for what comes most often."""
    level = demand.levels[0]
    level.busy, level.busy_since = True, now
    level.waited, level.unmet = 0, False
    level.new_spells += 1
    gap = now - level.idle_since
    if gap > 0.0:
        _gap(fleet, level, True, gap)
    demand.busy, demand.until, demand.above = 1, 0, d.spec.target_requests


def end(demand: Demand, now: float) -> None:
    """The first level is busy no more."""
    level = demand.levels[0]
    level.busy, level.idle_since = False, now
    since, as_of = level.busy_since, level.as_of
    level.new_busy += now - (since if since > as_of else as_of)
    demand.busy, demand.until, demand.above = 0, -1, 0


def bounds(d: DeploymentState, demand: Demand, busy: int) -> None:
    per = d.spec.target_requests
    demand.busy, demand.above = busy, busy * per
    demand.until = demand.above - per if busy else -1


def _spell(fleet: Fleet, level: Level, first: bool, began: float) -> None:
    """One has come, after a gap."""
    level.new_spells += 1
    if level.unmet:
        level.missed = FORGET * level.missed + 1.0
        level.cold *= FORGET
    gap = began - level.idle_since
    if gap > 0.0:  # the first one comes after none
        _gap(fleet, level, first, gap)


def _gap(fleet: Fleet, level: Level, first: bool, gap: float) -> None:
    known = level.gaps
    i = int(PER_OCTAVE * log2(gap / SHORTEST)) + 1 if gap > SHORTEST else 0  # gaps.bin_of, without the call
    if i >= BINS:
        i = BINS - 1
    known.counts[i] += 1.0
    known.seconds[i] += gap
    known.total = total = known.total + 1.0
    if not level.unmet:
        met = level.met
        met[i] = met[i] + 1 if i in met else 1
    if first and total <= YOUNG:
        gaps.learn(fleet.prices.young, gap)


def sample(fleet: Fleet, demand: Demand, request: str, now: float) -> None:
    """With this request, which runs from now on, the requests so far are worked up; it is timed if none is."""
    count(fleet, demand, now)
    if demand.timed is None:
        demand.timed, demand.timed_at = request, now
    if demand.service is not None:
        demand.work_up = EVERY


def count(fleet: Fleet, demand: Demand, now: float) -> None:
    """Its requests so far count in the cold rate."""
    if cold_rate.came(fleet, demand, demand.requests, now):
        surcharge.limit(fleet, now)
    demand.requests = 0


def was_cold(fleet: Fleet, d: DeploymentState, since: float, now: float) -> None:
    """A request has waited too long, since then. It counts at once, and so do those that came before: else models that
    are seldom asked for would seem to have far more cold ones than they have. Where providers answer they count when
    one meets a replica, as always."""
    if d.demand is not None and d.demand.requests and d.bursting is None:
        count(fleet, d.demand, now)
    cold_price.was_cold(fleet, d, since)


def ended(demand: Demand, now: float) -> None:
    """The request that is timed has ended."""
    took = now - demand.timed_at
    demand.timed = None
    demand.timings += 1
    if demand.service is None:
        _count_from_now(demand, now)
        demand.service = took
    else:
        demand.service += max(SERVICE_WEIGHT, 1.0 / demand.timings) * (took - demand.service)


def _count_from_now(demand: Demand, now: float) -> None:
    for level in demand.levels:
        if level.guessed and level.busy:
            level.guessed, level.busy_since, level.as_of = False, now, now
            _missed_a_guess(level)


def _missed_a_guess(level: Level) -> None:
    """A spell that was guessed counts for the requests that it made wait, once, and for nothing else."""
    if level.unmet:
        level.missed, level.unmet = level.missed + 1.0, False
