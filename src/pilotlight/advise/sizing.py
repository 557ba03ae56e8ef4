"""How many replicas each model of a trace keeps busy for how much of the time."""

from collections.abc import Sequence

import msgspec
import numpy as np

from pilotlight.sim import declared
from pilotlight.sim.oracle import evaluated, oracle
from pilotlight.sim.service import first_tokens, service
from pilotlight.sim.starts import StartTimes
from pilotlight.sim.trace import Floats, Trace
from pilotlight.spec.model import Config


class Sizes(msgspec.Struct, frozen=True):
    """By model. Level k of a model is the k-th replica, which is needed while those below it are full."""

    peak: dict[str, int]
    """Replicas at the busiest moment."""
    busy: dict[str, tuple[float, ...]]
    """Of each level the share of the time that it would be paid for on demand, lowest level first."""
    pending: int
    """Requests that can come while a replica starts, and batch requests until their deadline."""
    needed: int
    """Most replicas that are needed at one moment by all models together, at least."""

    def above(self, share: float) -> dict[str, int]:
        """Replicas whose level is needed for more than that share of the time."""
        return {name: sum(s > share for s in levels) for name, levels in self.busy.items()}


def slots(trace: Trace, config: Config) -> list[int]:
    """Of a replica, of each of the trace's models."""
    models = declared.models(config, trace.models)
    return [declared.slots(models[declared.deployment_of(config, m)]) for m in trace.models]


def sizes(trace: Trace, config: Config, starts: StartTimes) -> Sizes:
    given, each = config.simulation, slots(trace, config)
    first = first_tokens(trace, given)
    found = oracle(
        trace,
        start=[starts.mean(m) for m in trace.models],
        slots=each,
        first_token=first,
        per_token=given.per_token,
        dedicated=1.0,
        premium=config.prices.serverless_premium,
        warm_up=given.warm_up,
    )
    since, until = evaluated(trace, given.warm_up)
    hours = max(1e-9, (until - since) / 3600)
    busy: dict[str, list[float]] = {m: [] for m in trace.models}
    for level in found.levels:
        busy[level.model].append(level.gpu_hours / hours)
    longest = max(starts.mean(m) for m in trace.models)
    return Sizes(
        found.peaks,
        {m: tuple(of) for m, of in busy.items()},
        _within(trace.t, 2 * longest + 60) + _patient(trace, config),
        _together(trace, config, each),
    )


def _within(t: Floats, seconds: float) -> int:
    """Most requests in a time of that length."""
    return int((np.searchsorted(t, t + seconds) - np.arange(len(t))).max(initial=0))


def _patient(trace: Trace, config: Config) -> int:
    """Most batch requests that can wait for idle capacity at a time."""
    models = declared.models(config, trace.models)
    deadlines = [models[declared.deployment_of(config, m)].batch_deadline for m in trace.models]
    return _within(trace.t[trace.is_batch], max(deadlines))


def _together(trace: Trace, config: Config, each: Sequence[int]) -> int:
    """Slots in use at the busiest moment, in replicas."""
    share = 1 / np.asarray(each, np.float64)[trace.model]
    ends = trace.t + service(trace, config.simulation)
    t = np.concatenate([trace.t, ends])
    change = np.concatenate([share, -share])
    return max(1, int(np.ceil(np.cumsum(change[np.lexsort((change, t))]).max() - 1e-9)))
