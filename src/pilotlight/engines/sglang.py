"""SGLang: its own server in its own environment, started anew each time. Not run by us: there was no GPU to run it on.

`source` and `engine_args` are as for vllm, with the flags of `python -m sglang.launch_server`; it has no `--no-` forms,
so false leaves a flag out.
"""

from collections.abc import Mapping
from pathlib import Path

from pilotlight.coldstart import plans
from pilotlight.engines import homes
from pilotlight.engines.environment import environment
from pilotlight.fleet.deployment import Need
from pilotlight.fleet.plan import Plan
from pilotlight.ports import Launch, WeightsInfo
from pilotlight.spec.model import Model
from pilotlight_guest import vllm_args

HOST_MEMORY = 4 * 2**30
"""[G] Bytes of host memory."""
RESERVED = ("model", "model_path", "host", "port", "served_model_name", "api_key", "revision", "nnodes")


class SglangEngine:
    name = "sglang"

    def __init__(self, home: Path | None = None) -> None:
        self._home = home

    def plan(self, model: Model) -> Plan:
        return plans.command()

    def techniques(self, model: Model) -> tuple[str, ...]:
        return ()

    def need(self, model: Model, weights: WeightsInfo | None) -> Need:
        guess = HOST_MEMORY + (weights.size if weights else 0)
        memory = guess if model.memory is None else model.memory
        return Need(memory, model.gpus, model.gpu_memory, estimated=model.memory is None)

    def launch(self, model: Model, port: int, devices: tuple[int, ...], config_dir: Path) -> Launch:
        """Raises EngineError when it is not installed."""
        python = homes.find(self.name, self._home).python
        words = ["--model-path", (model.source or "").removeprefix("hf://")]
        words += ["--host", "127.0.0.1", "--port", str(port), *self._flags(model)]
        return Launch(
            argv=(python, "-I", "-m", "sglang.launch_server", *words),
            env=environment(model, port, devices),
            cwd=str(config_dir),
            url=f"http://127.0.0.1:{port}",
            health="/health",
        )

    def settings(self, model: Model, weights: WeightsInfo | None) -> Mapping[str, bool | int | float | str]:
        return {}

    def check(self, model: Model) -> list[str]:
        """What is wrong with a model's `engine_args`, a sentence each."""
        names = (name for name in model.engine_args if vllm_args.plain(name) in RESERVED)
        return [f"engine_arg {name!r} is set by pilotlight; leave it out" for name in names]

    def _flags(self, model: Model) -> list[str]:
        given = {
            vllm_args.plain(name): value for name, value in model.engine_args.items() if value is not False
        }
        defaults = {"tp_size": model.gpus} if model.gpus > 1 and "tp_size" not in given else {}
        return vllm_args.flags({**defaults, **given})
