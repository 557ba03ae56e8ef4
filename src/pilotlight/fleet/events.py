"""What can happen. `at` is the controller's clock, seconds."""

import msgspec

from pilotlight.fleet.classes import STANDARD
from pilotlight.fleet.deployment import Deployment, Goal, Host, Need
from pilotlight.fleet.plan import Stage
from pilotlight.fleet.provider import Provider, Remote


class Arrived(msgspec.Struct, frozen=True, gc=False):
    """A request for a deployment, authenticated and parsed."""

    at: float
    request: str
    deployment: str
    keep_alive: float | None = None
    """Seconds the replica shall stay after it, in place of its ttl."""
    rank: int = STANDARD
    """Of its class; see fleet/classes.py."""
    stand_in: str | None = None
    """The deployment that may answer it while its own has no replica up; None when none may."""
    remote: Remote | None = None
    """That it may go to a provider; None when nothing of it may leave the house."""


class Finished(msgspec.Struct, frozen=True, gc=False):
    """A request is over, served or not, held or running: done, failed, or its client left."""

    at: float
    request: str
    ok: bool = True
    """The engine answered it in full."""


class Bounced(msgspec.Struct, frozen=True, gc=False):
    """A request did not reach its replica, or got no byte from it, and may be sent to another."""

    at: float
    request: str
    remote: Remote | None = None
    """As it was said of it when it arrived."""


class Answered(msgspec.Struct, frozen=True):
    """The first byte of a provider's answer is there."""

    at: float
    request: str
    provider: str
    whole: bool = False
    """It came in one piece, after its last token."""
    tokens: int | None = None
    """Then, how many it has; None where that is not known."""


class Declined(msgspec.Struct, frozen=True):
    """A provider gave no byte of an answer, and the request may be sent elsewhere; or a ping failed. What it owes is
    told here: no Charged follows."""

    at: float
    request: str
    provider: str
    kind: str
    """`busy` (429, 503: it asks to be left alone), `unreachable`, `timeout`, `error` (5xx, nonsense), `denied` (401,
    403: its key is no good), `kept` (it may leave the house no more: nothing was sent, nor may be)."""
    reason: str
    """For people: what was seen."""
    retry_after: float | None = None
    """Seconds that it asks to be left alone for."""
    usd: float = 0.0
    """What it costs all the same."""


class Charged(msgspec.Struct, frozen=True):
    """A provider's part in a request, or a ping, is over: answered, cut, or cancelled because another was faster."""

    at: float
    request: str
    provider: str
    usd: float
    ok: bool = True
    """It did what it was asked for, as far as it was let."""
    reason: str = ""
    """What was wrong, when it did not."""


class Spent(msgspec.Struct, frozen=True):
    """What was spent at a provider before this server came up."""

    at: float
    provider: str
    hours: tuple[tuple[int, float], ...]
    """Hours since 1970 (UTC), and USD in each, of this month and the last day."""


class SpendKnown(msgspec.Struct, frozen=True):
    """Whether every Spent of earlier servers has been told; so it is taken to be where nothing is said."""

    at: float
    known: bool


class Progressed(msgspec.Struct, frozen=True):
    """A step of a start plan has begun."""

    at: float
    replica: str
    stage: Stage


class Ready(msgspec.Struct, frozen=True):
    """It can answer: started, or woken."""

    at: float
    replica: str
    fetched: float = 0.0
    """Seconds that its start waited for what the next will find on this machine's disk: its weights, compiled code."""
    techniques: tuple[str, ...] = ()
    """Those that its start used."""


class StartFailed(msgspec.Struct, frozen=True):
    """The plan ended before the replica was ready, and its process is gone."""

    at: float
    replica: str
    reason: str


class Failing(msgspec.Struct, frozen=True):
    """A replica's own process has ended, or it was given up: nothing reaches it any more, and what it started is
    still being cleared up. Died or Stopped follows."""

    at: float
    replica: str
    reason: str


class Slept(msgspec.Struct, frozen=True):
    """It is asleep, and this is what it was measured to take still, in bytes."""

    at: float
    replica: str
    memory: int
    gpu_memory: int | None = None
    """On the device where it takes most."""


class SleepFailed(msgspec.Struct, frozen=True):
    """It could not be put to sleep, or gave nothing back."""

    at: float
    replica: str
    reason: str


class SleepAsked(msgspec.Struct, frozen=True):
    """An operator wants a deployment's idle replicas asleep."""

    at: float
    deployment: str
    level: int | None = None


class Overhead(msgspec.Struct, frozen=True):
    """What zygotes and primed processes take of a host, in bytes of its memory."""

    at: float
    host: str
    memory: int


class Died(msgspec.Struct, frozen=True):
    """A replica that was up is gone without having been told, or is hung and was killed."""

    at: float
    replica: str
    reason: str


class Recovered(msgspec.Struct, frozen=True):
    """A suspect replica answered a probe."""

    at: float
    replica: str


class Stopped(msgspec.Struct, frozen=True):
    """A replica that was told to stop is gone, with everything it started."""

    at: float
    replica: str


class Measured(msgspec.Struct, frozen=True):
    """What a replica really takes."""

    at: float
    replica: str
    memory: int
    """Bytes of host memory (proportional set size)."""
    gpu_memory: int | None = None
    """Bytes on the device where it takes most."""


class Sized(msgspec.Struct, frozen=True):
    """A better estimate, now that the weights are here."""

    at: float
    deployment: str
    need: Need
    small: bool = False
    """Of its warmer."""


class Configured(msgspec.Struct, frozen=True):
    """What is declared, whole: at start and at every reload."""

    at: float
    deployments: tuple[Deployment, ...]
    hosts: tuple[Host, ...]
    goal: Goal = Goal()
    unix: float = 0.0
    """Unix time at second 0 of the controller's clock, for schedules and rhythms of the day."""
    providers: tuple[Provider, ...] = ()


class ClockSet(msgspec.Struct, frozen=True):
    """The wall clock was set: Unix time at second 0 of the controller's clock is another now."""

    at: float
    unix: float


class WarmAsked(msgspec.Struct, frozen=True):
    """An operator wants a replica up before anybody asks."""

    at: float
    deployment: str


class StopAsked(msgspec.Struct, frozen=True):
    """An operator wants a deployment's replicas to go."""

    at: float
    deployment: str


class ShutDown(msgspec.Struct, frozen=True):
    """The server is leaving: no new requests, replicas drain and go."""

    at: float


class Tick(msgspec.Struct, frozen=True):
    """A moment asked for by WakeAt has come."""

    at: float


Event = (
    Arrived
    | Finished
    | Bounced
    | Answered
    | Declined
    | Charged
    | Spent
    | SpendKnown
    | Progressed
    | Ready
    | StartFailed
    | Failing
    | Died
    | Slept
    | SleepFailed
    | SleepAsked
    | Overhead
    | Recovered
    | Stopped
    | Measured
    | Sized
    | Configured
    | ClockSet
    | WarmAsked
    | StopAsked
    | ShutDown
    | Tick
)
