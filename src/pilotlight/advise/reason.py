"""What decided for the tier that is recommended, by the figures of it and of the runner-up."""

from collections.abc import Iterator

from pilotlight.advise.advice import Advice
from pilotlight.advise.candidates import Tier, gpus
from pilotlight.advise.even import rented
from pilotlight.advise.needs import Latency
from pilotlight.advise.played import ALIKE, CENT, Played, best
from pilotlight.advise.written import number, part, time, usd
from pilotlight.fleet.declared import MONTH


def of_tier(a: Advice) -> Iterator[str]:
    if a.runner_up is not None:
        yield _decided(a, a.recommended, a.runner_up)
    yield from _mechanism(a)


def _decided(a: Advice, first: Played, second: Played) -> str:
    is_other = first.candidate.tier is not second.candidate.tier
    one, two = ((p.candidate.tier if is_other else p.candidate.words) for p in (first, second))
    return (
        f"What decided for {one} and against {two}: {usd(first.month_usd)} a month and {part(first.cold_rate)} cold "
        f"beside {usd(second.month_usd)} and {part(second.cold_rate)}; {_difference(a, first, second)}."
    )


def _difference(a: Advice, first: Played, second: Played) -> str:
    less = second.month_usd - first.month_usd
    if first.holds and not second.holds:
        if second.cold_rate > a.needs.cold:
            return f"of the second more than {part(a.needs.cold)} are cold"
        return "the second does not hold what is asked for"
    if not first.holds and first.cold_rate * ALIKE < second.cold_rate:
        return "neither holds, and fewer are cold"
    if less > CENT and second.month_usd > first.month_usd * ALIKE:
        return f"it costs {usd(less)} less"
    if first.kept > second.kept:
        return f"they cost the same, to {part(ALIKE - 1)}, and it keeps more sessions where they are"
    return f"they cost the same, to {part(ALIKE - 1)}, and it is the simpler one"


def _mechanism(a: Advice) -> Iterator[str]:
    """How its tier came to its cost."""
    first = a.recommended
    match first.candidate.tier:
        case Tier.DEDICATED:
            yield from _on_demand(a, rented(first))
        case Tier.SERVERLESS:
            known = [p for p in a.played if p.candidate.tier is Tier.DEDICATED]
            yield f"It was {_billed(a, first, rented(best(known)) if known else 1)}."
        case Tier.HYBRID:
            yield from _hybrid(a)
        case Tier.POOL:
            yield (
                f"{a.shape.models:,} models share {gpus(round(first.candidate.setting))}, and one that sleeps wakes "
                "faster than it starts. This needs an engine that can put models to sleep."
            )
        case Tier.PROVIDER | Tier.BURST:
            n, everything = first.result.burst_requests, max(1, first.result.evaluated)
            yield (
                f"{part(n / everything)} of the requests are answered by a provider, for "
                f"{usd(first.result.burst_usd * MONTH / first.counted)} a month."
            )
        case Tier.FUNCTION:
            yield (
                "It is paid for what it works: a machine would wait for requests of which on average "
                f"{number(a.shape.running)} run at a time."
            )
        case Tier.MANAGED | Tier.CONTAINER:
            yield (
                f"On average {number(a.shape.running)} requests run at a time, and while one waits for its model "
                "another one computes: a machine has slots for both, a function bills both."
            )
        case _:
            return


def _on_demand(a: Advice, n: int) -> Iterator[str]:
    known = [p for p in a.played if p.candidate.tier is Tier.SERVERLESS]
    if known:
        other = best(known)
        yield f"On demand ({other.candidate.words}) it would be {_billed(a, other, n)}."


def _billed(a: Advice, p: Played, n: int) -> str:
    """`n`: GPUs that would be rented in its place; those of models that are rented in both, as stand-ins may be, do
    not count."""
    seconds = p.result.gpu_hours * 3600 / p.counted
    both = p.result.dedicated_gpu_hours * 3600 / p.counted
    n, seconds = max(1, n - round(both)), seconds - both
    hours, share, premium = seconds * MONTH / 3600, seconds / n, a.prices.premium
    return (
        f"billed for {number(hours)} GPU hours a month, starts and idling included: {part(share)} of the time of "
        f"{gpus(n)}, {'less' if share * premium < 1 else 'more'} than the 1 / {premium:g} = {part(1 / premium)} up to "
        f"which {premium:g} times the price is the cheaper"
    )


def _hybrid(a: Advice) -> Iterator[str]:
    r, premium = a.recommended.result, a.prices.premium
    yield (
        f"{part(r.dedicated_gpu_hours / max(r.gpu_hours, 1e-9))} of its GPU hours are at the dedicated price: what is "
        f"needed for more than 1 / {premium:g} = {part(1 / premium)} of the time is rented, and peaks pay {premium:g} "
        "times that only while they last."
    )


def of_wait(a: Advice) -> Iterator[str]:
    """What waiting less is paid with."""
    cheapest = min(a.played, key=lambda p: p.month_usd)
    if cheapest.cold_rate <= a.needs.cold or cheapest.id == a.recommended.id:
        if a.needs.latency is Latency.BATCH:
            yield f"Nobody waits for the answers, so that starts do not matter below {time(a.needs.wait)}."
        return
    yield (
        f"The wait is what costs: {cheapest.candidate.words}, would be {usd(cheapest.month_usd)} a month with "
        f"{part(cheapest.cold_rate)} of the requests cold."
    )
