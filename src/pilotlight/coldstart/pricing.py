"""What a plan takes, from what its steps take. Steps that do not need each other overlap, so it is the longest
path through needs and gives that counts, never the sum."""

from collections.abc import Mapping

from pilotlight.fleet.plan import Plan, Step

NOTHING: Mapping[str, float] = {}


def price(plan: Plan, durations: Mapping[str, float]) -> float:
    """Seconds from the order to the end of the last step, when each step takes what `durations` says.

    Raises KeyError for a step whose duration is not there, ValueError for a plan that cannot be carried out.
    """
    return max(ends(plan, durations).values(), default=0.0)


def ends(
    plan: Plan, durations: Mapping[str, float], done: Mapping[str, float] = NOTHING, now: float = 0.0
) -> dict[str, float]:
    """When each step is over, in seconds since the order, as seen at `now`.

    `done` has the moments of those that are over. One that is not over takes until `now` at least.
    """
    plan.check()
    given: dict[str, float] = {}
    found: dict[str, float] = {}
    left = list(plan.steps)
    while left:
        for step in [s for s in left if s.needs <= given.keys()]:
            end = done.get(step.name)
            if end is None:
                end = max(now, begins(step, given) + durations[step.name])
            found[step.name] = end
            given.update((gift, end) for gift in step.gives)
            left.remove(step)
    return found


def begins(step: Step, given: Mapping[str, float]) -> float:
    """The moment at which the last of what it needs is there; the order, when it needs nothing."""
    return max((given[need] for need in step.needs), default=0.0)
