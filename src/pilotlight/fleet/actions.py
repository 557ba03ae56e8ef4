"""What the kernel orders. Every action says because."""

import msgspec

from pilotlight.fleet.plan import Plan
from pilotlight.fleet.states import Cause, State


class Assign(msgspec.Struct, frozen=True, gc=False):
    """Send the request to the replica now."""

    request: str
    replica: str
    because: str
    stands_in: str | None = None
    """The replica's deployment, where that is not the one that was asked for."""


class Hold(msgspec.Struct, frozen=True, gc=False):
    """Keep the request; an Assign or a Refuse will follow."""

    request: str
    because: str


class Send(msgspec.Struct, frozen=True, gc=False):
    """Send the request to the provider now. Answered by Answered and Charged, or by Declined."""

    request: str
    provider: str
    because: str
    dearest_usd: float
    """What it can cost at most, which is set aside of the budget until it is over."""
    hedged: bool = False
    """It is held, or assigned, beside it: whoever gives the first token has it, and the other is cancelled."""


class Ping(msgspec.Struct, frozen=True):
    """Send a small request to a provider so that it stays warm. Answered by Answered and Charged, or by Declined."""

    request: str
    provider: str
    deployment: str
    because: str
    dearest_usd: float


class Refuse(msgspec.Struct, frozen=True):
    """Answer the request with an error."""

    request: str
    status: int
    code: str
    because: str
    """The message for the client."""
    retry_after: float | None = None
    replica: str | None = None
    """Whose log explains it."""


class Start(msgspec.Struct, frozen=True):
    """Carry out the plan. Answered by Ready or StartFailed, or after a Stop by Stopped."""

    replica: str
    deployment: str
    host: str
    devices: tuple[int, ...]
    plan: Plan
    """The plain one."""
    because: str
    techniques: tuple[str, ...] = ()
    """Those that may rewrite the plan, where they are at hand."""
    small: bool = False
    """It is the deployment's warmer, with arguments of its own."""


class Stop(msgspec.Struct, frozen=True):
    """End the replica's process and all it started. Answered by Stopped."""

    replica: str
    because: str


class Probe(msgspec.Struct, frozen=True):
    """Ask a suspect replica whether it lives. Answered by Recovered or Died."""

    replica: str
    because: str


class Sleep(msgspec.Struct, frozen=True):
    """Put an idle replica aside. Answered by Slept or SleepFailed."""

    replica: str
    level: int
    because: str


class Wake(msgspec.Struct, frozen=True):
    """Bring back one that is asleep. Answered by Ready, or by Died when it does not come back."""

    replica: str
    because: str


class Trim(msgspec.Struct, frozen=True):
    """Let go of zygotes and primed processes: their memory is needed. Answered by Overhead."""

    host: str
    because: str


class Moved(msgspec.Struct, frozen=True):
    """A replica changed its state; for those who watch."""

    at: float
    """The controller's clock, seconds."""
    replica: str
    deployment: str
    was: State | None
    """None for one that was just ordered."""
    state: State
    cause: Cause | None
    because: str
    small: bool = False
    """It is a warmer."""


class Rented(msgspec.Struct, frozen=True):
    """So many of a deployment's replicas are dedicated from now on: always up, and billed as such."""

    at: float
    deployment: str
    replicas: int
    because: str


class Note(msgspec.Struct, frozen=True):
    """Nothing to do, worth knowing: why a deployment does not get what it wants."""

    deployment: str
    because: str


class WakeAt(msgspec.Struct, frozen=True):
    """Send a Tick at this moment. A later WakeAt with an earlier moment replaces it."""

    at: float
    because: str


Action = (
    Assign
    | Hold
    | Send
    | Ping
    | Refuse
    | Start
    | Stop
    | Probe
    | Sleep
    | Wake
    | Trim
    | Moved
    | Rented
    | Note
    | WakeAt
)
