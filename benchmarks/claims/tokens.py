"""Dedicated GPUs against prices per token."""

from collections.abc import Iterator

from claim import REFUTED, Claim

from pilotlight.cost.break_even import tokens_per_month
from pilotlight.sim.defaults import default_config

CHEAP = 0.88
"""USD for a million tokens of a 70B model, a list price of 2025 [R]."""
GPUS = 2
"""That a 70B model takes at the least, with 80 GB each."""


def claims() -> Iterator[Claim]:
    month = default_config().prices.gpu_month_usd * GPUS
    low, high = month / 100, month / 50
    even = tokens_per_month(month, CHEAP).value / 1e9
    yield Claim(
        "dedicated against per-token prices",
        "for a 70B model dedicated is cheaper above 50-100M tokens a month",
        "article",
        f"{GPUS} GPUs are ${month:,.0f} a month. 50-100M tokens for that are ${low:.0f}-{high:.0f} per million; at "
        f"${CHEAP} per million they are {even:.1f}B tokens a month, before asking whether two GPUs can "
        "make so many.",
        REFUTED,
        "computed",
    )
