"""Follows how many replicas a deployment has work for, and learns from every spell of it.

It runs with every request, so it does the least that can be done then; what was seen is worked up now and again.
"""

from math import exp, inf, log2

from pilotlight.fleet.demand import BINS, EDGES, PER_OCTAVE, SHORTEST, Demand, Frontier, Level, empty_gaps
from pilotlight.fleet.fleet import DeploymentState, Fleet
from pilotlight.fleet.states import READY
from pilotlight.policy import cold_rate, gaps, guard, value
from pilotlight.policy.load import load

SHORT, LONG = 2 * 3600.0, 7 * 86400.0
"""Seconds over which the share of the time that a level is busy is taken, at least and at most [G]."""

CYCLES = 20.0
"""Gaps of usual length that it is taken over, within those bounds [G]."""

EVERY = 20
"""Requests after which they are worked up, and one of them is timed."""

AT_LEAST_EVERY = 100
"""Requests after which they are counted where none meets a replica."""

REDRAW = 0.2
"""Share of new gaps from which on a frontier is drawn anew."""

FEW = 3.0
"""Cold spells that the first guess at how many requests one makes wait counts for [G]."""

FORGET = 0.98
"""How much the cold spells so far count for when another one comes."""

YOUNG = 8.0
"""Gaps of each deployment that tell what the next new one will be like [G]."""

LASTS = 0.15
"""Of the wait from which a request is cold: work for one more replica that is over sooner waits its turn [G]."""

STARTS = 1.0
"""Starts that a cold request counts for at least [G]: where the band would allow more of them, hardly anything is
saved by it, and the next burst is not known."""

MANY = 400
"""Cold requests of one spell that say what a request must cost [G]; a flood that comes once says it no louder."""

SERVICE_WEIGHT = 0.1
"""Of the latest request in how long one is taken to run."""


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


def pass_time(level: Level, now: float) -> None:
    """Works up what was seen since; exponentially weighted over the level's horizon."""
    busy = level.new_busy
    if level.busy and not level.guessed:
        since = max(level.busy_since, level.as_of)
        busy += now - since
    passed = now - level.as_of
    if passed <= 0.0:
        return
    keep = exp(-passed / level.horizon)
    new = level.horizon * (1.0 - keep)
    level.over = level.over * keep + new
    level.busy_seconds = level.busy_seconds * keep + min(1.0, busy / passed) * new
    level.spells = level.spells * keep + level.new_spells / passed * new
    level.new_busy, level.new_spells = 0.0, 0
    level.as_of = now


def sample(fleet: Fleet, demand: Demand, request: str, now: float) -> None:
    """With this request, which runs from now on, the requests so far are worked up; it is timed if none is."""
    count(fleet, demand, now)
    if demand.timed is None:
        demand.timed, demand.timed_at = request, now
    if demand.service is not None:
        demand.work_up = EVERY


def count(fleet: Fleet, demand: Demand, now: float) -> None:
    """Its requests so far count in the cold rate."""
    cold_rate.came(fleet, demand, demand.requests, now)
    demand.requests = 0


def ended(demand: Demand, now: float) -> None:
    """The request that is timed has ended."""
    took = now - demand.timed_at
    demand.timed = None
    if demand.service is None:
        _count_from_now(demand, now)
        demand.service = took
    else:
        demand.service += SERVICE_WEIGHT * (took - demand.service)


def _count_from_now(demand: Demand, now: float) -> None:
    for level in demand.levels:
        if level.guessed and level.busy:
            level.guessed, level.busy_since, level.as_of = False, now, now
            _missed_a_guess(level)


def _missed_a_guess(level: Level) -> None:
    """A spell that was guessed counts for the requests that it made wait, once, and for nothing else."""
    if level.unmet:
        level.missed, level.unmet = level.missed + 1.0, False


