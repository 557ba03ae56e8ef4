"""What a replica is worth keeping: the seconds that its going is expected to cost, for the room that it gives.

value = seconds to bring it back x requests expected for it a second / bytes that its going frees

The least valuable goes first: of two that are equally wanted the one that is back sooner, of two that are equally
dear the larger one, for one of it makes the room of many. It is GreedyDual-Size-Frequency (Cherkasova, 1998) with an
arrival rate that decays in place of the ageing.
"""

from math import exp, inf, log

from pilotlight.coldstart.learned import DOWNLOAD, ONCE
from pilotlight.fleet.events import Ready
from pilotlight.fleet.fleet import DeploymentState, Replica
from pilotlight.fleet.states import State
from pilotlight.policy.placement import Less

HALF_LIFE = 900.0
"""Seconds after which an arrival counts for half as much in the rate [G]: long against a start, so that a model is
not forgotten between two bursts, and short against a day, so that an evening's models do not keep out a morning's."""

TAU = HALF_LIFE / log(2)

LUMP = 5.0
"""Seconds of arrivals that are counted as of one moment: half a per cent of a half-life."""

WEIGHT = 0.3
"""Of the latest start or wake in what those of its kind are taken to last."""

UNKNOWN = 10.0
"""Seconds that a start is taken to last when none has been seen or heard of [G]."""

WAKE_SHARE = 0.25
"""Of a start that a wake is taken to last when none has been seen or heard of [G]."""


def saw(d: DeploymentState, now: float) -> None:
    """Counts an arrival. Called for every request, so it does the least that can be done."""
    if now - d.used_at < LUMP:
        d.uses += 1.0
        return
    d.uses = 1.0 + d.uses * exp((d.used_at - now) / TAU)
    d.used_at = now


def rate(d: DeploymentState, now: float) -> float:
    """Arrivals a second, as of late."""
    return d.uses * exp((d.used_at - now) / TAU) / TAU


def learn(d: DeploymentState, r: Replica, e: Ready) -> None:
    """From one that came up. Starts are learned apart by the techniques that they used, and the next is taken to be
    like the latest; not from one that had to download, for the next will not."""
    seconds = e.at - r.ordered_at
    if r.woken:
        d.wake_took = _mean(d.wake_took, d.spec.wake_seconds, seconds)
    elif e.fetched < DOWNLOAD and ONCE.isdisjoint(e.techniques):
        how = "+".join(sorted(e.techniques))
        said = d.spec.start_seconds if how == "+".join(d.spec.start_techniques) else None
        d.start_took = d.starts_took[how] = _mean(d.starts_took.get(how), said, seconds)


def _mean(learned: float | None, said: float | None, seconds: float) -> float:
    before = learned if learned is not None else said
    return seconds if before is None else before + WEIGHT * (seconds - before)


def start_seconds(d: DeploymentState) -> float:
    took = d.start_took
    if took is None:
        took = d.spec.start_seconds
    return UNKNOWN if took is None else took


def wake_seconds(d: DeploymentState) -> float:
    return min(start_seconds(d), _first(d.wake_took, d.spec.wake_seconds, WAKE_SHARE * start_seconds(d)))


def _first(a: float | None, b: float | None, c: float) -> float:
    return a if a is not None else b if b is not None else c


def cost(d: DeploymentState, way: Less, now: float) -> float:
    """Seconds of waiting, a second, that it is expected to bring. Others of the deployment share its requests."""
    seconds = start_seconds(d) if way.gone else wake_seconds(d)
    if way.replica.state is State.ASLEEP:
        seconds -= wake_seconds(d)  # for that would have been waited for anyway
    alike = sum(r.state is way.replica.state for r in d.every)
    return seconds * rate(d, now) / alike


def per_byte(way: Less) -> float:
    """Its cost for each byte that it frees: of devices, for one that has any."""
    freed = sum(way.gpu_memory) if way.replica.devices else way.memory
    return way.cost / freed if freed > 0 else inf
