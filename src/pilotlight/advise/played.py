"""A candidate with what came of it on the traffic."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import numpy as np

from pilotlight.advise import intervals
from pilotlight.advise.candidates import ORDER, Candidate, Tier
from pilotlight.advise.fitting import SESSIONS
from pilotlight.advise.intervals import Interval
from pilotlight.advise.needs import Inference, Needs
from pilotlight.fleet.declared import MONTH
from pilotlight.sim.result import Result
from pilotlight.sim.trace import Floats

LOST = 0.001
"""Share of requests that may stay without an answer of a tier that is advised [G]."""

BY_REQUEST = frozenset({"function", "active_cpu"})
"""Tariffs by which nothing is paid that waits."""

ALIKE = 1.02
"""Costs that differ by less are the same [G]: then the simpler one is taken, and of two of a tier the one that has
fewer cold requests."""


CENT = 0.005
"""US dollars: what is nearer is printed as the same."""


class Played(msgspec.Struct, frozen=True):
    candidate: Candidate
    result: Result
    """Of a simulation of the whole traffic."""
    month_usd: float
    """The counted part of the trace, as long as a month of 730 hours."""
    month: Interval
    cold: Interval
    holds: bool
    """Its cold rate is not above what is asked for, nor any model's above `objective.per_model_max`, and it answers
    everybody."""
    short: bool = False
    """The trace is too short to tell its cost by: `month` is as wide as can be."""
    kept: float = 0.0
    """Of the turns that go on with a session, the share that finds its replica, to a tenth, where that matters."""
    dominated: bool = False
    """Another one costs no more and has no more cold requests, and is better in one."""

    @property
    def counted(self) -> float:
        """Seconds of the trace that count."""
        return counted(self.result, self.candidate)

    @property
    def cold_rate(self) -> float:
        return self.result.cold_rate or 0.0

    @property
    def cold_requests(self) -> float:
        patient = self.result.by_class.get("batch")
        return self.cold_rate * (self.result.evaluated - (0 if patient is None else patient.requests))

    @property
    def id(self) -> str:
        return self.candidate.id


def played(candidate: Candidate, result: Result, usd: float, needs: Needs) -> Played:
    """`usd`: for the counted part of the trace, by whatever tariff."""
    scale = MONTH / counted(result, candidate)
    hurried, cold, cost = _pieces(candidate, result, usd)
    block = intervals.pieces_of_a_block(len(hurried), result.series.seconds)
    short = intervals.too_short(counted(result, candidate)) and not _rented(candidate, result, usd)
    month = intervals.widest(cost * scale) if short else intervals.total(cost * scale, block)
    stateful = needs.sessions and needs.inference is Inference.HERE
    return Played(
        candidate,
        result,
        usd * scale,
        month,
        intervals.share(cold, hurried, block),
        _holds(candidate, result, needs),
        short,
        round(result.turns_kept or 0.0, 1) if stateful else 0.0,
    )


def _rented(c: Candidate, result: Result, usd: float) -> bool:
    """It costs the same whatever comes."""
    return c.fixed or (not c.learns and c.tariff is None and usd <= ALIKE * always(c, result))


def always(c: Candidate, result: Result) -> float:
    """US dollars of the counted part that are paid whatever comes: for the hosts of a pool, or for what was rented."""
    if c.config.simulation.kinds:
        return result.cost_usd - result.burst_usd - result.ping_usd
    return result.dedicated_gpu_hours * 3600 * c.config.prices.gpu_month_usd / MONTH


def _holds(c: Candidate, result: Result, needs: Needs) -> bool:
    each = c.config.objective.per_model_max
    if each is not None and (result.cold_rate_worst_model or 0.0) > each and c.trace != SESSIONS:
        return False
    return (result.cold_rate or 0.0) <= needs.cold and result.unserved <= LOST * result.requests


def counted(result: Result, candidate: Candidate) -> float:
    """Seconds of the trace that count."""
    return max(1e-9, result.span_s * (1 - candidate.config.simulation.warm_up))


def _pieces(c: Candidate, result: Result, usd: float) -> tuple[Floats, Floats, Floats]:
    """Requests that can be cold, those that were, and dollars of each piece of the time that counts."""
    s, warm_up = result.series, c.config.simulation.warm_up
    n = len(s.requests)
    k = slice(round(n * warm_up), n)
    columns = (s.requests, s.hurried, s.cold, s.replicas)
    requests, hurried, cold, up = (np.array(x, np.float64)[k] for x in columns)
    if c.tariff is not None:
        return hurried, cold, usd * _parts(requests if c.tariff in BY_REQUEST else up)
    elsewhere = result.burst_usd + result.ping_usd
    dedicated = min(usd, always(c, result))
    average = result.dedicated_gpu_hours * 3600 / counted(result, c)
    beyond = np.maximum(0.0, up - average)
    demand = max(0.0, usd - dedicated - elsewhere)
    spent = demand * _parts(beyond if beyond.any() else requests) + elsewhere * _parts(requests)
    return hurried, cold, spent + dedicated * _parts(np.ones(len(requests)))


def _parts(weights: Floats) -> Floats:
    """That make one; equal ones where nothing weighs."""
    total = float(weights.sum())
    return weights / total if total > 0 else np.full(len(weights), 1 / max(1, len(weights)))


def judged(found: Iterable[Played]) -> list[Played]:
    """With what is dominated marked."""
    known = list(found)
    return [msgspec.structs.replace(p, dominated=any(_beats(o, p) for o in known)) for p in known]


def _beats(a: Played, b: Played) -> bool:
    ours, theirs = (a.month_usd, a.cold_rate), (b.month_usd, b.cold_rate)
    return ours != theirs and ours[0] <= theirs[0] and ours[1] <= theirs[1]


def best(found: Iterable[Played]) -> Played:
    """The cheapest that holds; of those that cost the same the one that keeps most sessions where they are, and the
    simplest; where none holds, the one with the least cold
    requests, and of these the cheapest. Of one at least."""
    known = list(found)
    holding = [p for p in known if p.holds]
    if not holding:
        least = min(p.cold_rate for p in known)
        return min(
            (p for p in known if p.cold_rate <= least * ALIKE), key=lambda p: (p.month_usd, p.cold_rate)
        )
    cheapest = min(p.month_usd for p in holding)
    alike = [p for p in holding if p.month_usd <= cheapest * ALIKE + CENT]
    return min(alike, key=_simplicity)


def _simplicity(p: Played) -> tuple[Any, ...]:
    return (-p.kept, ORDER.index(p.candidate.tier), p.cold_rate, p.month_usd)


def chosen(found: Sequence[Played]) -> tuple[Played, Played | None]:
    """The best, and the best of another tier; of the same one where there is no other that holds. Today's is beside
    them, and never the second."""
    first = best(found)
    others = [p for p in found if p.candidate.tier is not Tier.TODAY and not _same(p, first)]
    of_others = [p for p in others if p.candidate.tier is not first.candidate.tier and p.holds == first.holds]
    rest = of_others or others
    return first, best(rest) if rest else None


def _same(a: Played, b: Played) -> bool:
    """They did the same, under whatever name."""
    return (a.month_usd, a.cold_rate) == (b.month_usd, b.cold_rate)
