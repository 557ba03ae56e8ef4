"""A host as the kernel knows it: what is taken of its memory and of its devices."""

from dataclasses import dataclass, field

from pilotlight.fleet.deployment import Host
from pilotlight.fleet.replica import NEVER


@dataclass(eq=False, slots=True)
class HostState:
    spec: Host
    memory: int = 0
    """Bytes set aside for replicas that are not gone."""
    overhead: int = 0
    """Bytes that zygotes and primed processes take beside them."""
    trimming: bool = False
    """They were told to go, and nobody has said since what they take."""
    trimmed_at: float = -NEVER
    """When they were last told to."""
    kept: int = 0
    """Bytes of them that are known to stay when they are told to go: what was left of them after the last time."""
    devices: dict[int, int] = field(default_factory=dict)
    """Bytes set aside on each device."""
