"""`pilotlight warm`: an operator wants one up."""

from math import inf

from pilotlight.fleet.fleet import DeploymentState, Fleet
from pilotlight.policy.ask import Ask


def ask(fleet: Fleet, d: DeploymentState, now: float) -> Ask | None:
    return Ask("warm", 1, inf, "one was asked for, and is not up yet") if d.warm_asked else None
