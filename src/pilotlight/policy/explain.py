"""Why a deployment has the replicas that it has: what its policies ask for now, and at what prices. Changes nothing."""

from copy import copy
from math import isfinite

import msgspec

from pilotlight.fleet.fleet import DeploymentState, Fleet
from pilotlight.policy import base, cold_price, cold_rate, gaps, guard, keep_alive, providers, scaling, warmer
from pilotlight.policy.working import pass_time

MOST_LEVELS = 20
"""Replicas whose keep-alive is told."""

HOUR = 3600.0


class Asked(msgspec.Struct, frozen=True):
    policy: str
    replicas: int
    for_s: float | None
    """Seconds until it may ask for something else by itself; None where only an event changes it."""
    because: str


class Kept(msgspec.Struct, frozen=True):
    """Of the replicas of a deployment the one that is used as the `replica`th, from 1."""

    replica: int
    idle_s: float | None
    """Idle seconds for which it stays; None for ever."""
    because: str


class Rent(msgspec.Struct, frozen=True):
    """What the `replica`th one costs an hour, and which is chosen."""

    replica: int
    on_demand_usd: float
    dedicated_usd: float
    rented: bool


class Delayed(msgspec.Struct, frozen=True):
    granted: int
    """Replicas that its requests are granted, whatever they ask for now."""
    scale_up_delay_s: float
    scale_down_delay_s: float


class Bounds(msgspec.Struct, frozen=True):
    min_replicas: int
    max_replicas: int


class ColdRequest(msgspec.Struct, frozen=True):
    usd: float
    because: str


class Explained(msgspec.Struct, frozen=True):
    model: str
    wanted: int
    """Replicas, by all that follows."""
    bounds: Bounds
    asks: list[Asked]
    delays: Delayed | None
    keep_alive: list[Kept]
    base: list[Rent]
    """Where it is sized from the traffic."""
    cold_request: ColdRequest
    """What a request that waits too long counts for."""
    warmer: str | None
    """What it asks for now, and why; None where none is declared."""
    providers: list[providers.Known]
    """To which its requests may go, in the order in which they are tried where they promise the same."""


def explain(fleet: Fleet, d: DeploymentState, now: float) -> Explained:
    asks = scaling.asks(fleet, d, now)
    spec = d.spec
    delays = None
    if d.delays is not None:
        delays = Delayed(d.delays.granted, spec.scale_up_delay, spec.scale_down_delay)
    return Explained(
        model=spec.id,
        wanted=scaling.answer(d, asks),
        bounds=Bounds(spec.min_replicas, spec.max_replicas),
        asks=[Asked(a.policy, a.replicas, _seconds(a.until - now), a.because) for a in asks],
        delays=delays,
        keep_alive=[_kept(fleet, d, k) for k in range(_levels(d))],
        base=_rents(fleet, d, now),
        cold_request=ColdRequest(cold_price.usd(fleet, d), _because(fleet, d)),
        warmer=_warmer(d),
        providers=providers.of(fleet, () if spec.burst is None else spec.burst.providers, now),
    )


def _levels(d: DeploymentState) -> int:
    known = len(d.demand.levels) if d.demand is not None else 0
    return min(max(1, known, len(d.replicas)), d.spec.max_replicas, MOST_LEVELS)


def _kept(fleet: Fleet, d: DeploymentState, k: int) -> Kept:
    spec = d.spec
    if k < d.floor:
        return Kept(k + 1, None, "it is to be up in any case")
    if not spec.ttl_is_auto or d.demand is None:
        ttl = spec.ttl if k else spec.ttl_to_zero
        named = "ttl" if k or spec.ttl == spec.ttl_to_zero else "ttl_to_zero"
        return Kept(k + 1, _seconds(ttl), f"declared as {named}")
    if not d.demand.levels:
        return Kept(k + 1, keep_alive.UNTRIED, "nothing is known of its traffic yet")
    level = copy(d.demand.levels[min(k, len(d.demand.levels) - 1)])  # which a look must not change
    worth = cold_price.worth(fleet, d, level)
    f = level.frontier or gaps.frontier(level.gaps, fleet.prices.young)
    i = gaps.best(f, worth)
    because = (
        f"learned from {level.gaps.total:.3g} gaps: {100 * f.missed[i]:.0f} % of them outlast it, "
        f"and to be met warm is worth {worth:.3g} idle seconds"
    )
    if worth == guard.worth(fleet.goal, d.demand, level):
        because += guard.because(fleet.goal, d.demand, cold_price.second(fleet, d))
    return Kept(k + 1, _seconds(f.stays[i]), because)


def _rents(fleet: Fleet, d: DeploymentState, now: float) -> list[Rent]:
    if d.spec.base is not None or d.demand is None:
        return []
    found: list[Rent] = []
    gpus, goal = max(1, d.spec.need.gpus), fleet.goal
    for k, known in enumerate(d.demand.levels[:MOST_LEVELS]):
        level = copy(known)
        pass_time(level, now)
        f = level.frontier or gaps.frontier(level.gaps, fleet.prices.young)
        usd = base.on_demand(fleet, d, level, f) * goal.on_demand * gpus * HOUR
        found.append(Rent(k + 1, usd, goal.dedicated * gpus * HOUR, rented=k < d.demand.base))
    return found


def _warmer(d: DeploymentState) -> str | None:
    w = d.warming
    if d.spec.warmer is None or w is None:
        return None
    if warmer.is_full(d):
        return "the last replica stays as the warmer, and makes room before others"
    there = next(iter(d.small), None)
    if there is not None:
        state = there.state.value.replace("_", " ")
        return f"{there.id} is {state}, for the first requests of a burst, until a full replica is up"
    if w.no_room:
        return "none: there is no room for it beside the last full replica, which stays in its place"
    if w.wanted:
        return "one is to come up"
    return "none, until the last full replica is no longer needed"


def _because(fleet: Fleet, d: DeploymentState) -> str:
    boost = d.demand.boost if d.demand is not None else 1.0
    text = cold_rate.because(fleet)
    if boost == 1.0:
        return text
    return f"{text}; times {boost:.3g}, for this model had more of them than per_model_max"


def _seconds(n: float) -> float | None:
    return round(n, 3) if isfinite(n) else None
