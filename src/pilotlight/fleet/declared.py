"""From what an operator declared to what the kernel decides on, the same live and simulated."""

from pilotlight.fleet.deployment import Deployment, Goal, Need
from pilotlight.fleet.plan import Plan
from pilotlight.spec.diff import fingerprint
from pilotlight.spec.model import Config, Model

MONTH = 730 * 3600.0
"""Seconds: a twelfth of a year of 365 days."""

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
        per_model_max=objective.per_model_max,
        cold_usd=objective.cold_request_cost_usd,
        dedicated=dedicated,
        on_demand=dedicated * prices.serverless_premium,
        commitment=prices.commitment,
    )


def deployment(name: str, model: Model, plan: Plan, need: Need, techniques: tuple[str, ...]) -> Deployment:
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
        pinned=model.pinned,
        techniques=techniques,
        sleep_after=model.sleep_after,
        sleep_level=model.sleep_level,
        ttl_is_auto=model.ttl_is_auto,
        base=None if isinstance(model.base, str) else model.base,
    )
