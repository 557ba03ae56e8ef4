"""How a model scales: the keys that may stand under its `scaling:` or directly in the model."""

from typing import Annotated

import msgspec
from msgspec import Meta

from pilotlight.spec.types import (
    Argument,
    Auto,
    Count,
    CronText,
    Duration,
    DurationOrNever,
    Memory,
    Positive,
    PositiveDuration,
    Rate,
    Template,
    Text,
    Variable,
)
from pilotlight.spec.types import doc as _doc
from pilotlight.units import FOREVER


class Window(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"lasts": "for"}):
    """A time that comes again and again, in which replicas are kept ready. It has `until` or `for`."""

    cron: Annotated[
        CronText,
        _doc(
            'When it begins: minute, hour, day of the month, month, day of the week, like `"0 8 * * 1-5"`. '
            "The replicas are ready by then, as far as the time of a start is known."
        ),
    ]
    until: Annotated[CronText | None, _doc("When it ends, written the same way.")] = None
    lasts: Annotated[PositiveDuration | None, _doc("How long it lasts, in place of `until`.")] = None
    timezone: Annotated[Text, _doc("Where these times hold: an IANA name like `Europe/Berlin`.")] = "UTC"
    min_replicas: Annotated[Positive, _doc("Replicas kept up in it.")] = 1


class Warmer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The smaller replica: what it is started with in place of, or over, the model's own."""

    engine_args: Annotated[dict[Text, Argument], _doc("Over the model's own `engine_args`.")] = {}
    env: Annotated[dict[Variable, Template], _doc("Over the model's own `env`.")] = {}
    max_requests: Annotated[
        Positive | None, _doc("Requests in flight in it at most. Default: the model's own.")
    ] = None
    memory: Annotated[Memory | None, _doc("Host memory of it. Default: estimated, then measured.")] = None
    gpus: Annotated[Count | None, _doc("Devices of it. Default: the model's own.")] = None
    gpu_memory: Annotated[
        Memory | None, _doc("Memory it needs on each device. Default: the model's own.")
    ] = None
    below: Annotated[
        Rate | None,
        _doc(
            "The rate of requests, as of the last 15 minutes or so, under which it takes the last replica's place, "
            "like `30/h`. Default: only where that one's `ttl` is over."
        ),
    ] = None


class Scaling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a model scales. Each key may as well stand directly in the model."""

    min_replicas: Annotated[Count, _doc("Replicas kept up always; 0 scales to zero.")] = 0
    max_replicas: Annotated[Positive, _doc("Never more replicas than this.")] = 1
    target_requests: Annotated[
        Positive, _doc("Requests in flight per replica before another replica is started.")
    ] = 4
    max_requests: Annotated[
        Positive | None,
        _doc(
            "Requests in flight per replica at most; further ones are held in order. Default: "
            "`target_requests` for llamacpp, whose slots they are; no limit for command, whose server queues "
            "by itself."
        ),
    ] = None
    ttl: Annotated[
        Auto | DurationOrNever,
        _doc(
            "Idle time before a replica above `min_replicas` goes; 0 at once, -1 never. `auto` learns it: a replica "
            "stays while the chance that a request comes times the price of a cold one exceeds the price of idling. "
            "Ollama's `keep_alive` in a request overrides it."
        ),
    ] = 300.0
    ttl_to_zero: Annotated[
        DurationOrNever | None,
        _doc("Idle time before the last replica goes. Default: `ttl`. Not with `ttl: auto`."),
    ] = None
    sleep_after: Annotated[
        DurationOrNever,
        _doc(
            "Idle time before a replica above `min_replicas` is put to sleep, if its engine can: the process "
            "stays, its memory goes, and it wakes faster than one starts. It still leaves at its `ttl`. -1 never."
        ),
    ] = float("inf")
    sleep_level: Annotated[
        Annotated[int, Meta(ge=1, le=2)],
        _doc("For vllm: 1 keeps the weights in host memory while it sleeps, 2 drops them."),
    ] = 1
    base: Annotated[
        Auto | Count,
        _doc(
            "Always-on replicas, billed at the dedicated price; what exceeds them starts on demand. `auto` sizes it "
            "from the traffic. The larger of it and `min_replicas` is kept."
        ),
    ] = 0
    predictive: Annotated[
        bool, _doc("Whether replicas are started ahead of the traffic that is forecast, where that pays.")
    ] = False
    schedule: Annotated[
        tuple[Window, ...], _doc("Times at which replicas are ready before anyone asks for them.")
    ] = ()
    warmer: Annotated[
        Warmer | None,
        _doc(
            "A smaller replica that stays in place of the last one when traffic is low, and takes the first requests "
            "of the next burst while a full one starts. It counts in neither `min_replicas` nor `max_replicas` and is "
            "evicted before others. `{}` keeps one full replica instead: the only form for `engine: command`. "
            "Default: none."
        ),
    ] = None
    scale_up_delay: Annotated[
        Duration, _doc("How long more replicas must have been asked for before one is started.")
    ] = 0.0
    scale_down_delay: Annotated[
        Duration, _doc("How long fewer replicas must have been asked for before one goes.")
    ] = 0.0
    batch_deadline: Annotated[
        DurationOrNever,
        _doc(
            "How long a request of the class `batch` waits for idle capacity before it counts as standard; -1 for ever."
        ),
    ] = 600.0
    pinned: Annotated[bool, _doc("Never evicted to make room for another model.")] = False

    @property
    def ttl_is_auto(self) -> bool:
        """Whether how long an idle replica stays is learned."""
        return self.ttl == "auto"

    def ttl_for(self, last: bool) -> float:
        """Idle seconds allowed to a replica; `last` when no other would remain. Infinity when it is learned."""
        if last and self.ttl_to_zero is not None:
            return self.ttl_to_zero
        return FOREVER if isinstance(self.ttl, str) else self.ttl
