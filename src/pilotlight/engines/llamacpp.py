"""The embedded engine: llama.cpp's own OpenAI-compatible server, from the xllamacpp wheel, in a process of its own.

`n_ctx` is what every single request may use, as people read it. llama.cpp means the context of all its slots
together and divides it, so it is given `n_ctx` times the slots. With `kv_unified: true` it is instead one pool that
the slots share: less memory and a faster start, and requests that fill it together fail.
"""

import functools
import importlib
import importlib.util
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pilotlight
from pilotlight.coldstart import plans
from pilotlight.engines.environment import environment
from pilotlight.errors import EngineError
from pilotlight.fleet.deployment import Need
from pilotlight.fleet.plan import Plan
from pilotlight.ports import Launch, Preload, WeightsInfo
from pilotlight.spec.model import Model

Argument = bool | int | float | str

DEFAULT_CTX = 4096
"""Tokens of context per request when the config does not say, or the training context where that is less: of a
model trained for 128 k, all of it would cost gigabytes and seconds of each start. `n_ctx: 0` asks for all."""

OVERHEAD = 64 * 2**20
"""Bytes beside weights and context: the interpreter, the runtime, compute buffers. Measured as proportional set
size less file and context, after some requests: 42 MB for a 50M model, 33 MB for a 1B one; rounded up, since it is
better to start one replica less than to swap."""

GPU_OVERHEAD = 2**30
"""Bytes of a device beside weights and context: the CUDA context, about 0.5 GB on a data centre's GPU, and compute
buffers, of which the greatest holds 512 tokens' logits: 0.5 GB for a vocabulary of 256 k."""

_ENV: Mapping[str, str] = {
    # Threads that spin at every barrier, libgomp's default, lose a whole time slice to each as soon as anything
    # else wants a core: 10 tokens a second in place of 169 beside one busy process on 2 cores.
    "OMP_WAIT_POLICY": "passive",
    # llama.cpp writes zeros to its whole context when it loads. In pages of 2 MiB, where the system offers them on
    # demand, a start with 50 MB of context takes 17 ms less and one with 256 MB 100 ms less, unless the machine is a
    # virtual one and its host has not given it that memory yet. It costs 13 MB, for heaps grow by 2 MiB too.
    # One arena: else each wake makes new threads, new threads new arenas, and a sleeper keeps 25 MB more for each.
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.arena_max=1",
}
_GUEST = Path(pilotlight.__file__).parent.parent / "pilotlight_guest" / "llamacpp_server.py"

_DEFAULTS: Mapping[str, Argument] = {
    "ui": False,
    # Trying out what fits costs 35 ms of each start, and what fits is pilotlight's to decide.
    "fit_params": False,
    # Beyond the slots' own context llama.cpp would keep up to 8 GiB of old prompts, which no budget has in it.
    "cache_ram_mib": 0,
    # A page that the user's browser has open must not be able to talk to the engine past the gateway and its keys.
    "cors_origins": "http://127.0.0.1",
    # 1 is errors, 2 warnings, 3 several lines for each request.
    "verbosity": 2,
}

_MAPPED = frozenset({0, 1, 30} | ({8} if platform.machine() in ("x86_64", "AMD64") else set()))
"""Types of tensors, as GGUF numbers them, that are computed with as they lie in the file: F32, F16, BF16 and, on x86,
Q8_0. Others llama.cpp rearranges for the processor while it loads (ggml-cpu/repack.cpp); that could be switched off,
by `no_extra_bufts`, and answers would be slower."""
_ALL_TYPES = frozenset(range(256))

_READS_EARLY = (
    "load_mode", "check_tensors", "lazy_mode", "mmproj", "speculative", "tensor_buft_overrides", "moe_cache_size",
)  # fmt: skip
"""Arguments, or their first part, with which tensors may be read while they load."""

_BYTES_PER_NUMBER = {
    "f32": 4.0, "f16": 2.0, "bf16": 2.0, "q8_0": 34 / 32, "q5_1": 24 / 32, "q5_0": 22 / 32, "q4_1": 20 / 32,
    "q4_0": 18 / 32, "iq4_nl": 18 / 32,
}  # fmt: skip
"""Of a quantised context: bytes per block of 32 numbers, from ggml's block structs."""


