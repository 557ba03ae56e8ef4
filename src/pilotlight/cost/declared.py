"""What an operator's configuration says of money, in the ledger's terms."""

from pilotlight.cost.capacity import Devices, Price
from pilotlight.fleet.declared import goal
from pilotlight.spec.model import Config, Model
from pilotlight.spec.simulation import Prices

EXAMPLES_OF = "2026-06-30"
"""The day of the examples that stand where no price is set; the shipped book's."""


def price(config: Config) -> Price:
    wanted = goal(config)
    return Price(wanted.dedicated, wanted.on_demand, wanted.commitment)


def devices(model: Model) -> Devices:
    """A replica without a GPU counts as one device: it takes a machine's place all the same, and what that costs is
    for the operator to say in `prices.gpu_month_usd`."""
    return Devices(max(1, model.gpus), max(1, model.small().gpus))


def slots(model: Model) -> int:
    """Requests that a replica takes at once; where its server queues by itself, what more are started for."""
    return model.slots or model.target_requests


def examples(prices: Prices) -> tuple[str, ...]:
    """The prices that are still as shipped, in words."""
    plain = Prices()
    said = (
        ("gpu_month_usd", f"gpu_month_usd ${prices.gpu_month_usd:,.0f}"),
        ("serverless_premium", f"serverless_premium {prices.serverless_premium:g}"),
    )
    return tuple(text for key, text in said if getattr(prices, key) == getattr(plain, key))


def said(prices: Prices) -> str:
    """What every output with money in it says; empty where all prices are the operator's own."""
    found = examples(prices)
    if not found:
        return ""
    return f"prices are examples of {EXAMPLES_OF} until you set your own under `prices`: {', '.join(found)}"
