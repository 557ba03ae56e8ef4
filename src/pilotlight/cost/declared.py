"""What an operator's configuration says of money, in the ledger's terms."""

import msgspec

from pilotlight.cost.capacity import Devices, Price
from pilotlight.fleet.declared import goal
from pilotlight.spec.model import Config, Model
from pilotlight.spec.simulation import Example, Prices
from pilotlight.units import format_duration

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


class Told(msgspec.Struct, frozen=True):
    """What every output with money in it says of its prices."""

    gpu_month_usd: float
    serverless_premium: float
    date: str | None
    """The day of the examples among them; None where all are the operator's own."""
    examples: str
    """In a sentence; empty where there is none."""


def told(prices: Prices) -> Told:
    found = examples(prices)
    return Told(
        float(prices.gpu_month_usd),
        float(prices.serverless_premium),
        EXAMPLES_OF if found else None,
        f"prices are examples of {EXAMPLES_OF} until you set your own under `prices`: {', '.join(found)}"
        if found
        else "",
    )


def examples(prices: Prices) -> tuple[str, ...]:
    """The prices that nobody has set, and the time that one rents for, in words."""
    every = (
        (prices.gpu_month_usd, f"gpu_month_usd ${prices.gpu_month_usd:,.0f}"),
        (prices.serverless_premium, f"serverless_premium {prices.serverless_premium:g}"),
        (prices.commitment, f"commitment {format_duration(prices.commitment)}"),
    )
    return tuple(text for price, text in every if isinstance(price, Example))


OWN = "prices are your own"


def said(examples: str) -> str:
    """The same for people, who are told either way."""
    return examples or OWN
