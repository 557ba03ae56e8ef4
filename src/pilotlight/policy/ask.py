"""What a policy asks for, in words."""

import msgspec


class Ask(msgspec.Struct, frozen=True):
    policy: str
    replicas: int
    until: float
    """The controller's second from which it may ask for something else by itself; infinite where nothing but an event
    changes it."""
    because: str
