"""The state that the kernel owns. The loop hands it from step to step; everyone else only reads it.

It is updated in place: a step's price must not grow with the number of models. What is summed (requests in
flight, memory taken) is kept as a running sum, and deadlines wait in a heap.
"""

import heapq
from dataclasses import dataclass, field

import msgspec

from pilotlight.fleet.ahead import Ahead, Delays
from pilotlight.fleet.classes import STANDARD
from pilotlight.fleet.demand import Demand, Prices, first_prices
from pilotlight.fleet.deployment import Deployment, Goal, Need
from pilotlight.fleet.forecast import Forecast
from pilotlight.fleet.host import HostState
from pilotlight.fleet.provider import Remote
from pilotlight.fleet.remotes import Bursting, ProviderState
from pilotlight.fleet.replica import NEVER, Replica
from pilotlight.fleet.states import RESTING, SERVING
from pilotlight.fleet.warming import Warming


class Held(msgspec.Struct, frozen=True, gc=False):
    """A request that waits."""

    id: str
    at: float
    keep_alive: float | None = None
    rank: int = STANDARD
    remote: Remote | None = None
    """That it may leave for a provider."""
    tried: tuple[str, ...] = ()
    """Providers that declined it."""


class Stays(msgspec.Struct, frozen=True):
    """What a replica that is put to sleep goes on taking."""

    memory: int
    """Bytes of host memory; may be more than before, for a model that moves there from a device."""
    gpu_memory: int | None
    """Bytes on each of its devices; None when that is not known."""


@dataclass(eq=False, slots=True)
class DeploymentState:
    spec: Deployment
    replicas: dict[str, Replica] = field(default_factory=dict)
    """Those that are not gone, of every fingerprint, oldest first; without warmers."""
    held: dict[str, Held] = field(default_factory=dict)
    """In order of arrival; a bounced request comes first."""
    urgent: dict[str, None] = field(default_factory=dict)
    """Of `held`, those that are critical: they leave before the others."""
    patient: dict[str, Held] = field(default_factory=dict)
    """Batch requests that wait for idle capacity, in order of arrival. Nobody starts a replica for them; past their
    deadline they are among `held`."""
    in_flight: int = 0
    """On all its replicas that are not gone, on others' that stand in, and at providers."""
    away: int = 0
    """Of those, the ones that a stand-in or a provider answers."""
    bursting: Bursting | None = None
    """Where its requests may go to providers."""
    started: int = 0
    """Replicas ever ordered; numbers them."""
    failures: int = 0
    """Starts and crashes in a row without a request served in between."""
    retry_at: float = 0.0
    """No start before this moment."""
    wanted_up: str = ""
    """Why one replica is to come up whoever waits, while it is not up yet: an operator asked for it, a stand-in had to
    answer in its place, or the one before could not sleep. Else empty."""
    resumes: Replica | None = None
    """In the last case that one, whose keep-alive goes on with the next. It takes no room that others want."""
    waiting_since: float = NEVER
    """Since when it has wanted a replica for which there is no room."""
    measured: int = 0
    """The most host memory that one of its replicas was measured to take, in bytes."""
    measured_gpu: int = 0
    """The same on the device where it takes most."""
    sleep_failures: int = 0
    """Times in a row that one of its replicas could not be put to sleep."""
    no_sleep_before: float = 0.0
    """None is put to sleep of itself, or to make room, before this moment."""
    asleep: Stays | None = None
    """The most that one of its replicas was measured to take while it slept."""
    start_took: float | None = None
    """Seconds that starts took of late that used what the latest one used; None when none was seen."""
    starts_took: dict[str, float] = field(default_factory=dict)
    """The same of every set of techniques that one used: their names, joined by `+`."""
    wake_took: float | None = None
    """The same of wakes."""
    uses: float = 0.0
    """Requests, each counting for less the longer ago it came, as of `used_at`."""
    used_at: float = 0.0
    last_reason: str = ""
    """Why the latest start failed or replica died."""
    removed: bool = False
    """No longer declared; its replicas drain and it is forgotten with the last one."""
    timer_at: float = NEVER
    demand: Demand | None = None
    """What is remembered of its traffic, where its policies learn."""
    warming: Warming | None = None
    """Its warmers, where it has, or had, any."""
    ahead: Ahead | None = None
    """What is to be up before anybody asks, where it has a schedule or is predictive."""
    forecast: Forecast | None = None
    """By Unix time; where it is predictive."""
    delays: Delays | None = None
    """Where it has any."""
    floor: int = 0
    """Replicas that are up in any case, whoever says so; `settle_floor` keeps it true."""

    def __post_init__(self) -> None:
        self.settle_floor()

    def settle_floor(self) -> None:
        """After a change of the declaration, the base, or what is to be up ahead."""
        self.reconsider()
        self.floor = max(self.rented, self.ahead.replicas if self.ahead is not None else 0)

    def want_up(self, why: str = "", resumes: Replica | None = None) -> None:
        self.wanted_up, self.resumes = why, resumes

    def reconsider(self) -> None:
        """Who is kept may have changed: each is asked again when it is idle next."""
        for r in self.replicas.values():
            r.rests = 0.0

    @property
    def small(self) -> list[Replica]:
        """Its warmers that are not gone."""
        return [] if self.warming is None else [*self.warming.replicas.values()]

    @property
    def every(self) -> list[Replica]:
        """Its replicas that are not gone, warmers included."""
        return [*self.replicas.values(), *self.small]

    @property
    def has_any(self) -> bool:
        """Whether a replica as declared, or a warmer, serves or will."""
        return bool(self.current()) or any(r.state in SERVING for r in self.small)

    def is_current(self, r: Replica) -> bool:
        """Whether it is as declared."""
        if r.small:
            return self.spec.warmer is not None and r.fingerprint == self.spec.warmer.fingerprint
        return r.fingerprint == self.spec.fingerprint

    @property
    def reserved(self) -> int:
        """Of the floor, those whose place is taken for nobody else: not what is only hoped to be of use."""
        return max(self.spec.min_replicas, self.ahead.scheduled if self.ahead is not None else 0)

    @property
    def rented(self) -> int:
        """Of the floor, those that are always up."""
        rented = (
            self.spec.base
            if self.spec.base is not None
            else self.demand.base
            if self.demand is not None
            else 0
        )
        return max(self.spec.min_replicas, rented)

    def current(self) -> list[Replica]:
        """Replicas that are as declared and serve or will."""
        mark = self.spec.fingerprint
        return [r for r in self.replicas.values() if r.state in SERVING and r.fingerprint == mark]

    def outdated(self) -> list[Replica]:
        """Replicas of an earlier declaration that still take requests, until the new ones are ready."""
        mark = self.spec.fingerprint
        return [r for r in self.replicas.values() if r.state in SERVING and r.fingerprint != mark]

    def resting(self) -> list[Replica]:
        """Replicas that are as declared and sleep or will, most recently used first."""
        mark = self.spec.fingerprint
        found = [r for r in self.replicas.values() if r.state in RESTING and r.fingerprint == mark]
        found.sort(key=lambda r: -r.idle_since)
        return found


