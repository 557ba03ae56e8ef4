"""From a configuration to what the kernel decides on."""

from pathlib import Path

from pilotlight.cli.declare import declare
from pilotlight.engines.registry import ENGINES
from pilotlight.fleet.deployment import Host
from pilotlight.spec.model import Config, Model
from pilotlight.weights.cache import WeightCache

MODELS = {"a": Model(source="demo://50m"), "b": Model(source="demo://50m")}


def test_what_starts_usually_take_is_declared(tmp_path: Path) -> None:
    def learned(name: str, model: Model, host: str, kind: str) -> float | None:
        assert model is MODELS[name] and host == "here"
        return {("a", "start"): 3.0, ("a", "wake"): 0.5}.get((name, kind))

    cache = WeightCache(tmp_path)
    found = declare(Config(models=MODELS), ENGINES, cache, Host("here"), 0.0, {}, learned)
    assert [(d.start_seconds, d.wake_seconds) for d in found.deployments] == [(3.0, 0.5), (None, None)]
    found = declare(Config(models=MODELS), ENGINES, cache, Host("here"), 0.0, {})
    assert [(d.start_seconds, d.wake_seconds) for d in found.deployments] == [(None, None)] * 2
