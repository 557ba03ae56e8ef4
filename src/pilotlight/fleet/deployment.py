"""What the kernel knows of a deployment and of the machine, as values."""

import math

import msgspec

from pilotlight.fleet.plan import Plan
from pilotlight.fleet.provider import Burst
from pilotlight.spec.scaling import Window


class Need(msgspec.Struct, frozen=True):
    """What one replica takes from a host."""

    memory: int = 0
    """Bytes of host memory."""
    gpus: int = 0
    """Devices."""
    gpu_memory: int | None = None
    """Bytes on each device; None takes devices whole."""
    estimated: bool = True
    """Whether `memory` is a guess; False when the operator said so."""
    gpu_estimated: bool = False
    """Whether `gpu_memory` is a guess."""
    exclusive: str | None = None
    """An address that only one process on a host can have."""

    def known(self, measured: int, measured_gpu: int) -> "Need":
        """With what was measured, in bytes of host memory and of a device; 0 where nothing was."""
        if not measured and not measured_gpu:
            return self
        gpu = self.gpu_memory
        if gpu is not None:
            gpu = _known(gpu, measured_gpu, self.gpu_estimated)
        memory = _known(self.memory, measured, self.estimated)
        return msgspec.structs.replace(self, memory=memory, gpu_memory=gpu)


def _known(said: int, measured: int, estimated: bool) -> int:
    """A measurement replaces an estimate, and can only raise what the operator said."""
    return measured if estimated and measured else max(said, measured)


class Warmer(msgspec.Struct, frozen=True):
    """A smaller replica that stays in the place of the last full one while traffic is low."""

    fingerprint: str = ""
    """Of what it is started with; the deployment's own for an engine that cannot be made smaller: then the last full
    one stays."""
    need: Need = Need()
    slots: int | None = None
    """Requests in flight in it at most; None without limit."""
    below: float | None = None
    """Requests a second, as of late, under which it takes the last one's place; None only where that one's keep-alive
    is over."""


class Deployment(msgspec.Struct, frozen=True):
    """Whatever has replicas. Durations in seconds."""

    id: str
    fingerprint: str = ""
    """Changes when running replicas no longer are what is declared."""
    plan: Plan = Plan(())
    need: Need = Need()
    min_replicas: int = 0
    max_replicas: int = 1
    target_requests: int = 4
    slots: int | None = None
    """Requests in flight per replica at most; None without limit."""
    ttl: float = 300.0
    ttl_to_zero: float = 300.0
    startup_timeout: float = 600.0
    drain_timeout: float = 120.0
    max_pending_requests: int = 512
    batch_deadline: float = 600.0
    """How long a request of the class batch waits for idle capacity before it counts as standard."""
    pinned: bool = False
    techniques: tuple[str, ...] = ()
    """What may rewrite its start plan where it is at hand; `sleep` among them when its engine can sleep."""
    sleep_after: float = math.inf
    """Idle time before a replica is put to sleep."""
    sleep_level: int = 1
    ttl_is_auto: bool = False
    """How long it is kept is learned from its traffic, in place of `ttl` and `ttl_to_zero`."""
    base: int | None = 0
    """Replicas that are rented for long and always up; None sizes it from the traffic."""
    schedule: tuple[Window, ...] = ()
    """When replicas are up before anybody asks."""
    predictive: bool = False
    """One is started ahead of the requests that are forecast, where that pays."""
    scale_up_delay: float = 0.0
    """Seconds for which its requests must have asked for more replicas before one is started."""
    scale_down_delay: float = 0.0
    """Seconds for which they must have asked for fewer before one goes."""
    start_seconds: float | None = None
    """How long a start takes, as far as it was known when this was declared."""
    start_techniques: tuple[str, ...] = ()
    """Of such a start: the set of techniques, sorted."""
    wake_seconds: float | None = None
    warmer: Warmer | None = None
    burst: Burst | None = None
    """Where what exceeds its replicas may go."""

    @property
    def learns(self) -> bool:
        """Whether its traffic is remembered for the sake of its policies."""
        return self.ttl_is_auto or self.base is None or self.predictive

    @property
    def can_sleep(self) -> bool:
        return "sleep" in self.techniques


class Device(msgspec.Struct, frozen=True):
    id: int
    memory: int
    """Bytes that replicas may use."""


class Host(msgspec.Struct, frozen=True):
    id: str = "local"
    memory: int = 2**63
    """Bytes that replicas may use."""
    devices: tuple[Device, ...] = ()


class Goal(msgspec.Struct, frozen=True):
    """What all deployments together are to be kept to, and what capacity costs. Money in USD."""

    wait: float = 2.0
    """Seconds; a request is cold that waits longer for a replica."""
    low: float = 0.02
    """Share of cold requests below which less is spent."""
    high: float = 0.05
    """Share of cold requests above which more is spent."""
    per_model_max: float | None = None
    """The same of any one deployment."""
    cold_usd: float | None = None
    """What a cold request costs; None has it follow from the band."""
    dedicated: float = 2500.0 / (730 * 3600)
    """A second of one device that is rented for long."""
    on_demand: float = 2.5 * 2500.0 / (730 * 3600)
    """A second of one device that comes and goes."""
    commitment: float = 3600.0
    """Seconds for which a dedicated device is rented at least."""
