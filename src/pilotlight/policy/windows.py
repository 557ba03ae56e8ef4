"""What more a cold request counts for while too many windows of requests are above the band.

The price that holds the band over tens of thousands of requests leaves bursty traffic with some windows far above it
and others without a cold request. So the price is stretched with each window above the band, and given back a little
with each inside: but for lost windows it comes to rest where AIM of them are above, whatever makes them so (the rule
of adaptive conformal inference: Gibbs and Candès, Adaptive conformal inference under distribution shift, 2021). That is
less than the 5 % that may be above, for lost windows are as well, and those before the stretch has grown.

It has two limits. A window that not even a price HELPS times as high would have kept inside is lost: while more than
LOST of them are, those 5 % are out of reach, and nothing is paid for the windows that are within reach. And it goes no
further than is affordable (surcharge.py).
"""

from math import exp

from pilotlight.fleet.demand import Windows
from pilotlight.fleet.deployment import Goal

WINDOW = 1000
"""Requests at least: they are counted by the dozen, and those of a flood at once."""

AIM = 0.01
"""Share that is aimed at of those that are not lost [G]."""

HELPS = 16.0
"""Times the price, up to which it is taken to help [G]."""

LOST = 0.03
"""Share of lost windows up to which 5 % are taken to be within reach, with those that the stretch takes to grow [G]."""

CHANCE = 1.0
"""Lost windows that are no reason yet [G]."""

UTMOST = 64.0
"""The stretch at most [G]."""

STEP = 4.2
"""A window above multiplies the stretch by e to the power of nearly this, 64 [G]: it is at its utmost, or at what is
affordable, at once."""

OWED = 1000.0
"""To which it grows unseen [G]: windows above while it is at its utmost have to be made up for as well."""

YOUNG = 10
"""Windows that are not judged [G]: little is known of traffic that has just begun."""

MEMORY = 500.0
"""Windows over which the lost ones are counted [G]: some days of a busy fleet."""


def was_cold(w: Windows, usd: float, now: float) -> None:
    """A request that would have been warm at the price `usd`; without a stretch the price would be `now`."""
    if usd > HELPS * now:
        w.hopeless += 1
    else:
        w.dear += 1


def came(w: Windows, goal: Goal, requests: int) -> bool:
    """So many more requests have come. Whether a window is over with them."""
    w.requests += requests
    if w.requests < WINDOW:
        return False
    _judge(w, goal.high * w.requests)
    w.requests = w.dear = w.hopeless = 0
    return True


def stretch(w: Windows) -> float:
    """What the price is multiplied by, 1 to UTMOST."""
    return 1.0 if w.in_vain else min(w.grown, w.affordable, UTMOST)


def because(w: Windows) -> str:
    """What it adds to the reason for a price."""
    row = f"{WINDOW:,} requests in a row"
    if w.in_vain:
        return f"; too often of late no price would have kept {row} inside it"
    if w.grown <= 1.0:
        return ""
    counts = [f"{stretch(w):.3g} times as much"] if stretch(w) > 1.0 else []
    if w.affordable < min(w.grown, UTMOST):
        counts.append("no more, for that would add too much to what the replicas cost")
    return f"; {row} were above the band of late: it counts {', and '.join(counts)}"


def _judge(w: Windows, allowed: float) -> None:
    """A window is over, in which so many requests might have been cold."""
    w.seen += 1
    if w.seen <= YOUNG:
        return
    fades = 1.0 - 1.0 / MEMORY
    w.judged, w.lost = fades * w.judged + 1.0, fades * w.lost
    if w.hopeless > allowed:
        w.lost += 1.0
    else:
        above = w.dear + w.hopeless > allowed
        w.grown = min(OWED, max(1.0, w.grown * exp(STEP * (above - AIM))))
    w.in_vain = w.lost > CHANCE + LOST * w.judged
