"""From a configuration to what the kernel decides on."""

from pathlib import Path

from pilotlight.cli.declare import declare, refined
from pilotlight.coldstart.learned import Key, Mean, Row, Who
from pilotlight.engines.registry import ENGINES
from pilotlight.fleet.deployment import Host
from pilotlight.spec.diff import fingerprint
from pilotlight.spec.model import Config, Model, Warmer
from pilotlight.weights.cache import WeightCache

MODELS = {"a": Model(source="demo://50m"), "b": Model(source="demo://50m")}


def test_what_starts_usually_take_is_declared(tmp_path: Path) -> None:
    def learned(name: str, model: Model, host: str, kind: str) -> Row | None:
        assert model is MODELS[name] and host == "here"
        seconds = {("a", "start"): 3.0, ("a", "wake"): 0.5}.get((name, kind))
        if seconds is None:
            return None
        key = Key(Who(name, "f", "llamacpp"), host, ("zygote",) if kind == "start" else (), kind)
        return Row(key, 1, 0.0, Mean(seconds, 0.0), {})

    cache = WeightCache(tmp_path)
    found = declare(Config(models=MODELS), ENGINES, cache, Host("here"), 0.0, {}, learned)
    assert [(d.start_seconds, d.wake_seconds) for d in found.deployments] == [(3.0, 0.5), (None, None)]
    assert [d.start_techniques for d in found.deployments] == [("zygote",), ()]
    found = declare(Config(models=MODELS), ENGINES, cache, Host("here"), 0.0, {})
    assert [(d.start_seconds, d.wake_seconds) for d in found.deployments] == [(None, None)] * 2


def test_a_warmer_is_declared_with_what_it_takes_itself(tmp_path: Path) -> None:
    warmer = Warmer({"n_ctx": 128}, max_requests=1, below=0.01)
    model = Model(
        source="demo://50m", memory=2**31, target_requests=4, engine_args={"n_ctx": 4096}, warmer=warmer
    )
    cache = WeightCache(tmp_path)
    cache.fetch("demo://50m")
    config, known = Config(models={"a": model}), {}
    found = {small: need for _, need, small in refined(config, ENGINES, cache, known)}
    assert found[False].memory == 2**31 and not found[False].estimated
    assert found[True].memory < 2**28 and found[True].estimated
    (d,) = declare(config, ENGINES, cache, Host("here"), 0.0, known).deployments
    assert d.warmer is not None and d.warmer.need == found[True] and d.need == found[False]
    assert (d.warmer.slots, d.warmer.below) == (1, 0.01)
    assert d.warmer.fingerprint == fingerprint(model.small()) != d.fingerprint


def test_a_warmer_that_says_nothing_smaller_is_the_model_itself(tmp_path: Path) -> None:
    config = Config(models={"c": Model(engine="command", cmd="serve ${PORT}", warmer=Warmer())})
    (d,) = declare(config, ENGINES, WeightCache(tmp_path), Host("here"), 0.0, {}).deployments
    assert d.warmer is not None and d.warmer.fingerprint == d.fingerprint and d.warmer.need == d.need
