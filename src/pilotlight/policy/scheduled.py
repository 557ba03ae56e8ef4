"""`schedule`: replicas are ready when a window begins, and are kept in it like those of min_replicas."""

from functools import lru_cache
from math import inf

from pilotlight.fleet.fleet import DeploymentState, Fleet
from pilotlight.policy import effects, schedule, value
from pilotlight.policy.ask import Ask
from pilotlight.policy.schedule import Timetable
from pilotlight.spec.scaling import Window
from pilotlight.units import format_duration

SOON = 1e-3
"""Seconds from now before which it is not looked again: a moment and its Unix time are not the same to the last bit."""


def look(fleet: Fleet, d: DeploymentState, now: float) -> None:
    """What is in force `now`, and has a Tick look again when that changes.

    A window counts from as long before its begin on as a start is learned to take.
    """
    if not d.spec.schedule or d.ahead is None:
        return
    n, until = schedule.floor(_table(d.spec.schedule), now + fleet.unix, value.start_seconds(d))
    d.ahead.scheduled, d.ahead.until = n, until - fleet.unix
    d.settle_floor()
    when = max(d.ahead.until, now + SOON)
    d.ahead.look_at = effects.look_once(fleet, d, d.ahead.look_at, when, now)


@lru_cache(maxsize=1024)
def _table(windows: tuple[Window, ...]) -> Timetable:
    return schedule.timetable(windows)


def ask(fleet: Fleet, d: DeploymentState, now: float) -> Ask | None:
    if d.ahead is None or not d.ahead.scheduled:
        return None
    unix = now + fleet.unix
    spell = _table(d.spec.schedule).at(unix)
    if spell is None or spell.min_replicas < d.ahead.scheduled:
        begin = _table(d.spec.schedule).next_begin(unix)
        left = "soon" if begin is None else f"in {format_duration(round(begin.begin - unix))}"
        because = (
            f"a window begins {left}, and a start takes {format_duration(round(value.start_seconds(d)))}"
        )
    elif spell.end == inf:
        because = "a window that goes on for ever"
    else:
        because = f"a window that goes on for {format_duration(round(spell.end - unix))}"
    return Ask("schedule", d.ahead.scheduled, d.ahead.until, because)
