"""The engines by the names that a config uses."""

from collections.abc import Mapping
from pathlib import Path

from pilotlight.engines.command import CommandEngine
from pilotlight.engines.llamacpp import LlamaCppEngine
from pilotlight.engines.sglang import SglangEngine
from pilotlight.engines.vllm import VllmEngine
from pilotlight.ports import Engine
from pilotlight.spec.model import EngineSettings

NOTHING_SAID: Mapping[str, EngineSettings] = {}


def engines(
    said: Mapping[str, EngineSettings] = NOTHING_SAID, cache: Path | None = None
) -> dict[str, Engine]:
    """With the environments that a config names, and what they compile kept under `cache`."""
    homes = {name: Path(settings.home) for name, settings in said.items() if settings.home is not None}
    all_of_them: tuple[Engine, ...] = (
        LlamaCppEngine(),
        VllmEngine("vllm", homes.get("vllm"), cache),
        VllmEngine("vllm-cpu", homes.get("vllm-cpu"), cache),
        SglangEngine(homes.get("sglang")),
        CommandEngine(),
    )
    return {engine.name: engine for engine in all_of_them}


ENGINES: Mapping[str, Engine] = engines()
