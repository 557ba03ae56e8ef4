"""What is wrong with a configuration that only its engines, or this machine, can say."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from pilotlight.coldstart.techniques import SNAPSHOT
from pilotlight.engines import homes
from pilotlight.engines.registry import engines
from pilotlight.engines.sglang import SglangEngine
from pilotlight.engines.vllm import VllmEngine
from pilotlight.errors import EngineError, Problem
from pilotlight.spec.load import line_of
from pilotlight.spec.model import Config, Gpu, Model
from pilotlight.substrate.inventory import measured_gpus
from pilotlight.worker import cuda_checkpoint


def not_installed(path: Path, config: Config) -> dict[str, Problem]:
    """Engines whose environment is missing or not whole: each once, at the first model that needs it."""
    found: dict[str, Problem] = {}
    for name, model in config.models.items():
        if model.engine in homes.RECIPES and model.engine not in found:
            home = config.engines[model.engine].home if model.engine in config.engines else None
            try:
                homes.find(model.engine, Path(home) if home else None)
            except EngineError as error:
                found[model.engine] = _problem(path, name, "engine", str(error))
    return found


def no_snapshots(config: Config) -> str:
    """Why models that have `snapshot` among their techniques start without; empty when none has, or all can."""
    wanted = [(n, m.gpus) for n, m in config.models.items() if SNAPSHOT.name in (m.techniques or ())]
    found = [(name, why) for name, gpus in wanted if (why := cuda_checkpoint.why_no_snapshots(gpus))]
    names = ", ".join(name for name, _ in found)
    return f"{names}: no snapshots, all else works: {found[0][1]}" if found else ""


def too_few_gpus(path: Path, config: Config, env: Mapping[str, str]) -> list[Problem]:
    """Models that take more GPUs than there are here; the file may well be for another machine. Asks NVML (70 ms) where
    a model takes any."""
    wanted = {name: model.gpus for name, model in config.models.items() if model.gpus}
    if not wanted:
        return []
    seen, said = measured_gpus(env.get("CUDA_VISIBLE_DEVICES")), config.gpus
    there = len(seen) if isinstance(said, str) else sum(isinstance(g, Gpu) or g in seen for g in said)
    text = (
        f"it cannot start on this machine, where there {_counted(there)}; lower it, or list under the file's `gpus` "
        "what NVML does not, such as {id: 0, memory: 24GiB}"
    )
    return [_problem(path, name, "gpus", text) for name, need in wanted.items() if need > there]


def _counted(gpus: int) -> str:
    return {0: "is no GPU", 1: "is 1 GPU"}.get(gpus, f"are {gpus} GPUs")


def wrong_args(path: Path, config: Config) -> list[Problem]:
    """Takes 100 ms when there is a model of llama.cpp, which has to be imported."""
    all_engines = engines(config.engines)
    found: list[Problem] = []
    for name, model in config.models.items():
        engine = all_engines[model.engine]
        ours = isinstance(engine, VllmEngine | SglangEngine)
        said = [*(engine.check(model) if ours else _of_llamacpp(model))]
        found += [_problem(path, name, "engine_args", text) for text in said]
        if model.warmer is not None:
            small = model.small()
            of_warmer = engine.check(small) if ours else _of_llamacpp(small)
            found += [_problem(path, name, "warmer", text) for text in of_warmer if text not in said]
    return found


def _of_llamacpp(model: Model) -> Iterator[str]:
    if model.engine == "llamacpp" and model.engine_args:
        from pilotlight.engines.llamacpp import LlamaCppEngine  # noqa: PLC0415

        yield from LlamaCppEngine().check_args(model.engine_args)


def _problem(path: Path, model: str, key: str, message: str) -> Problem:
    return Problem(str(path), line_of(path, "models", model, key), f"models.{model}.{key}", message)
