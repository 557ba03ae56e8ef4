"""The warmers of a deployment as the kernel knows them. Moments in the controller's seconds, memory in bytes."""

from dataclasses import dataclass, field

from pilotlight.fleet.replica import Replica


@dataclass(eq=False, slots=True)
class Warming:
    replicas: dict[str, Replica] = field(default_factory=dict)
    """Those that are not gone; more than one only while one takes another's place."""
    wanted: bool = False
    """There is to be one: it has taken, or is to take, the place of the last full one, and was not evicted since."""
    failures: int = 0
    """Starts and crashes in a row without a request served in between."""
    retry_at: float = 0.0
    """No start before this moment."""
    no_room: bool = False
    """It was said that there is no room for one beside the full one."""
    measured: int = 0
    """The most host memory that one was measured to take."""
    measured_gpu: int = 0
    """The same on the device where it takes most."""
