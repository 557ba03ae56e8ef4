"""Configs and traffic that several claims are tried with."""

from collections.abc import Sequence

import msgspec
import numpy as np

from pilotlight.sim import traffic
from pilotlight.sim.defaults import default_config
from pilotlight.sim.result import Result
from pilotlight.sim.simulate import simulate
from pilotlight.sim.starts import constant
from pilotlight.sim.trace import Trace
from pilotlight.spec.model import Config

STARTS = (5.0, 40.0)
"""Seconds of a cold start: a small model near at hand, a large one from afar."""


def config(**changed: object) -> Config:
    """The default config with other defaults for its models."""
    plain = default_config()
    model = msgspec.structs.replace(plain.default_model, **changed)
    return msgspec.structs.replace(plain, default_model=model)


def on_demand(ttl: float, **changed: object) -> Config:
    """A fixed keep-alive and nothing that is rented."""
    return config(ttl=ttl, base=0, **changed)


def run(trace: Trace, config: Config, start: float) -> Result:
    return simulate(trace, config, constant(start))


def synthetic() -> list[Trace]:
    """Three shapes of thin traffic of one model, where scaling to zero matters: ten requests an hour for two weeks."""
    hours, rate = 14 * 24.0, 10 / 3600
    return [
        traffic.poisson(rate, hours * 3600, name="poisson"),
        traffic.bursty(rate, hours * 3600, cv=4.0, name="bursty"),
        traffic.daily(rate, hours * 3600, name="daily"),
    ]


def joined(name: str, parts: Sequence[Trace]) -> Trace:
    """Traffic of one model from several."""
    t = np.concatenate([p.t for p in parts])
    order = np.argsort(t, kind="stable")
    columns = (
        np.concatenate([getattr(p, c) for p in parts])[order] for c in ("prompt_tokens", "output_tokens")
    )
    return Trace(name, ["model-1"], t[order], np.zeros(len(t), np.int32), *columns)


def spike(at: float, ramp: float, lasts: float, rate: float, tokens: int, seed: int) -> Trace:
    """Requests whose rate rises in `ramp` seconds to `rate` a second, stays for `lasts`, and falls as it rose; each
    with so many tokens of answer."""
    dice = np.random.Generator(np.random.PCG64(seed))
    whole = lasts + 2 * ramp
    t = dice.random(dice.poisson(rate * whole)) * whole
    height = np.minimum(1.0, np.minimum(t, whole - t) / ramp)
    t = np.sort(t[dice.random(len(t)) < height]) + at
    n = len(t)
    return Trace("spike", ["model-1"], t, *(np.full(n, k, np.int32) for k in (0, 400, tokens)))


def steady(rate: float, seconds: float, tokens: int, seed: int) -> Trace:
    """Poisson arrivals of one model, `rate` a second, each with so many tokens of answer."""
    dice = np.random.Generator(np.random.PCG64(seed))
    t = np.sort(dice.random(dice.poisson(rate * seconds)) * seconds)
    return Trace("steady", ["model-1"], t, *(np.full(len(t), k, np.int32) for k in (0, 400, tokens)))


def percent(x: float | None) -> str:
    return "-" if x is None else f"{100 * x:.3g} %"
