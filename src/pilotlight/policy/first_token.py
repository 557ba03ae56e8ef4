"""How soon a provider gives its first token: learned from its answers, those that met it cold apart from the others.

Nobody says whether an answer was a cold one. One that took longer than half-way from what is known of a warm one to
what is known of a cold one is taken to have been. An answer in one piece does not say when its first token came.
What its tokens took is taken off it.
"""

from pilotlight.fleet.fleet import Sent
from pilotlight.fleet.remotes import ProviderState

WEIGHT = 0.2
"""Of the latest answer in each of the means [G]."""

LEAST = 1.0
"""Seconds by which a cold answer is later at least than a warm one, where no cold one is known or declared [G]."""

ANEW = 3600.0
"""Seconds without traffic after which one that was found cold before may be another one [G]."""

TIMES = 3.0
"""And so many times as late [G]."""


def warm(p: ProviderState) -> float:
    known = p.first_token.warm
    return p.spec.first_token if known is None else known


def cold(p: ProviderState) -> float:
    """Seconds that a cold answer is later than a warm one."""
    known = p.first_token.cold
    return p.spec.cold_start if known is None else known


def is_idle(p: ProviderState, now: float) -> bool:
    """Whether it may have gone cold: it is asked for the first time, or after a time without traffic."""
    return not p.in_flight and now - p.used_at >= p.spec.idle_timeout


def promise(p: ProviderState, now: float) -> float:
    """Seconds to the first token of a request that is sent now, as is expected."""
    seconds, f = warm(p), p.first_token
    if is_idle(p, now):
        return seconds + f.cold_idle * cold(p)
    if now >= p.waking_since:  # whoever comes meanwhile waits with the one that met it cold
        return seconds + max(0.0, f.cold_idle * cold(p) - (now - p.waking_since))
    return seconds + f.cold_used * cold(p)


def anew(p: ProviderState, now: float) -> float:
    """The same of one to which another is preferred when it is late, so that nothing more is learned of it: after a
    time without traffic it has what is declared of it, if that is better. Where it was found cold after such a time
    before, only once in a while."""
    seconds = promise(p, now)
    if is_idle(p, now) and (not p.first_token.goes_cold or now - p.used_at >= ANEW):
        return min(seconds, p.spec.first_token + p.spec.cold_start)
    return seconds


def sent(p: ProviderState, s: Sent) -> None:
    """Before it is counted."""
    if s.idle:
        p.waking_since = s.at


def learn(p: ProviderState, s: Sent, now: float) -> None:
    """The first token of `s` is there, which has not been `answered_at` yet."""
    took = now - s.at
    if took > limit(p):
        _was(p, s, now, took)
    else:
        p.first_token.warm = _mean(p.first_token.warm, took)
        _was(p, s, now)
    p.waking_since = NOT


def learn_whole(p: ProviderState, s: Sent, now: float, tokens: int) -> None:
    """The answer to `s` is there in one piece, `tokens` long. What these took is told by the pace of others, which is
    no more than a guess: what it leaves open teaches nothing of the first one."""
    f, took = p.first_token, now - s.at
    for_tokens = tokens * (f.pace or 0.0)
    first = max(0.0, took - for_tokens)
    each = max(0.0, took - warm(p)) / max(1, tokens)
    if f.pace is None and tokens:
        f.pace = each
    elif first > limit(p) + for_tokens:
        _was(p, s, now, first)
    else:
        if tokens and f.pace is not None:
            f.pace = min(each, _mean(f.pace, each))  # one that was cold unnoticed is forgotten with the next
        if first <= limit(p):
            if for_tokens <= 0.5 * took:
                f.warm = _mean(f.warm, first)
            _was(p, s, now)
    p.waking_since = NOT


def _was(p: ProviderState, s: Sent, now: float, cold: float | None = None) -> None:
    """It was answered warm; or cold, after so many seconds."""
    f, was_cold = p.first_token, cold is not None
    if cold is not None:
        f.cold = _mean(f.cold, cold - warm(p))
    if s.idle:
        f.cold_idle += WEIGHT * (was_cold - f.cold_idle)
        f.goes_cold = was_cold
        if not was_cold:
            f.cold_used = 0.0  # whatever made it late has passed
    elif p.waking_since > now:  # else it waited with another one
        f.cold_used += WEIGHT * (was_cold - f.cold_used)
    if s.held is not None:
        f.answers += 1
        f.colds += was_cold


def limit(p: ProviderState) -> float:
    """Seconds from which an answer was a cold one."""
    later = cold(p)
    if later <= 0.0:
        later = 2.0 * max(LEAST, (TIMES - 1.0) * warm(p))
    return warm(p) + 0.5 * later


NOT = float("inf")


def _mean(before: float | None, seconds: float) -> float:
    return seconds if before is None else before + WEIGHT * (seconds - before)
