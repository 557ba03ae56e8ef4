"""What is remembered for the sake of being up in time, and of not starting and stopping too often."""

import msgspec

NEVER = float("inf")


class Ahead(msgspec.Struct, eq=False):
    """Replicas of a deployment that are to be up whether anybody asks or not. Moments are the controller's."""

    scheduled: int = 0
    """By the window of its schedule that is in force."""
    until: float = NEVER
    """When that changes."""
    look_at: float = -NEVER
    """The moment in the heap at which it is looked whether it does."""
    hoped: int = 0
    """Because of the requests that are forecast."""
    hoped_at: float = -NEVER
    """When that was decided."""
    hoped_until: float = -NEVER
    hope_at: float = -NEVER
    """The moment in the heap at which it is looked whether to hope."""
    expected: float = 0.0
    """Requests that were forecast then."""
    chance: float = 0.0
    """Of one, as it was forecast then."""
    promised: float = 0.0
    """Sum of such chances, older ones counting for less, and how often one came."""
    kept: float = 0.0

    @property
    def replicas(self) -> int:
        return max(self.scheduled, self.hoped)


class Since(msgspec.Struct, frozen=True):
    since: float
    wish: int
    """Replicas."""


class Delays(msgspec.Struct, eq=False):
    """How many replicas a deployment's requests are granted, a delay behind what they ask for."""

    granted: int = 0
    more: list[Since] = []
    """Since when so many, or more, have been asked for; ascending, all above what is granted."""
    fewer: list[Since] = []
    """Since when so few, or fewer, have; descending, all below it."""
    look_at: float = -NEVER
    """The moment in the heap at which it is looked whether what is granted changes."""
    fell: bool = False
    """What is granted has become less, and nobody has looked yet who may go."""
