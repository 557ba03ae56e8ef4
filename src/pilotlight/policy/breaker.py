"""Whether a provider is well, learned from the requests that went there; a circuit breaker (Nygard, Release It, 2007).

closed -> (failures in a row, or a share of them) -> open -> (a pause) -> half-open -> (one request done well) -> closed

A half-open one is tried by one request at a time. Each time that it fails again the pause doubles, up to a bound, and
shrinks only once a request is done well to its end: one that answers and then cuts stays on probation. What asks to
be left alone (429, 503) is not ill; it is left alone for as long as it says, within a bound.
"""

from math import isfinite

from pilotlight.fleet.remotes import Breaker

IN_A_ROW = 5
"""Failures that open it [G]."""

SHARE = 0.5
"""Of failures among the latest requests that opens it [G]."""

WEIGHT = 0.05
"""Of the latest request in that share [G]: it takes 14 of them to rise from none to a half."""

FIRST, LONGEST = 5.0, 300.0
"""Seconds that it stays open the first time, and at most [G]."""

DENIED, DENIED_LONGEST = 300.0, 3600.0
"""The same where its key is no good: somebody has to do something about it [G]."""

PAUSE, PAUSE_LONGEST = 1.0, 60.0
"""Seconds that it is left alone for where it asks to be and does not say how long; doubled each time [G]."""

MOST_ASKED = 3600.0
"""Seconds that it is left alone for at most, whatever it says [G]: a Retry-After of a year is a slip of somebody's, and

after an hour it is asked again."""

BUSY, IS_DENIED, KEPT = "busy", "denied", "kept"


def may(b: Breaker, now: float) -> bool:
    """Whether a request may be sent there."""
    if now < b.paused_until:
        return False
    return not b.opened or (now >= b.until and b.probe is None)


def state(b: Breaker, now: float) -> str:
    if now < b.paused_until:
        return "paused"
    if not b.opened:
        return "closed"
    return "open" if now < b.until else "half-open"


def again(b: Breaker, now: float) -> float:
    """When it may be asked again, as far as that is a matter of time; `now` where it is not."""
    return max(now, b.paused_until, b.until if b.opened else 0.0)


def sent(b: Breaker, request: str) -> None:
    """`may` has said yes."""
    if b.opened:
        b.probe = request


def answered(b: Breaker, request: str) -> None:
    """Its first byte is there. The one that tried it lets the others in; the next failure keeps them out again."""
    if b.probe == request:
        b.probe, b.opened = None, False
        b.failures = IN_A_ROW - 1


def well(b: Breaker) -> None:
    """A request that was answered is over and was done well."""
    if b.opened:
        return  # an old one says nothing of how it is now
    b.failures = b.trips = b.pauses = 0
    b.ill -= WEIGHT * b.ill


def neither(b: Breaker, request: str) -> None:
    """A request is over, and nothing is known by it: it was called off."""
    if b.probe == request:
        b.probe = None


def failed(b: Breaker, request: str, kind: str, now: float, retry_after: float | None = None) -> None:
    """`kind` as in Declined."""
    if kind == BUSY:
        neither(b, request)
        _pause(b, now, retry_after)
        return
    tried = b.probe == request
    if b.opened and not tried:
        return  # it was sent before
    b.failures += 1
    b.ill += WEIGHT * (1.0 - b.ill)
    if tried or kind == IS_DENIED or b.failures >= IN_A_ROW or b.ill > SHARE:
        _open(b, kind, now)


def _open(b: Breaker, kind: str, now: float) -> None:
    first, longest = (DENIED, DENIED_LONGEST) if kind == IS_DENIED else (FIRST, LONGEST)
    b.until = now + min(longest, first * 2.0 ** min(b.trips, 30))
    b.trips += 1
    b.opened, b.probe, b.failures, b.ill = True, None, 0, 0.0


def _pause(b: Breaker, now: float, retry_after: float | None) -> None:
    seconds = min(PAUSE_LONGEST, PAUSE * 2.0 ** min(b.pauses, 30))
    b.pauses += 1
    if retry_after is not None and isfinite(retry_after) and retry_after >= 0.0:
        seconds = min(MOST_ASKED, retry_after)
    b.paused_until = max(b.paused_until, now + seconds)


def declared(b: Breaker, now: float, *, changed: bool) -> None:
    """A reload: whoever asked for it may have mended what was wrong, so that one request tries it. What it asked for
    itself holds, unless something of its own declaration has `changed`."""
    b.until = min(b.until, now)
    if changed:
        b.paused_until = min(b.paused_until, now)
