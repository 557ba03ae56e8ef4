"""No model is colder than `per_model_max`, however seldom it is asked for.

A cold request that found no replica of its model is owed, and every request pays AIM x `per_model_max` of one back.
While any is owed, the model's first replica is kept for as long as outlasts all but a share of its gaps: nearly
`per_model_max` where little is owed, none where MOST is. Then nothing is added to the debt, so that of n requests no
more than AIM x per_model_max x n + MOST + 1 are cold for want of a first replica, but for those after a gap that is
longer than all before. What it costs is bounded: one replica that is always up, and the base rents that where it is
cheaper so.

A model's other cold requests wait for one replica more. What one of them counts for is raised while there are too many.
"""

from pilotlight.fleet.demand import Demand, Frontier, Level
from pilotlight.fleet.deployment import Goal

AIM = 0.6
"""Share of the limit that is paid back [G]: the first requests of a model are cold before anything is known of it."""

MOST = 4.0
"""Requests that are owed when every gap is to be outlasted [G]."""

CREDIT = 8.0
"""Requests that may be paid in advance [G]: a burst that begins cold is no debt where many requests were warm."""

KNOWN = 3.0
"""Gaps after which a model is kept for its own [G]: what was asked for three times may never be again."""

HOUR = 3600.0

LOOK = 20
"""Requests of a deployment after which its own share of cold ones is looked at [G]."""

BOOST, MOST_BOOST, RELAX, UTMOST = 1.5, 4.0, 0.9, 1000.0
"""What a deployment's price is multiplied by while it has too many cold ones, at least and, where they are as many
times its limit, at most; then while it has not; and all in all [G]."""


def came(goal: Goal, d: Demand, requests: int) -> None:
    """So many more requests of a deployment have come."""
    limit = goal.per_model_max
    d.asked += requests
    if limit is not None:
        d.owed = max(-CREDIT, d.owed - AIM * limit * requests)
    if d.asked >= LOOK:
        if limit is not None:
            _boost(d, limit)
        d.asked = d.cold = 0


def was_cold(goal: Goal, d: Demand, *, alone: bool) -> None:
    """A request has waited too long; `alone`: no replica was up when it came, nor asleep."""
    d.cold += 1
    if alone and goal.per_model_max is not None:
        d.owed = min(d.owed, MOST + AIM * goal.per_model_max * d.requests) + 1.0


def _boost(d: Demand, limit: float) -> None:
    allowed = limit * d.asked
    if d.cold > allowed:
        times = max(BOOST, d.cold / allowed) if allowed else MOST_BOOST
        d.boost = min(UTMOST, d.boost * min(MOST_BOOST, times))
    else:
        d.boost = max(1.0, d.boost * RELAX)


def worth(goal: Goal, d: Demand, level: Level) -> float:
    """Idle seconds that it is worth, for the sake of the limit alone, to meet the level's next spell warm."""
    limit, f = goal.per_model_max, level.frontier
    if limit is None or f is None or level.gaps is not d.levels[0].gaps or level.gaps.total < KNOWN:
        return 0.0
    owed = _owed(d, limit)
    return _least(f, limit * max(0.0, 1.0 - owed / MOST)) if owed > 0.0 else 0.0


def _owed(d: Demand, limit: float) -> float:
    """As of now: of those requests that are not worked up yet nothing was taken off."""
    return d.owed - AIM * limit * d.requests


def because(goal: Goal, d: Demand, second: float) -> str:
    """What it adds to the reason for a first replica that stays; `second`: USD of one on demand."""
    limit = goal.per_model_max
    if limit is None or not d.levels or not worth(goal, d, d.levels[0]):
        return ""
    return (
        f"; one stays for objective.per_model_max ({100 * limit:.3g} %), for {_owed(d, limit):.2g} requests too many "
        f"have found none: at most it costs what one does that is always up, ${second * HOUR:.2f} an hour on demand"
    )


def _least(f: Frontier, share: float) -> float:
    """From which on no more than this share of the gaps outlasts the keep-alive, or none does but for a rounding."""
    i = next((i for i, outlast in enumerate(f.missed) if outlast <= share), len(f.missed) - 1)
    return f.worth[i - 1] if i else 0.0
