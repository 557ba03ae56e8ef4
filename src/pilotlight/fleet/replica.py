"""A replica as the kernel knows it. Moments in the controller's seconds, memory in bytes."""

from dataclasses import dataclass

from pilotlight.fleet.deployment import Need
from pilotlight.fleet.plan import Stage
from pilotlight.fleet.states import RESTING, State

NEVER = float("inf")


@dataclass(eq=False, slots=True)
class Replica:
    id: str
    deployment: str
    fingerprint: str
    state: State
    since: float
    """When it entered its state."""
    host: str
    devices: tuple[int, ...]
    memory: int
    """Bytes of host memory set aside for it: the estimate, or what was measured if that is more."""
    gpu_memory: tuple[int, ...]
    """Bytes set aside on each of `devices`."""
    ordered_at: float
    """When its start, or its latest wake, was ordered."""
    exclusive: str | None = None
    """The address that nobody else can have before it is gone."""
    ready_at: float = NEVER
    """When it came up of that; NEVER while it has not."""
    woken: bool = False
    """Its latest coming up is, or was, a wake."""
    awake: Need | None = None
    """While it sleeps: what must be set aside for it again before it is woken."""
    put_aside: bool = False
    """An operator had it put to sleep."""
    in_flight: int = 0
    served: int = 0
    idle_since: float = NEVER
    """When its last request finished; NEVER while it is busy or starting."""
    keep_alive: float | None = None
    """Set by its latest request, in place of ttl."""
    stage: Stage | None = None
    drain_by: float = NEVER
    """When a draining replica is stopped all the same."""
    timer_at: float = NEVER
    """The earliest moment in the heap at which this replica is looked at."""
    rests: float = 0.0
    """Idle seconds after which it was to be looked at, when that was last thought about."""
    measured: bool = False
    small: bool = False
    """It is a warmer."""

    @property
    def is_put_aside(self) -> bool:
        """It sleeps because an operator wants it: it counts towards min_replicas and is not woken for their sake."""
        return self.put_aside and self.state in RESTING

    @property
    def start_seconds(self) -> float:
        """How long its start, or its latest wake, took; 0 while unknown."""
        return self.ready_at - self.ordered_at if self.ready_at != NEVER else 0.0
