"""A critical request waits behind no batch request: where those run in every slot, another replica is up for it.

Neither `target_requests` nor a delay counts for that; `max_replicas` does, and what runs is never broken off.
"""

from itertools import islice
from math import inf

from pilotlight.fleet.classes import BATCH
from pilotlight.fleet.fleet import DeploymentState, Fleet
from pilotlight.policy.ask import Ask


def replicas(fleet: Fleet, d: DeploymentState) -> int:
    """With a slot for what runs, and for each critical request that waits where a batch request runs; 0 where none
    does."""
    behind = _behind(fleet, d) if d.urgent and d.spec.slots is not None else 0
    if not behind or d.spec.slots is None:
        return 0
    return -(-(sum(r.in_flight for r in d.current()) + behind) // d.spec.slots)


def _behind(fleet: Fleet, d: DeploymentState) -> int:
    """Critical requests that would run if batch requests did not."""
    running = (fleet.assigned[request] for request, aside in fleet.asides.items() if aside.held.rank == BATCH)
    mine = (r for r in running if r.deployment == d.spec.id)
    return sum(1 for _ in islice(mine, len(d.urgent)))


def ask(fleet: Fleet, d: DeploymentState, now: float) -> Ask | None:
    n = replicas(fleet, d)
    return Ask("classes", n, inf, f"{len(d.urgent)} critical wait, and batch requests run") if n else None
