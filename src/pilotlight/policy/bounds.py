"""Delays around what the requests of a deployment ask for: more is granted, and less, only after a while.

The k-th replica is granted once k or more have been asked for during all of the delay upwards, and kept until fewer
have been asked for during all of the delay downwards. So whatever the requests do, it comes and goes at most once in
the two delays together.
"""

from pilotlight.fleet.ahead import NEVER, Delays, Since


def follow(s: Delays, wish: int, up: float, down: float, now: float) -> None:
    """`wish`: the replicas that are asked for from `now` on; `up` and `down` in seconds.

    The first replica is granted at once, for somebody waits for it.
    """
    if wish > 0 and s.granted == 0:
        s.granted = 1
    if wish > s.granted:
        s.fewer.clear()
        _note(s.more, wish, now, 1)
        _grant(s, s.more, up, now)
    elif wish < s.granted:
        s.more.clear()
        _note(s.fewer, wish, now, -1)
        _grant(s, s.fewer, down, now)
    else:
        s.more.clear()
        s.fewer.clear()


def _note(found: list[Since], wish: int, now: float, sign: int) -> None:
    """Keeps since when as many, or more, (with sign -1: as few, or fewer) have been asked for without a break."""
    since = now
    while found and sign * found[-1].wish > sign * wish:
        since = found.pop().since
    if not found or found[-1].wish != wish:
        found.append(Since(since, wish))


def _grant(s: Delays, found: list[Since], delay: float, now: float) -> None:
    """What has been asked for that long."""
    while found and now >= found[0].since + delay:  # to the last bit as next_look says
        wish = found.pop(0).wish
        s.fell = s.fell or wish < s.granted
        s.granted = wish


def next_look(s: Delays, up: float, down: float) -> float:
    """When what is granted may change though nothing happens; NEVER when it cannot."""
    more = s.more[0].since + up if s.more else NEVER
    return min(more, s.fewer[0].since + down) if s.fewer else more
