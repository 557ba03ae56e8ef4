"""How much of a start is left, from what such starts took and from what is done of this one."""

from collections.abc import Iterator, Mapping

import msgspec

from pilotlight.coldstart.learned import WIDE, Estimate
from pilotlight.coldstart.pricing import begins, ends
from pilotlight.fleet.plan import Plan

PATIENCE = 1.0
"""Seconds that a stage may take on top of what is usual before that is worth a word [G]."""


class Left(msgspec.Struct, frozen=True):
    """What is to go of a start."""

    seconds: float
    late: str = ""
    """A stage that has taken longer than is usual, so that `seconds`, the stages after it, is the least."""


def to_go(estimate: Estimate, elapsed: float, done: Mapping[str, float]) -> Left:
    """About how many seconds are left, `elapsed` after the order, with the moments at which stages were `done`.

    Never negative. A stage that has taken longer than it usually does is named in place of a promise.
    """
    means = {name: mean.mean for name, mean in estimate.stages.items()}
    durations = {s.name.value: means.get(s.name, 0.0) for s in estimate.plan.steps}
    over = ends(estimate.plan, durations, done, elapsed)
    seconds = max(0.0, max(over.values(), default=elapsed) - elapsed)
    if not estimate.plan.steps:
        seconds = max(0.0, estimate.seconds - elapsed)
    return Left(seconds, _late(estimate, elapsed, done))


def _late(estimate: Estimate, elapsed: float, done: Mapping[str, float]) -> str:
    for name, since in _running(estimate.plan, done):
        usual = estimate.stages.get(name)
        if usual is not None and elapsed - since > usual.mean + WIDE * usual.spread + PATIENCE:
            return name
    return ""


def _running(plan: Plan, done: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """Steps that have begun and are not over, and when they began."""
    given = {gift: done[s.name] for s in plan.steps if s.name in done for gift in s.gives}
    for s in plan.steps:
        if s.name not in done and s.needs <= given.keys():
            yield s.name.value, begins(s, given)
