"""From what an operator declared to what the kernel decides on."""

import logging
from collections.abc import Callable, Iterator, Mapping

import msgspec

from pilotlight.coldstart.learned import Row
from pilotlight.coldstart.techniques import chosen
from pilotlight.errors import SourceError
from pilotlight.fleet.declared import deployment, goal, providers
from pilotlight.fleet.deployment import Deployment, Host, Need
from pilotlight.fleet.events import Configured
from pilotlight.ports import Engine, WeightsInfo
from pilotlight.spec.diff import fingerprint
from pilotlight.spec.model import Config, Model
from pilotlight.weights.cache import WeightCache
from pilotlight.worker.describe import describe

log = logging.getLogger(__name__)


Known = dict[tuple[str, str], Need]
"""What was found out about a model, by its name and fingerprint."""

Learned = Callable[[str, Model, str, str], Row | None]
"""What is known of the usual `start` or `wake` of a model on a host, by name, model, host and kind."""


def declare(
    config: Config,
    engines: Mapping[str, Engine],
    weights: WeightCache,
    host: Host,
    at: float,
    known: Known,
    learned: Learned = lambda name, model, host, kind: None,
    unix: float = 0.0,
) -> Configured:
    """Every model as a deployment, with what one replica is thought to need until it has been measured.

    `unix`: Unix time at second 0 of the clock that `at` is of.
    """
    found: list[Deployment] = []
    for name, model in config.models.items():
        engine = engines[model.engine]
        need, small = (_need(name, m, engine, weights, known) for m in (model, model.small()))
        d = deployment(name, model, engine.plan(model), need, _techniques(model, engine), small)
        start, wake = (learned(name, model, host.id, kind) for kind in ("start", "wake"))
        found.append(
            msgspec.structs.replace(
                d,
                start_seconds=None if start is None else start.whole.mean,
                start_techniques=() if start is None else start.key.techniques,
                wake_seconds=None if wake is None else wake.whole.mean,
            )
        )
    return Configured(at, tuple(found), (host,), goal(config), unix, providers(config))


def _need(name: str, model: Model, engine: Engine, weights: WeightCache, known: Known) -> Need:
    need = known.get((name, fingerprint(model)))
    return engine.need(model, _size(weights, model)) if need is None else need


def _techniques(model: Model, engine: Engine) -> tuple[str, ...]:
    return chosen(engine.techniques(model), model.techniques)


def refined(
    config: Config, engines: Mapping[str, Engine], weights: WeightCache, known: Known
) -> Iterator[tuple[str, Need, bool]]:
    """Better estimates, from the headers of the weights that are here, of each model and of its warmer (True). Reads
    files: up to 0.2 s each; for a thread."""
    for name, model, small in _each(config):
        key = (name, fingerprint(model))
        if model.source is None or key in known:
            continue
        try:
            path = weights.local(model.source)
            if path is None:
                continue
            known[key] = engines[model.engine].need(model, describe(path))
        except (SourceError, OSError) as e:
            # Its start will fail and say so to whoever asks; the other models must not suffer for it.
            log.warning("%s: %s", name, e)
        else:
            yield name, known[key], small


def _each(config: Config) -> Iterator[tuple[str, Model, bool]]:
    for name, model in config.models.items():
        yield name, model, False
        if model.warmer is not None:
            yield name, model.small(), True


def _size(weights: WeightCache, model: Model) -> WeightsInfo | None:
    """What can be said at once."""
    size = weights.size_hint(model.source) if model.source else None
    return None if size is None else WeightsInfo(size)