def was_cold(fleet: Fleet, d: DeploymentState, since: float) -> None:
    """A request has waited too long, since then. Those of a deployment that does not learn teach nothing.

    It counts for the replica that came up last: that is the one that would have had to be kept. What it would have
    had to cost is told by the gap of the first level that had none when it came.
    """
    demand = d.demand
    if demand is None:
        return
    plain = _plain(fleet, value.start_seconds(d), second(fleet, d))
    if not demand.busy:
        cold_rate.was_cold(fleet, inf, plain)
        return
    k = top = 0
    if demand.busy > 1:
        ready = [r.ready_at for r in d.replicas.values() if r.state is READY]
        top = demand.busy - 1
        k = min(max(len(ready) - 1, 0), top)
        top = min(sum(at <= since for at in ready), top)
    demand.levels[k].cold += 1.0
    kept = any(r.state is READY and (r.woken or r.ready_at <= since) for r in d.replicas.values())
    guard.was_cold(fleet.goal, demand, alone=not kept)
    level = demand.levels[top]
    level.waited += 1
    gap = level.busy_since - level.idle_since
    price = prices_of(fleet, d, level, top, [gap])[0] if 0.0 < gap < inf else inf
    cold_rate.was_cold(fleet, price, plain, told=level.waited <= MANY)


def colds(d: DeploymentState, level: Level) -> float:
    """Requests that a replica of the level is taken to spare a wait when a spell begins: those that waited without
    it, but no more than it can serve in the time in which another would start."""
    seen = (level.cold + FEW) / (level.missed + FEW)
    service = d.demand.service if d.demand is not None else None
    if service is None or seen <= 1.0:
        return seen
    most = d.spec.target_requests * value.start_seconds(d) / (service if service > 1e-3 else 1e-3)
    return 1.0 if most < 1.0 else most if most < seen else seen


def frontier(fleet: Fleet, d: DeploymentState, k: int) -> Frontier:
    """Of the k-th level, from 0; drawn anew when enough has come to change it."""
    level = d.demand.levels[k]  # type: ignore[union-attr]
    if level.frontier is None or level.gaps.total > level.redraw_at:
        gaps.fade(level.gaps)
        level.frontier = gaps.frontier(level.gaps, fleet.prices.young)
        level.redraw_at = min((1.0 + REDRAW) * level.gaps.total, level.gaps.total + gaps.MEMORY * REDRAW)
        if level.met:
            each = colds(d, level)
            prices = prices_of(fleet, d, level, k, [0.9 * EDGES[i] for i in level.met])
            for price, n in zip(prices, level.met.values(), strict=True):
                cold_rate.spared(fleet.prices, price, n * each)
            level.met.clear()
        if level.gaps.total:
            usual = sum(level.gaps.seconds) / level.gaps.total
            level.horizon = min(LONG, max(SHORT, CYCLES * usual))
    return level.frontier


def worth(fleet: Fleet, d: DeploymentState, level: Level) -> float:
    """Idle seconds that it is worth to meet the level's next spell warm: the start it spares, and the waiting."""
    start, each = value.start_seconds(d), second(fleet, d)
    found = start + colds(d, level) * _usd(fleet, d, start, each) / each
    return found if d.demand is None else max(found, guard.worth(fleet.goal, d.demand, level))


def usd(fleet: Fleet, d: DeploymentState) -> float:
    """What a cold request of it counts for: the price that holds the band, but no less than STARTS of its starts."""
    return _usd(fleet, d, value.start_seconds(d), second(fleet, d))


def _usd(fleet: Fleet, d: DeploymentState, start: float, each: float) -> float:
    """`start`: seconds that one takes; `each`: USD of one of them."""
    price = _plain(fleet, start, each)
    if fleet.goal.cold_usd is None:
        price *= fleet.prices.windows.stretch
    return price if d.demand is None else price * d.demand.boost


def _plain(fleet: Fleet, start: float, each: float) -> float:
    """Before it is stretched or boosted."""
    said = fleet.goal.cold_usd
    return max(fleet.prices.usd, STARTS * start * each) if said is None else said


def second(fleet: Fleet, d: DeploymentState) -> float:
    """USD for a second of an on-demand replica."""
    return fleet.goal.on_demand * (d.spec.need.gpus or 1)


def prices_of(fleet: Fleet, d: DeploymentState, level: Level, k: int, over: list[float]) -> list[float]:
    """What a cold request would have had to cost for the replica to be kept over each of these gaps."""
    f = level.frontier
    if k < d.floor or f is None:
        return [0.0 if k < d.floor else inf] * len(over)
    start, each, share = value.start_seconds(d), second(fleet, d), colds(d, level)
    if d.demand is not None:
        share *= d.demand.boost
    return [max(0.0, gaps.price_of(f, gap) - start) * each / share for gap in over]
