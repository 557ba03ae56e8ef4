"""How many requests of a deployment want to run side by side."""

from pilotlight.fleet.fleet import DeploymentState
from pilotlight.policy import value

UNTIMED = 5.0
"""Seconds that a request is taken to run before one has been timed [G]."""

SHORTEST = 1e-3
"""Seconds that a request is taken to run at the least: who waits is never no load at all."""

TELLING = 1.0
"""Seconds of waiting requests that tell how fast they come [G]."""


def load(d: DeploymentState, now: float) -> float:
    """Requests that want to run side by side: those that do, and of those that wait as many as would if none had
    had to wait, and what it takes to have the others done soon.

    By Little's law a stream of r requests a second, each running for s seconds, has r x s of them running.
    """
    waiting = len(d.held)
    demand = d.demand
    if not waiting or demand is None:
        return d.in_flight + waiting
    since = now - next(iter(d.held.values())).at
    service = UNTIMED if demand.service is None else max(demand.service, SHORTEST)
    if since <= service:
        soon_there = waiting / since * service if since > TELLING else 0.0
        return max(d.in_flight + waiting, soon_there)
    soon = max(service, 0.5 * value.start_seconds(d))
    return d.in_flight + min(waiting, waiting * service * (1 / since + 1 / soon))
