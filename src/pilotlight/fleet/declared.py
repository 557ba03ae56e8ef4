"""From what an operator declared to what the kernel decides on, the same live and simulated."""

import hashlib
import math

import msgspec

from pilotlight.fleet.deployment import Deployment, Goal, Need, Warmer
from pilotlight.fleet.plan import Plan
from pilotlight.fleet.provider import Budget, Burst, KeepWarm, Provider, Tariff
from pilotlight.spec import provider as spec
from pilotlight.spec.diff import fingerprint
from pilotlight.spec.model import Config, Model

MONTH = 730 * 3600.0
"""Seconds: a twelfth of a year of 365 days."""

MILLION = 1e6
"""Tokens that prices are said for."""

IDLE_SHARE = 0.8
"""Of the idle time-out after which a provider is pinged, where nothing else is said."""

BAND = (0.02, 0.05)
"""Of the cold rate, where `objective.cold_rate` is not set and a policy wants one."""


def goal(config: Config) -> Goal:
    """What all deployments together are kept to; prices by the second."""
    objective, prices = config.objective, config.prices
    low, high = objective.cold_rate or BAND
    dedicated = prices.gpu_month_usd / MONTH
    return Goal(
        wait=objective.wait,
        low=low,
        high=high,
        per_model_max=None if objective.per_model_max == 1.0 else objective.per_model_max,  # all may be cold
        cold_usd=objective.cold_request_cost_usd,
        dedicated=dedicated,
        on_demand=dedicated * prices.serverless_premium,
        commitment=prices.commitment,
    )


def deployment(
    name: str,
    model: Model,
    plan: Plan,
    need: Need,
    techniques: tuple[str, ...],
    small_need: Need | None = None,
) -> Deployment:
    """`small_need`: of its warmer; None takes what is declared, and else as much as a full one."""
    return Deployment(
        id=name,
        fingerprint=fingerprint(model),
        plan=plan,
        need=need,
        min_replicas=model.min_replicas,
        max_replicas=model.max_replicas,
        target_requests=model.target_requests,
        slots=model.slots,
        ttl=model.ttl_for(last=False),
        ttl_to_zero=model.ttl_for(last=True),
        startup_timeout=model.startup_timeout,
        drain_timeout=model.drain_timeout,
        max_pending_requests=model.max_pending_requests,
        batch_deadline=model.batch_deadline,
        pinned=model.pinned,
        techniques=techniques,
        sleep_after=model.sleep_after,
        sleep_level=model.sleep_level,
        ttl_is_auto=model.ttl_is_auto,
        schedule=model.schedule,
        predictive=model.predictive,
        scale_up_delay=model.scale_up_delay,
        scale_down_delay=model.scale_down_delay,
        base=None if isinstance(model.base, str) else model.base,
        warmer=_warmer(model, need, small_need),
        burst=_burst(model),
    )


def _burst(model: Model) -> Burst | None:
    """Nothing of a model leaves that may not leave the house, whatever else is said."""
    if model.burst is None or not model.leave_house:
        return None
    said = model.burst
    names = (said.provider,) if isinstance(said.provider, str) else said.provider
    return Burst(tuple(dict.fromkeys(names)), said.when == "cold", said.max_request_usd)


def providers(config: Config) -> tuple[Provider, ...]:
    """All that are declared."""
    return tuple(provider(name, said) for name, said in config.providers.items())


def provider(name: str, said: spec.Provider) -> Provider:
    price, limits = said.price, said.budget
    return Provider(
        id=name,
        fingerprint=_hash((said.base_url, said.key_env, said.models, said.headers)),
        declaration=_hash(said),
        tariff=Tariff(
            price.second_usd,
            price.request_usd,
            price.million_input_usd / MILLION,
            price.million_output_usd / MILLION,
        ),
        budget=Budget(_limit(limits.hour_usd), _limit(limits.day_usd), _limit(limits.month_usd)),
        max_requests=said.max_requests,
        first_token=said.first_token,
        cold_start=said.cold_start,
        idle_timeout=said.idle_timeout,
        max_duration=said.max_duration,
        max_output_tokens=said.max_output_tokens,
        keep_warm=_keep_warm(said),
    )


def _hash(said: object) -> str:
    """For headers may hold what is secret."""
    return hashlib.sha256(msgspec.json.encode(said, order="sorted")).hexdigest()[:16]


def _keep_warm(said: spec.Provider) -> KeepWarm | None:
    keep = said.keep_warm
    if keep is None:
        return None
    every = IDLE_SHARE * said.idle_timeout if keep.every is None else keep.every
    return KeepWarm(keep.model, keep.requests, every)


def _limit(usd: float | None) -> float:
    return math.inf if usd is None else usd


def _warmer(model: Model, need: Need, small_need: Need | None) -> Warmer | None:
    if model.warmer is None:
        return None
    small = model.small()
    if small_need is None:
        memory = need.memory if small.memory is None else small.memory
        gpu = small.gpu_memory if small.gpu_memory is not None or small.gpus != need.gpus else need.gpu_memory
        small_need = msgspec.structs.replace(
            need,
            memory=memory,
            gpus=small.gpus,
            gpu_memory=gpu,
            estimated=small.memory is None,
            gpu_estimated=gpu is not None and small.gpu_memory is None,
        )
    return Warmer(fingerprint(small), small_need, small.slots, model.warmer.below)
