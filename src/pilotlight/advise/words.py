"""Why, in plain sentences, and what a config is headed with."""

from collections.abc import Iterator
from textwrap import wrap

import msgspec

from pilotlight.advise import caution, reason, terms
from pilotlight.advise.advice import Advice
from pilotlight.advise.candidates import Tier
from pilotlight.advise.fitting import SESSIONS
from pilotlight.advise.leaving import some
from pilotlight.advise.needs import Inference
from pilotlight.advise.played import ALIKE, LOST, Played
from pilotlight.advise.sensitivity import PRICE, PROVIDER, START
from pilotlight.advise.written import figures, number, part, time, usd
from pilotlight.sim.trace import Trace

MORE_KEPT = 0.01
"""By how much more turns another setting keeps before it is worth a word [G]."""


def told(a: Advice, trace: Trace, own: bool) -> Advice:
    """With all that is said of it; `own`: its config is an operator's."""
    return msgspec.structs.replace(
        a,
        why=(*why(a), *terms.why(a, trace)),
        warnings=tuple(caution.warnings(a, trace)),
        config=header(a, own) + a.recommended.candidate.text,
    )


def why(a: Advice) -> Iterator[str]:
    yield _traffic(a)
    yield _choice(a)
    first = a.recommended
    if a.runner_up is not None:
        yield (
            f"The runner-up, {a.runner_up.candidate.words} ({a.runner_up.candidate.tier}): "
            f"{figures(a.runner_up)}."
        )
        yield from _sure(first, a.runner_up)
    if a.today is not None and a.today is not first:
        yield f"Today's: {figures(a.today)}; {_saves(a.today, first)}."
    yield from reason.of_tier(a)
    yield from reason.of_wait(a)
    yield from _sessions(a)
    yield from _stays(a)
    yield from _unasked(a)


def _traffic(a: Advice) -> str:
    s = a.shape
    burst = f"the busiest minute has {s.peak_over_mean:.3g} times the average"
    at_once = (
        f"It takes the slots of {s.busy:.3g} replicas on average."
        if a.needs.inference is Inference.HERE
        else f"On average {s.running:.3g} requests run at a time."
    )
    return (
        f"The traffic is {s.word}: {s.requests:,} requests in {time(s.span_s)}, {number(s.per_hour)} an hour; {burst}. "
        f"{at_once}"
    )


def _choice(a: Advice) -> str:
    """By which rule of played.best it is the recommended one."""
    first, limit, alike = a.recommended, _limit(a), part(ALIKE - 1)
    what, found = first.candidate.words, figures(first)
    if not first.holds:
        shorter = " A shorter start would do more than any setting." if first.cold_rate > a.needs.cold else ""
        return (
            f"None of {len(a.played)} settings holds {limit}; {what}, is the cheapest of those with the lowest cold "
            f"rate, to {alike}: {found}.{shorter}"
        )
    cheapest = min((p for p in a.played if p.holds), key=lambda p: p.month_usd)
    dearer = first.month_usd > cheapest.month_usd
    if first.candidate.tier is Tier.TODAY:
        less = f"for less by more than {alike}" if dearer else "for less"
        return f"Keep what you have: nothing that was simulated holds {limit} {less}: {found}."
    rule = "the cheapest that holds"
    if dearer:
        most = "one that keeps most sessions where they are" if first.kept > cheapest.kept else "simplest"
        rule = (
            f"the {most}, and of one tier that with the fewest cold requests, of those that cost at most {alike} "
            f"more than the cheapest ({cheapest.candidate.words}, {usd(cheapest.month_usd)}) and hold"
        )
    return f"Of {len(a.played)} settings that were simulated on this traffic, {what}, is {rule} {limit}: {found}."


