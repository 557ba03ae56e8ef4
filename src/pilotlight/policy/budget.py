"""What may be spent at a provider, by the hour, the day and the month of the calendar (UTC): a hard stop.

A request is sent only if what is spent, what is set aside for requests in flight and what it can cost itself, all at
their dearest, fit within every limit. What it costs in the end is charged to the hour in which it was sent: against
that hour's limit it was counted, so no clock that is set meanwhile can bring an hour above it.
"""

from math import floor, inf, isfinite

from pilotlight.fleet.fleet import Fleet, Sent
from pilotlight.fleet.provider import Budget, Provider, Remote
from pilotlight.fleet.remotes import ProviderState, Spend

KEPT = 64
"""Buckets of each kind that are remembered, those used last [G]: a clock that is set to and fro finds them again."""

HOUR, DAY = 3600.0, 24
"""Seconds of an hour, hours of a day."""


def hour(fleet: Fleet, now: float) -> int:
    """Of the calendar, since 1970."""
    return floor((fleet.unix + now) / HOUR)


def month(hours: int) -> int:
    """Months since January 1970 of an hour since 1970, by the Gregorian calendar.

    As in Hinnant's `civil_from_days` (2013), which counts years from March so that the leap day is the last.
    """
    days = hours // DAY + 719468
    era, day = divmod(days, 146097)
    year = (day - day // 1460 + day // 36524 - day // 146096) // 365
    day -= 365 * year + year // 4 - year // 100
    from_march = (5 * day + 2) // 153
    return 12 * (year + 400 * era - 1970) + from_march + 2


def dearest(spec: Provider, remote: Remote) -> float:
    """USD that a request can cost at most."""
    output = max(spec.max_output_tokens, remote.choices)
    if remote.output_tokens is not None:
        output = remote.output_tokens
    return spec.tariff.usd(spec.max_duration, remote.input_tokens, output)


def fits(fleet: Fleet, p: ProviderState, usd: float, now: float) -> bool:
    return isfinite(usd) and usd <= left(fleet, p, now)


def left(fleet: Fleet, p: ProviderState, now: float) -> float:
    """USD that may be set aside now; below 0 where a reload has lowered a limit."""
    limits, s, h = p.spec.budget, p.spend, hour(fleet, now)
    if limits == UNLIMITED:
        return limits.hour
    if not fleet.spend_known:
        return -inf
    spent = (
        limits.hour - s.hours.get(h, 0.0),
        limits.day - s.days.get(h // DAY, 0.0),
        limits.month - s.months.get(month(h), 0.0),
    )
    return min(spent) - s.set_aside


UNLIMITED = Budget()


def next_hour(fleet: Fleet, now: float) -> float:
    """When another hour of the calendar begins."""
    return now + (hour(fleet, now) + 1) * HOUR - (fleet.unix + now)


def set_aside(p: ProviderState, sent: Sent) -> None:
    p.spend.set_aside += sent.dearest
    p.in_flight += 1


def settle(p: ProviderState, sent: Sent, usd: float) -> float:
    """What was set aside is free again, and this is spent. What is no sum of money counts at its dearest.

    Returns what was charged.
    """
    p.in_flight -= 1
    # Without any in flight the sum begins anew, so that roundings do not add up.
    p.spend.set_aside = p.spend.set_aside - sent.dearest if p.in_flight else 0.0
    charged = usd if isfinite(usd) and usd >= 0.0 else sent.dearest
    charge(p.spend, sent.hours, charged)
    return charged


def charge(s: Spend, hours: int, usd: float) -> None:
    for buckets, index in ((s.hours, hours), (s.days, hours // DAY), (s.months, month(hours))):
        buckets[index] = buckets.pop(index, 0.0) + usd
        if len(buckets) > KEPT:
            del buckets[next(iter(buckets))]


def spent(fleet: Fleet, p: ProviderState, now: float) -> tuple[float, float, float]:
    """USD in this hour, day and month."""
    s, h = p.spend, hour(fleet, now)
    return s.hours.get(h, 0.0), s.days.get(h // DAY, 0.0), s.months.get(month(h), 0.0)
