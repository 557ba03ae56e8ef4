"""One that is wanted up though no request waits for it: by an operator (`pilotlight warm`), after a stand-in had to
answer, or in place of one that could not sleep."""

from math import inf

from pilotlight.fleet.fleet import DeploymentState, Fleet
from pilotlight.policy.ask import Ask


def ask(fleet: Fleet, d: DeploymentState, now: float) -> Ask | None:
    return Ask("warm", 1, inf, f"{d.wanted_up}, and none is up yet") if d.wanted_up else None
