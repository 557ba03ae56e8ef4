"""How large a pool is tried: sizes are screened on a part of the traffic, since a pool that is short of room takes many
times as long to simulate as any other fleet."""

from collections.abc import Iterator

from pilotlight.advise.candidates import Candidate, Maker
from pilotlight.advise.needs import Needs
from pilotlight.advise.playing import Job, Play
from pilotlight.sim.starts import StartTimes

PART = "part"
"""The name of that part of the traffic."""
MOST = 10_000
"""Requests of it [G]."""
RATIO = 1.5
"""Between two sizes [G]."""
MARGIN = 0.5
"""Share of the cold rate that may be, at which a pool has to hold on the part: the whole is less even [G]."""


def sizes(needed: int) -> Iterator[int]:
    """From what is needed at the busiest moment down to one."""
    n = needed
    while n > 1:
        yield n
        n = min(n - 1, int(n / RATIO))
    yield 1


def pool(maker: Maker, wake: float, starts: StartTimes, needs: Needs, play: Play) -> Candidate | None:
    """The smallest that holds on the part, with a margin; where none does, the largest. None where there is none."""
    made = (maker.pool(n, wake) for n in sizes(maker.sizes.needed))
    tried = list({c.id: c for c in made if c is not None}.values())
    if not tried:
        return None
    results = play([Job(c.id, c.config, starts, PART) for c in tried])
    chosen = tried[0]
    for c, r in zip(tried, results, strict=True):
        if (r.cold_rate or 0.0) > MARGIN * needs.cold:
            break
        chosen = c
    return chosen
