"""`min_replicas`: so many are always up."""

from math import inf

from pilotlight.fleet.fleet import DeploymentState, Fleet
from pilotlight.policy.ask import Ask


def ask(fleet: Fleet, d: DeploymentState, now: float) -> Ask | None:
    n = d.spec.min_replicas
    return Ask("min_replicas", n, inf, "always up, as declared") if n else None