def _limit(a: Advice) -> str:
    """What a setting that is advised has to hold."""
    each = a.recommended.candidate.config.objective.per_model_max
    limits = [f"a cold rate not above {part(a.needs.cold)} (first token after {time(a.needs.wait)})"]
    if each is not None:
        limits.append(f"no model's above {part(each)}")
    if any(p.result.unserved > LOST * p.result.requests for p in a.played):
        limits.append(f"not more than {part(LOST)} of the requests unanswered")
    return " and ".join(limits)


def _sure(first: Played, second: Played) -> Iterator[str]:
    if first.short or second.short:
        yield "How far apart their costs are is not to be told from so short a time."
    elif first.holds == second.holds and first.month.high > second.month.low:
        yield "Their costs are not told apart by this much data: the intervals overlap."


def _saves(today: Played, first: Played) -> str:
    saved = today.month_usd - first.month_usd
    if saved >= 0:
        return f"the recommended one saves {usd(saved)} a month"
    what = "for fewer cold requests" if first.cold_rate < today.cold_rate else "and holds what is asked for"
    return f"the recommended one costs {usd(-saved)} a month more, {what}"


def _sessions(a: Advice) -> Iterator[str]:
    if not a.needs.sessions:
        return
    if any(p.candidate.trace == SESSIONS for p in a.played):
        yield (
            "Sessions were simulated with instances of their own for functions: the session id of "
            "the first answer has to "
            "be on every later request, or each of them starts cold. What must outlive an instance "
            "belongs in a store."
        )
    elif a.needs.inference is Inference.HERE:
        yield from _kept(a)
        yield (
            "A turn of a session that finds another replica is answered all the same, once its whole prompt is read "
            "again: that time is not reckoned here, so that turns kept decide only between what costs the same. "
            "Requests are routed without regard to sessions. State that must not be lost belongs in a store, not in "
            "a replica."
        )


def _kept(a: Advice) -> Iterator[str]:
    share, turns = a.recommended.result.turns_kept, a.recommended.result.session_turns
    if share is None or turns is None:
        return
    yield (
        f"Of {turns:,} turns that go on with a session {part(share)} reach the replica of the turn before, awake ever "
        "since: only there can be cached what it computed."
    )
    most = max(a.played, key=lambda p: (p.result.turns_kept or 0.0, -p.month_usd))
    best = most.result.turns_kept or 0.0
    if best > share + MORE_KEPT:
        yield f"The most would be {part(best)}, with {most.candidate.words}, for {usd(most.month_usd)} a month."


def _stays(a: Advice) -> Iterator[str]:
    tried = {c.what for c in a.changes}
    for what in (PRICE, PROVIDER, START):
        if what not in tried:
            continue
        turns = [f for f in a.flips if f.what == what]
        if not turns:
            yield f"It stays the best of the finalists with {what} x0.5 to x2."
        for f in turns:
            yield f"With {what} between x{f.after:g} and x{f.by:g} the answer turns to {f.to}."


def _unasked(a: Advice) -> Iterator[str]:
    rest = [name for name in a.kept if name not in a.awake]
    if not rest:
        return
    pool = any(p.candidate.config.simulation.hosts is not None for p in a.played)
    yield (
        f"Nobody asks for {some(rest)} in this traffic: what the config says of them stays, and "
        f"what they cost is in no figure{', but that they share the GPUs of a pool' if pool else ''}."
    )


def header(a: Advice, own: bool) -> str:
    """Comments over the config."""
    prices = caution.from_where(a)
    lines = [
        f"{a.recommended.candidate.tier}: {a.recommended.candidate.words}",
        f"simulated on {a.trace}: {figures(a.recommended)}",
        f"at {usd(a.prices.gpu_month_usd)} a GPU month and {a.prices.premium:g} times that on demand; {prices}"
        if a.needs.inference is Inference.HERE
        else "it was simulated as a pilotlight config; on a platform of functions set the same there",
    ]
    if a.needs.inference is Inference.REMOTE:
        lines.append(prices)
    if not own:
        lines.append("put your own `source` (or `cmd`) in: what stands there is a placeholder")
    return "".join(f"# {row}\n" for line in lines for row in wrap(line, 100))
