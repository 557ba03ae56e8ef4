"""What to try next, from what came of what was tried: between what holds and what does not."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

from pilotlight.advise.candidates import Candidate, Maker, Tier
from pilotlight.advise.played import Played, best

LEARNED = "hybrid-auto-auto"
NEAR = 1.25
"""Two settings whose ratio is less are not told apart [G]."""
FAR = 3.0
"""A tier of which each setting costs so many times what the best does is not looked at further [G]."""
MARGIN = 0.8
"""What a policy is asked for, of what a request may wait, where it misses the band by a little [G]."""
LONGEST_TTL = 86400.0
SHORTEST_TTL = 5.0


def refined(maker: Maker, found: Sequence[Played], wake: float | None) -> Iterator[Candidate]:
    """None that was played already."""
    near = _near(found)
    known = {p.id for p in found}
    tried = [
        *_serverless(maker, near),
        *_dedicated(maker, near),
        *_hybrid(maker, near),
        *_pool(maker, near, wake),
    ]
    for c in tried:
        if c.id not in known:
            known.add(c.id)
            yield c


def _near(found: Sequence[Played]) -> list[Played]:
    """Of tiers that may come near the best: one of its settings does not cost many times as much."""
    limit = FAR * best(found).month_usd
    tiers = {p.candidate.tier for p in found if p.month_usd <= limit}
    return [p for p in found if p.candidate.tier in tiers]


def between(points: Iterable[tuple[float, bool]], least: float, most: float) -> float | None:
    """The setting to try next, where a larger one holds sooner than a smaller one; None where it is near enough.

    `points`: each setting, above 0, and whether it holds.
    """
    points = sorted(points)
    holding = [x for x, holds in points if holds]
    if not holding:
        last = max((x for x, _ in points), default=most)
        return min(most, last * 6) if last * NEAR < most else None
    failing = [x for x, holds in points if not holds and x < holding[0]]
    if not failing:
        return max(least, holding[0] / 4) if holding[0] > least * NEAR else None
    return math.sqrt(failing[-1] * holding[0]) if holding[0] / failing[-1] > NEAR else None


def _of(found: Sequence[Played], tier: Tier, wanted: Callable[[Candidate], bool] = bool) -> list[Played]:
    return [p for p in found if p.candidate.tier is tier and wanted(p.candidate)]


def _serverless(maker: Maker, found: Sequence[Played]) -> Iterator[Candidate]:
    fixed = _of(found, Tier.SERVERLESS, lambda c: c.setting > 0)
    ttl = (
        between(((p.candidate.setting, p.holds) for p in fixed), SHORTEST_TTL, LONGEST_TTL) if fixed else None
    )
    if ttl is not None:
        yield maker.serverless(float(f"{ttl:.2g}"))


def _dedicated(maker: Maker, found: Sequence[Played]) -> Iterator[Candidate]:
    """A smaller share of the time holds sooner, so it is turned round; the peak is the smallest."""
    known = _of(found, Tier.DEDICATED)
    if len(known) < 2:
        return
    points = [(1 / max(p.candidate.setting, 1e-5), p.holds) for p in known]
    share = between(points, 1.0, 1e5)
    if share is not None:
        made = maker.dedicated(float(f"{1 / share:.2g}"))
        if all(made.words != p.candidate.words for p in known):
            yield made


def _hybrid(maker: Maker, found: Sequence[Played]) -> Iterator[Candidate]:
    """With a base that is learned: the idle time of the rest; and a narrower band, where the policy misses it."""
    fixed = _of(found, Tier.HYBRID, lambda c: c.setting > 0)
    ttl = (
        between(((p.candidate.setting, p.holds) for p in fixed), SHORTEST_TTL, LONGEST_TTL) if fixed else None
    )
    if ttl is not None:
        yield maker.hybrid("auto", float(f"{ttl:.2g}"))
    for p in found:
        if p.id == LEARNED and not p.holds:
            yield maker.hybrid("auto", "auto", within=MARGIN)


def _pool(maker: Maker, found: Sequence[Played], wake: float | None) -> Iterator[Candidate]:
    """A larger one, where none holds."""
    known = _of(found, Tier.POOL)
    if wake is not None and known and not any(p.holds for p in known):
        larger = maker.pool(math.ceil(1.5 * max(p.candidate.setting for p in known)), wake)
        if larger is not None:
            yield larger
