"""From a config and a trace to what the kernel decides on: every model a deployment, on hosts that are simulated."""

from collections.abc import Iterable

import msgspec

from pilotlight.fleet import declared
from pilotlight.fleet.deployment import Deployment, Device, Goal, Host, Need
from pilotlight.fleet.events import Configured
from pilotlight.fleet.plan import Plan
from pilotlight.sim import pool
from pilotlight.sim.starts import WAKE, StartTimes
from pilotlight.spec.model import Config, Model
from pilotlight.units import FOREVER

ENDLESS = 2**62
"""Bytes of a device of dedicated replicas: each is billed by itself, and none is ever short of room."""


def models(config: Config, names: Iterable[str]) -> dict[str, Model]:
    """Those of the config, and those of the trace that it does not declare, as its defaults say."""
    known = {alias for model in config.models.values() for alias in model.aliases}
    found = dict(config.models)
    for name in names:
        if name not in found and name not in known:
            found[name] = config.default_model
    return found


def deployment_of(config: Config, name: str) -> str:
    """The model that a name in a trace means: itself, or the one of which it is an alias."""
    if name in config.models:
        return name
    return next((n for n, model in config.models.items() if name in model.aliases), name)


def configured(
    config: Config, names: Iterable[str], starts: StartTimes, at: float, unix: float = 0.0
) -> Configured:
    """All at zero; `at` is the trace's clock, and `unix` the Unix time at its second 0."""
    kinds = config.simulation.kinds
    found = models(config, names)
    deployments = tuple(_deployment(config, name, model, starts) for name, model in found.items())
    goal, providers = declared.goal(config), declared.providers(config)
    if kinds:
        return Configured(at, deployments, pool.hosts(kinds), _free(goal), unix, providers)
    most = max((m.gpus for model in found.values() for m in (model, model.small())), default=0)
    devices = tuple(Device(i, ENDLESS) for i in range(most)) if most > 1 else ()
    return Configured(at, deployments, (Host("simulated", devices=devices),), goal, unix, providers)


def slots(model: Model) -> int:
    """Requests that a replica takes at once; where its server queues by itself, what more are started for."""
    return model.slots or model.target_requests


def wake_seconds(config: Config, name: str, starts: StartTimes) -> float | None:
    """None: nothing sleeps."""
    said = config.simulation.wake_time
    known = starts.wakes(name) if said is None else said
    return WAKE if known is None and config.simulation.kinds else known


def _deployment(config: Config, name: str, model: Model, starts: StartTimes) -> Deployment:
    kinds = config.simulation.kinds
    need, small = pool.needs(model, kinds) if kinds else map(_dedicated_need, (model, model.small()))
    wakes = wake_seconds(config, name, starts)
    sleeps = wakes is not None and (model.techniques is None or "sleep" in model.techniques)
    d = declared.deployment(name, model, Plan(()), need, ("sleep",) if sleeps else (), small)
    d = msgspec.structs.replace(d, start_seconds=starts.known(name), wake_seconds=wakes)
    return _parked(d, model) if kinds else d


def _dedicated_need(model: Model) -> Need:
    """One device is counted where money is; more are told, for they cost more."""
    return Need(estimated=False) if model.gpus <= 1 else Need(0, model.gpus, 0, estimated=False)


def _free(goal: Goal) -> Goal:
    """The pool is paid for whatever is in it."""
    return msgspec.structs.replace(goal, dedicated=0.0, on_demand=0.0)


def _parked(d: Deployment, model: Model) -> Deployment:
    """Where idling costs nothing, a learned keep-alive is for ever and no base pays: who needs the room takes it."""
    if model.ttl_is_auto:
        d = msgspec.structs.replace(d, ttl=FOREVER, ttl_to_zero=FOREVER, ttl_is_auto=False)
    return d if d.base is not None else msgspec.structs.replace(d, base=0)
