"""From which rate on the recommended one is cheaper than the next, or is no more, by formula, beside what was simulated
at other rates."""

import math
from collections.abc import Iterable, Iterator, Sequence

import msgspec
import numpy as np

from pilotlight.advise.candidates import gpus
from pilotlight.advise.played import Played, always
from pilotlight.advise.written import number
from pilotlight.cost.break_even import BreakEven, requests_per_hour, tokens_per_month, utilisation
from pilotlight.fleet.declared import MONTH

MOST = 3000
"""Requests of the trace's beginning that are simulated at other rates [G]."""
STRETCHES = (8.0, 2.0, 0.5, 0.125)
"""Times as far apart."""
GRID = 40
"""Points of a line."""
DECADE = 10.0
"""The lines go from a tenth of today's rate to ten times it."""

NEGLIGIBLE = 0.001
"""Share of a cost that is rounding [G]."""
LIKE = 0.02
"""Two that pay the same whatever comes, but for so much, have no break-even worth the name [G]."""


class Line(msgspec.Struct, frozen=True):
    tier: str
    points: tuple[tuple[float, float], ...]
    """Requests an hour, USD a month."""
    simulated: tuple[tuple[float, float], ...] = ()


class Even(msgspec.Struct, frozen=True):
    above: str
    """Id of the candidate that is the cheaper at more requests than `value`."""
    below: str
    """Of the one that is at fewer."""
    per_hour: float
    """Requests of this traffic."""
    value: float
    """Requests an hour."""
    formula: str
    with_numbers: str
    explained: tuple[str, ...]
    lines: tuple[Line, ...]


class Traffic(msgspec.Struct, frozen=True):
    per_hour: float
    full: float
    """Requests an hour that one GPU takes which is never idle."""
    tokens: float
    """Of a request, on average."""


class Pair(msgspec.Struct, frozen=True):
    """Two of which one is the cheaper from some rate on."""

    always: Played
    """Pays more whatever comes, and less for each request."""
    by_use: Played


class Cost(msgspec.Struct, frozen=True):
    """As it was simulated on this traffic."""

    hour: float
    """USD of an hour, whatever comes."""
    each: float
    """USD of a request, beside that."""


def cost(p: Played) -> Cost:
    whatever = min(p.month_usd, always(p.candidate, p.result) * MONTH / p.counted)
    beside = p.month_usd - whatever
    if beside < NEGLIGIBLE * p.month_usd:
        beside = 0.0
    requests = p.result.evaluated * MONTH / p.counted
    return Cost(whatever / MONTH * 3600, beside / max(1.0, requests))


def pair(first: Played, others: Iterable[Played]) -> Pair | None:
    """The first, and the first of the others with which it has a break-even."""
    for other in others:
        more, by_use = sorted((first, other), key=lambda p: -cost(p).hour)
        one, two = cost(more), cost(by_use)
        if one.hour - two.hour > LIKE * one.hour and two.each > one.each:
            return Pair(more, by_use)
    return None


def of_two(of: Pair, traffic: Traffic, simulated: tuple[tuple[float, float], ...]) -> Even:
    """`simulated`: requests an hour and USD a month of the one that pays by use."""
    one, two = cost(of.always), cost(of.by_use)
    plain = not one.each and not two.hour
    own = any(k.hour_usd is not None for k in of.always.candidate.config.simulation.kinds)
    if plain and not own and not of.by_use.result.burst_requests:
        return _of_gpus(of, traffic, simulated)
    value = (one.hour - two.hour) / (two.each - one.each)
    numbers = (_difference(one.hour, two.hour), _difference(two.each, one.each))
    rates = _rates(traffic.per_hour, value)
    above, below = of.always.candidate, of.by_use.candidate
    return Even(
        above.id,
        below.id,
        traffic.per_hour,
        value,
        "N = price of an hour of what is always on / price of a request"
        if plain
        else "N = difference of what an hour costs whatever comes / difference of what a request costs beside",
        f"{number(value)}/h = {numbers[0]} / {numbers[1]}",
        (
            f"{below.words}: {_usd(two.each)} a request{_beside(two.hour)}. {above.words}: {_usd(one.hour)} an hour "
            f"whatever comes{', and ' + _usd(one.each) + ' a request' if one.each else ''}. Both as simulated on this "
            "traffic; at other rates a request costs another sum, unless it is paid by the token.",
            *_by_token(of, traffic),
            *_full(of, traffic, value),
        ),
        (
            _line(of.always, traffic, rates),
            msgspec.structs.replace(_line(of.by_use, traffic, rates), simulated=simulated),
        ),
    )


def _difference(a: float, b: float) -> str:
    return f"({_usd(a)} - {_usd(b)})" if b else _usd(a)


def _beside(hour: float) -> str:
    return f", and {_usd(hour)} an hour" if hour else ""


def _usd(x: float) -> str:
    return f"${np.format_float_positional(x, 4, fractional=False, trim='-')}" if x < 1000 else f"${x:,.0f}"


