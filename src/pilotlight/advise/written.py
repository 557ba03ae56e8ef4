"""Figures as sentences and tables have them."""

from pilotlight.advise.played import Played
from pilotlight.units import format_duration, format_fraction

DAY = 86400.0


def usd(x: float) -> str:
    return f"${x:,.0f}" if x >= 100 else f"${x:,.2f}"


def part(x: float | None) -> str:
    """Three digits."""
    return "-" if x is None else format_fraction(float(f"{x:.3g}"))


def time(x: float | None) -> str:
    if x is None:
        return "-"
    return f"{x / DAY:.3g} days" if x >= 2 * DAY else format_duration(x)


def number(x: float) -> str:
    return f"{x:,.4g}" if x < 1e4 else f"{x:,.0f}"


def interval(p: Played) -> str:
    return f"{usd(p.month.low)} to {usd(p.month.high)}" + (", for want of data" if p.short else "")


def figures(p: Played) -> str:
    return (
        f"{usd(p.month_usd)} a month ({interval(p)}), {part(p.cold_rate)} cold "
        f"({part(p.cold.low)} to {part(p.cold.high)}), first token {time(p.result.ttft_p50)} at the median and "
        f"{time(p.result.ttft_p99)} for the slowest of 100"
    )
