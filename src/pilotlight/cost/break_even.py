"""From how much traffic on a dedicated device is cheaper than one that is billed by use, with the numbers put in."""

import math

import msgspec


class BreakEven(msgspec.Struct, frozen=True):
    """Above `value` the dedicated device is cheaper."""

    value: float
    """Infinite where it never is."""
    unit: str
    formula: str
    """In words."""
    with_numbers: str
    """The same, with what was put in and what came out."""


def requests_per_hour(premium: float, billed_seconds: float) -> BreakEven:
    """N = 3600 / (premium x billed seconds per request).

    An hour of the dedicated device costs 3600 dedicated seconds; a request costs premium x its billed seconds of them.
    Billed seconds are all that a request makes the seller bill: its start and idle time among them where it has its
    own, its share of a second where several run at once. Both are positive; ValueError if not.
    """
    if premium <= 0 or billed_seconds <= 0:
        raise ValueError("the premium and the billed seconds of a request must be above 0")
    n = 3600 / (premium * billed_seconds)
    return BreakEven(
        n,
        "requests/h",
        "N = 3600 / (premium x billed seconds per request)",
        f"{_short(n)}/h = 3600 / ({_short(premium)} x {_short(billed_seconds)} s)",
    )


def utilisation(premium: float) -> BreakEven:
    """1 / premium, as a share of the time that is billed, not of the time that is worked: with starts and idle time
    billed too, it is reached sooner than the work alone says."""
    if premium <= 0:
        raise ValueError("the premium must be above 0")
    share = min(1.0, 1 / premium)
    return BreakEven(
        1 / premium if premium >= 1 else math.inf,
        "share of the time that is billed",
        "u = 1 / premium",
        f"{share * 100:.3g} % = 1 / {_short(premium)}"
        if premium >= 1
        else f"never: on demand costs {_short(premium)} of dedicated",
    )


def tokens_per_month(month_usd: float, million_usd: float) -> BreakEven:
    """M = price of a month / price of a token. Says nothing of whether one device can make so many in a month."""
    if month_usd <= 0 or million_usd <= 0:
        raise ValueError("both prices must be above 0")
    millions = month_usd / million_usd
    return BreakEven(
        millions * 1e6,
        "tokens/month",
        "M = dedicated price of a month / price of a token",
        f"{_short(millions)} million tokens/month = ${_short(month_usd)} / (${_short(million_usd)} per million)",
    )


def _short(x: float) -> str:
    return f"{x:,.4g}" if x < 1e4 else f"{x:,.0f}"