class LlamaCppEngine:
    name = "llamacpp"

    def plan(self, model: Model) -> Plan:
        """A warm-up only when `engine_args` asks for `warmup`: the first request is one itself, and gets its first
        token no later without."""
        return plans.embedded(warm_up=bool(model.engine_args.get("warmup", False)))

    def techniques(self, model: Model) -> tuple[str, ...]:
        streamed = ("stream",) if _maps(model) else ()
        dumped = ("snapshot",) if _maps(model) or _is_on_its_gpus(model) else ()
        cached = () if _is_read_directly(model) else ("read_ahead", "huge_pages")
        return ("zygote", "warm_pool", *streamed, *dumped, *cached, "sleep")

    def need(self, model: Model, weights: WeightsInfo | None) -> Need:
        memory = _estimate(model, weights) if model.memory is None else model.memory
        gpu_memory = _gpu_estimate(model, weights) if model.gpu_memory is None else model.gpu_memory
        guessed = gpu_memory is not None and model.gpu_memory is None
        return Need(memory, model.gpus, gpu_memory, estimated=model.memory is None, gpu_estimated=guessed)

    def launch(self, model: Model, port: int, devices: tuple[int, ...], config_dir: Path) -> Launch:
        """Raises EngineError when xllamacpp is not installed."""
        return Launch(
            # Without `site`, whose path files cost 10 ms of each start; so the guest is told where xllamacpp is.
            argv=(sys.executable, "-I", "-S", str(_GUEST), _site_folder()),
            env={**_ENV, **environment(model, port, devices)},
            cwd=str(config_dir),
            url="http://127.0.0.1:0",
            health="/health",
            reports=True,
            wants_weights=True,
            preload=_preload({**_ENV, **model.env}),
            streams=_streams(model),
            sleeps="channel",
        )

    def settings(self, model: Model, weights: WeightsInfo | None) -> Mapping[str, Argument]:
        args = {**_DEFAULTS, **model.engine_args}
        slots = _slots(model)
        args["n_parallel"] = slots
        args["n_ctx"] = _context(model, weights) * (1 if args.get("kv_unified") else slots)
        args.setdefault("cache_idle_slots", bool(args["cache_ram_mib"]))
        if "pooling_type" in args:
            args.setdefault("embedding", True)  # without it the server refuses to embed; it still completes
        return args

    def check_args(self, args: Mapping[str, Argument]) -> list[str]:
        """What is wrong with a model's `engine_args`, a sentence each. Imports xllamacpp (0.1 s)."""
        from pilotlight_guest import llamacpp_args  # noqa: PLC0415

        llama: Any = importlib.import_module("xllamacpp")
        return llamacpp_args.apply(llama.CommonParams(), args)


def _maps(model: Model) -> bool:
    """Whether it maps its weights and leaves them in host memory, as it does unless told otherwise."""
    parts = {name.partition(".")[0] for name in model.engine_args}
    return not model.gpus and not model.engine_args.get("n_gpu_layers") and parts.isdisjoint(_READS_EARLY)


def _is_on_its_gpus(model: Model) -> bool:
    """Whether it has GPUs of its own, and nothing has it read its weights otherwise than it does by itself."""
    parts = {name.partition(".")[0] for name in model.engine_args}
    return bool(model.gpus) and parts.isdisjoint(_READS_EARLY)


def _is_read_directly(model: Model) -> bool:
    """Past the page cache."""
    return "direct" in str(model.engine_args.get("load_mode", "")).lower()


def _streams(model: Model) -> frozenset[int]:
    if not _maps(model):
        return frozenset()
    return _ALL_TYPES if model.engine_args.get("no_extra_bufts") is True else _MAPPED


def _estimate(model: Model, weights: WeightsInfo | None) -> int:
    size, numbers = (weights.size, _context_bytes(model, weights)) if weights else (0, 0)
    cache = max(0, _whole(model.engine_args.get("cache_ram_mib"), 0)) * 2**20
    return size + numbers + cache + OVERHEAD


def _gpu_estimate(model: Model, weights: WeightsInfo | None) -> int | None:
    """Bytes on one device, or None, all of it, where the share of one device cannot be told.

    How llama.cpp divides a model between devices follows from what is free on each when it starts, and how much
    of it stays in host memory from many parameters, of which `n_gpu_layers` is the usual one.
    """
    if model.gpus != 1 or weights is None or not weights.k_numbers or "n_gpu_layers" in model.engine_args:
        return None
    return weights.size + _context_bytes(model, weights) + GPU_OVERHEAD


def _context_bytes(model: Model, weights: WeightsInfo) -> int:
    """Bytes of the keys and values of every slot's whole context."""
    tokens = _context(model, weights) * (1 if model.engine_args.get("kv_unified") else _slots(model))
    keys = weights.k_numbers * _number_size(model, "cache_type_k")
    values = weights.v_numbers * _number_size(model, "cache_type_v")
    return int(tokens * (keys + values))


def _number_size(model: Model, name: str) -> float:
    kind = str(model.engine_args.get(name, "f16")).lower().removeprefix("ggml_type_")
    return _BYTES_PER_NUMBER.get(kind, 2.0)


def _slots(model: Model) -> int:
    return max(1, _whole(model.engine_args.get("n_parallel"), model.slots or 1))


def _context(model: Model, weights: WeightsInfo | None) -> int:
    """Tokens per request; 0, which llama.cpp takes as the training context, when nothing is known."""
    trained = weights.n_ctx_train if weights else 0
    asked = _whole(model.engine_args.get("n_ctx"), min(trained or DEFAULT_CTX, DEFAULT_CTX))
    return asked if asked > 0 else trained


def _whole(value: object, default: int) -> int:
    """What is no whole number is left to the guest to refuse."""
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def _preload(env: Mapping[str, str]) -> Preload:
    """Libraries read their environment when they load, so models share a zygote where they agree on it."""
    flags = ("-I", "-S")
    folders = (_site_folder(), str(_GUEST.parent.parent))
    module = "pilotlight_guest.llamacpp_server"
    return Preload(
        "llamacpp",
        (sys.executable, *flags),
        folders,
        module,
        tuple(sorted(env.items())),
        f"xllamacpp {Path(_site_folder()).stat().st_mtime_ns}",  # pip makes and removes folders there
    )


@functools.cache
def _site_folder() -> str:
    spec = importlib.util.find_spec("xllamacpp")
    if spec is None or spec.origin is None:
        raise EngineError("the engine llamacpp needs xllamacpp; install it with: pip install xllamacpp")
    return str(Path(spec.origin).parent.parent)
