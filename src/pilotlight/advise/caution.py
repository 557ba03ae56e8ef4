"""What to be careful of, in plain sentences."""

from collections.abc import Iterator

from pilotlight.advise.advice import Advice
from pilotlight.advise.intervals import ENOUGH_COLD, ENOUGH_DAYS, ENOUGH_REQUESTS
from pilotlight.advise.needs import Inference
from pilotlight.advise.written import DAY, part, time
from pilotlight.sim.trace import Trace


def warnings(a: Advice, trace: Trace) -> Iterator[str]:
    s, first = a.shape, a.recommended
    cold = first.cold_requests
    if s.requests < ENOUGH_REQUESTS:
        yield f"Only {s.requests:,} requests: too few to know a cold rate by; its intervals are wide."
    if s.span_s < ENOUGH_DAYS * DAY:
        yield (
            f"Only {time(s.span_s)} of traffic: no week was seen, so that a month may be unlike it; "
            + (
                "it is too short to say how far costs may be from these, but for what is rented: their intervals "
                "begin at nothing, and end at twice the cost at least."
                if any(p.short for p in a.played)
                else "the intervals are wide."
            )
        )
    if first.cold_rate and cold < ENOUGH_COLD:
        yield f"Only {cold:.0f} cold requests were seen: one more or less changes the cold rate much."
    if first.holds and first.cold.high > a.needs.cold:
        yield (
            f"The cold rate holds as simulated, but {part(first.cold.high)} cannot be excluded with this "
            "much data."
        )
    yield from _prices(a)
    if a.start_time_from == "default":
        yield (
            f"A start is taken to last {time(a.start_time)}, which is a guess: measure yours (`pilotlight "
            "bench`), or give --start-time."
        )
    if a.needs.sessions and trace.session is None:
        yield (
            "The trace names no sessions, so that functions were simulated as if any of them could take "
            "any request."
            if a.needs.inference is Inference.REMOTE
            else "The trace names no sessions: nothing was simulated of which turns find their replica."
        )
    if a.needs.inference is Inference.HERE and a.no_endpoint:
        yield f"No endpoint of others was tried: {a.no_endpoint}."
    if trace.skipped:
        yield f"{trace.skipped:,} rows of the trace could not be read and were left out."
    yield from trace.notes


def _prices(a: Advice) -> Iterator[str]:
    which = f" ({', '.join(a.prices.which)})" if a.prices.which else ""
    if a.prices.examples:
        where = (
            "`prices` in the config" if a.needs.inference is Inference.HERE else "`prices.book` in the config"
        )
        yield f"Prices are examples of {a.prices.date}{which}: set your own before you act on this ({where})."
    for entry in a.prices.used:
        if entry not in a.prices.own:
            yield f"An example price is used: {entry}."


def from_where(a: Advice) -> str:
    """What a text with one figure of money says."""
    return (
        f"prices are examples of {a.prices.date}"
        if a.prices.examples
        else f"prices are those of {a.prices.date}"
    )
