"""What others read off the fleet. Changes nothing."""

from collections.abc import Collection
from typing import Any

from pilotlight.fleet.fleet import NEVER, Fleet, Replica
from pilotlight.fleet.states import UP


def ready_at(fleet: Fleet, replica: str) -> float | None:
    """When it came up; None when it has not, or is gone."""
    r = fleet.replicas.get(replica)
    return None if r is None or r.ready_at == NEVER else r.ready_at


def woken(fleet: Fleet, replica: str) -> bool:
    """Whether what made it ready was a wake."""
    r = fleet.replicas.get(replica)
    return r is not None and r.woken


def is_up(fleet: Fleet, deployment: str) -> bool:
    """Whether any replica of it is up."""
    d = fleet.deployments.get(deployment)
    return d is not None and any(r.state in UP for r in d.every)


def room(fleet: Fleet, devices: Collection[int] = ()) -> int:
    """Bytes of host memory that nothing is reserved for, where most are and nothing is on these devices."""
    hosts = (h for h in fleet.hosts.values() if not any(h.devices.get(device) for device in devices))
    return max((h.spec.memory - h.memory - h.overhead for h in hosts), default=0)


def held(fleet: Fleet) -> dict[str, int]:
    """Requests that wait, by deployment."""
    return {
        name: len(d.held) + len(d.patient) for name, d in fleet.deployments.items() if d.held or d.patient
    }


def waiting_for_room(fleet: Fleet, now: float) -> dict[str, float]:
    """Seconds that deployments have waited for a place for a replica."""
    return {name: round(now - fleet.deployments[name].waiting_since, 3) for name in fleet.waiting}


def states(fleet: Fleet, deployment: str) -> dict[str, int]:
    """How many of its replicas are in each state."""
    found = [r.state.value for r in fleet.deployments[deployment].every]
    return {state: found.count(state) for state in found}


def row(fleet: Fleet, r: Replica, now: float, leaves_at: float) -> dict[str, Any]:
    """A replica as GET /running shows it; `leaves_at`: when it goes if nobody asks."""
    d = fleet.deployments[r.deployment]
    there = len(d.current()) + len(d.resting())  # one that sleeps leaves at its ttl, too
    kept = r.small or there <= d.floor or leaves_at == float("inf")
    return {
        "model": r.deployment,
        "replica": r.id,
        "state": r.state.value,
        "warmer": r.small,
        "stage": None if r.stage is None else r.stage.value,
        "since_s": round(now - r.since, 3),
        "age_s": round(now - r.ordered_at, 3),
        "memory_bytes": r.memory,
        "devices": list(r.devices),
        "in_flight": r.in_flight,
        "served": r.served,
        "idle_left_s": None if kept else round(max(0.0, leaves_at - now), 1),
    }