def _by_token(of: Pair, traffic: Traffic) -> Iterator[str]:
    """Where nothing else is paid."""
    r, providers = of.by_use.result, of.by_use.candidate.config.providers
    asked = [providers[name].price for name, paid in r.by_provider.items() if paid.burst_requests]
    each = cost(of.by_use)
    if r.burst_requests < r.evaluated or each.hour or any(p.second_usd or p.request_usd for p in asked):
        return
    million = each.each / max(1.0, traffic.tokens) * 1e6
    tokens = tokens_per_month(cost(of.always).hour * MONTH / 3600, million)
    yield f"By the token: {tokens.formula}: {tokens.with_numbers}, of which {traffic.tokens:,.0f} are a request."


def _full(of: Pair, traffic: Traffic, value: float) -> Iterator[str]:
    """Where what is always on could not do so much."""
    n = rented(of.always)
    if cost(of.always).each or value <= n * traffic.full:
        return
    most = n * traffic.full
    yield (
        f"But {gpus(n)} can take {number(most)} such requests an hour at most, never idle, which makes "
        f"{_usd(cost(of.always).hour / most)} of each: at these prices no rate makes "
        f"{of.always.candidate.id} the cheaper."
    )


def rented(p: Played) -> int:
    """GPUs that are paid for all the time."""
    return max(1, round(p.result.dedicated_gpu_hours * 3600 / p.counted))


def _line(p: Played, traffic: Traffic, rates: Sequence[float]) -> Line:
    found, n = cost(p), rented(p)
    hours = MONTH / 3600
    points = ((r, hours * (found.hour * _needed(n, traffic, r) / n + found.each * r)) for r in rates)
    return Line(p.candidate.tier, tuple(points))


def _needed(n: int, traffic: Traffic, rate: float) -> int:
    """GPUs at another rate, of which this traffic needs `n`: more only once those are full."""
    if rate <= traffic.per_hour:
        return max(1, math.ceil(n * rate / traffic.per_hour))
    return max(n, math.ceil(rate / traffic.full))


def _of_gpus(of: Pair, traffic: Traffic, simulated: tuple[tuple[float, float], ...]) -> Even:
    """By the billed seconds that a request of this traffic was simulated to take on demand."""
    serverless, dedicated = of.by_use, of.always
    prices = serverless.candidate.config.prices
    billed = serverless.result.gpu_hours * 3600 / max(1, serverless.result.evaluated)
    n = rented(dedicated)
    one = requests_per_hour(prices.serverless_premium, max(billed, 1e-9))
    share = utilisation(prices.serverless_premium)
    rates = _rates(traffic.per_hour, one.value * n)
    return Even(
        dedicated.id,
        serverless.id,
        traffic.per_hour,
        one.value * n,
        one.formula + (f", for each of {n} GPUs" if n > 1 else ""),
        _numbers(one, n),
        (
            f"At {serverless.candidate.words} a request of this traffic makes {billed:.3g} GPU "
            "seconds billed, its share "
            "of starts and idling included; at other rates it is another number, as the simulated points show.",
            "One replica on demand costs more than a dedicated GPU when it is billed for more than "
            f"{share.with_numbers} "
            f"of the time ({share.formula}); here it was billed for "
            f"{100 * serverless.result.gpu_hours * 3600 / serverless.counted / n:.3g} % of {gpus(n)}.",
        ),
        (
            _line(dedicated, traffic, rates),
            msgspec.structs.replace(_line(serverless, traffic, rates), simulated=simulated),
        ),
    )


def of_cpus(per_hour: float, by_use: Played, always: Played, machines: int) -> Even:
    """Of a function, and of machines that are always on."""
    requests = by_use.result.evaluated / by_use.counted * MONTH
    each = by_use.month_usd / max(1.0, requests)
    hour = always.month_usd / MONTH * 3600
    value = hour / each if each else math.inf
    rates = _rates(per_hour, value)
    steps = tuple(
        (r, always.month_usd / machines * max(1, math.ceil(machines * r / per_hour))) for r in rates
    )
    line = tuple((r, each * r * MONTH / 3600) for r in rates)
    return Even(
        always.id,
        by_use.id,
        per_hour,
        value,
        "N = price of an hour of the machines / price of a request",
        f"{number(value)}/h = ${hour:,.4g} / ${each:.3g}",
        (
            f"A request costs ${each:.3g} at {by_use.candidate.words}, its share of billed starts included; "
            f"{always.candidate.words} cost ${hour:,.4g} an hour.",
        ),
        (Line(always.candidate.tier, steps), Line(by_use.candidate.tier, line)),
    )


def _numbers(one: BreakEven, n: int) -> str:
    return one.with_numbers if n == 1 else f"{number(one.value * n)}/h = {n} x ({one.with_numbers})"


def _rates(per_hour: float, value: float) -> Sequence[float]:
    """Around the traffic, and as far as the break-even, where that is not much farther."""
    low = min(per_hour / DECADE, max(value / 2, per_hour / DECADE**3))
    high = max(per_hour * DECADE, min(value * 2, per_hour * DECADE**3))
    return np.geomspace(low, high, GRID).tolist()