class Aside(msgspec.Struct, frozen=True, eq=False):
    """A running request of which more must be known than where it runs, in case it bounces."""

    held: Held
    """As it came."""
    asked: DeploymentState | None = None
    """Whose stand-in answers it."""
    timed: float | None = None
    """Since when it runs, where that is timed for a deployment that learns nothing else."""


class Sent(msgspec.Struct, eq=False):
    """A request, or a ping, that is at a provider."""

    request: str
    provider: str
    at: float
    dearest: float
    """USD set aside for it."""
    hours: int
    """The hour, since 1970, that pays for it; see policy/budget.py."""
    idle: bool
    """It may meet the provider cold."""
    held: Held | None = None
    """As it came; None for a ping."""
    asked: DeploymentState | None = None
    level: int = -1
    """Of the replicas that would have taken it, which, from 0; -1 while it is not only there."""
    expected: float = 0.0
    """USD that were taken to be its price."""
    answered_at: float | None = None
    whole: bool = False
    """Its answer came in one piece."""
    over: bool = False
    """Nobody waits for it any more."""

    @property
    def alone(self) -> bool:
        """Nobody else has it: it is neither held nor assigned beside."""
        return self.level >= 0


@dataclass(eq=False, slots=True)
class Fleet:
    deployments: dict[str, DeploymentState] = field(default_factory=dict)
    replicas: dict[str, Replica] = field(default_factory=dict)
    assigned: dict[str, Replica] = field(default_factory=dict)
    """Where each running request is; the replica may be gone before the request is over."""
    asides: dict[str, Aside] = field(default_factory=dict)
    """Of those, the ones that are critical or batch, that a stand-in answers, or that are timed."""
    sent: dict[str, Sent] = field(default_factory=dict)
    """Requests and pings that are at providers; a hedged one is held, or assigned, beside."""
    providers: dict[str, ProviderState] = field(default_factory=dict)
    spend_known: bool = True
    """What was spent at providers before; while it is not, what has a budget is not asked."""
    holding: dict[str, str] = field(default_factory=dict)
    """The deployment that each held request waits for."""
    hosts: dict[str, HostState] = field(default_factory=dict)
    waiting: dict[str, None] = field(default_factory=dict)
    """Deployments that want room, longest wait first."""
    timers: list[tuple[float, int, str, str]] = field(default_factory=list)
    """Heap of (moment, order, "replica", "deployment", "base", "provider" or "ping", id)."""
    order: int = 0
    wake_at: float = NEVER
    """The Tick that is already asked for."""
    unix: float = 0.0
    """Unix time at second 0 of the controller's clock."""
    goal: Goal = field(default_factory=Goal)
    prices: Prices = field(default_factory=first_prices)
    closing: bool = False

    def timer(self, when: float, kind: str, key: str) -> None:
        self.order += 1
        heapq.heappush(self.timers, (when, self.order, kind, key))

    def need_of(self, d: DeploymentState) -> Need:
        """What its next replica is taken to need: the declaration or estimate, or what was measured if more."""
        if not d.measured and not d.measured_gpu:  # as `known` does, without the call
            return d.spec.need
        return d.spec.need.known(d.measured, d.measured_gpu)

    def small_need_of(self, d: DeploymentState) -> Need:
        """The same of its next warmer."""
        assert d.spec.warmer is not None and d.warming is not None
        return d.spec.warmer.need.known(d.warming.measured, d.warming.measured_gpu)
