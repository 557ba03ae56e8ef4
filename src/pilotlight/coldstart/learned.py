"""How long starts take, learned from those that were made: in all and stage by stage.

A row is kept for each model as it is declared (its fingerprint), host, kind and set of techniques, and one for all
models of an engine together. What is asked for and was never seen is answered from what is nearest, marked as a
guess; with nothing near, not at all.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from pilotlight.coldstart.pricing import price
from pilotlight.fleet.plan import Plan, Stage
from pilotlight.fleet.records import StartRecord

WEIGHT = 0.3
"""Of the latest start in the mean [G]: half of the mean is from the last two starts and five sixths from the last
five, so it follows a machine that got busy or a disk that filled up, while one odd start moves it by a third at
most. The first starts count alike (1, 1/2, 1/3), for there is nothing before them to hold on to."""

FIRST_SPREAD = 0.5
"""Of a single start's duration: the deviation it is taken to have until others have shown theirs [G]."""

WIDE = 2.0
"""Deviations on either side that `low` and `high` lie apart from the mean; 95 % of a normal distribution."""

DOWNLOAD = 1.0
"""Seconds from which a fetch is a transfer and not a look at the disk. The next start does not have it, so neither
a fetch that long nor what it added to the whole is learned [G]."""

ONCE = frozenset({"stream", "read_ahead"})
"""Techniques for weights that have to be fetched or read: the next start has them, so rows are kept without."""

_OF_A_FETCH = (Stage.FETCH.value, Stage.READ.value, Stage.HEADER.value, Stage.WHOLE.value)

LONGEST = 1e6
"""Seconds; a figure above is a fault of somebody's clock."""

MAX_ROWS = 10_000

Seconds = Annotated[float, Meta(ge=0)]


class Mean(msgspec.Struct, frozen=True):
    """An exponentially weighted mean and variance."""

    mean: Seconds
    variance: Annotated[float, Meta(ge=0)]

    @property
    def spread(self) -> float:
        """Standard deviation."""
        return math.sqrt(self.variance)

    def with_one_more(self, value: float, weight: float) -> "Mean":
        """T. Finch, Incremental calculation of weighted mean and variance (2009), equations 140 and 143."""
        difference = value - self.mean
        increment = weight * difference
        return Mean(
            max(0.0, self.mean + increment),
            max(0.0, (1 - weight) * (self.variance + difference * increment)),
        )


class Who(msgspec.Struct, frozen=True):
    """A model as it is declared."""

    model: str
    fingerprint: str
    engine: str


class Key(msgspec.Struct, frozen=True):
    who: Who
    """Model and fingerprint are empty in the row of a whole engine."""
    host: str
    techniques: tuple[str, ...]
    """Sorted, without those of ONCE; empty for a plain start and for a wake."""
    kind: str = "start"


class Row(msgspec.Struct, frozen=True):
    key: Key
    n: Annotated[int, Meta(ge=1)]
    """Starts it was learned from."""
    seen: float
    """Unix seconds of the latest."""
    whole: Mean
    stages: Mapping[str, Mean]


class Estimate(msgspec.Struct, frozen=True):
    """Seconds that a start is expected to take."""

    seconds: float
    low: float
    high: float
    stages: Mapping[str, Mean]
    from_n: int
    """Starts it was learned from."""
    plan: Plan
    guess: bool = False
    """Learned from starts of something else: another declaration, other techniques or other models."""


class Learned:
    """At most `limit` rows; of more, those seen least lately are dropped."""

    def __init__(self, rows: Iterable[Row] = (), limit: int = MAX_ROWS) -> None:
        self._limit = limit
        self._rows: dict[Key, Row] = {}
        """Oldest first."""
        self._latest: dict[tuple[str, str, str, str], Key] = {}
        """By model, engine, host and kind."""
        for row in sorted(rows, key=lambda row: row.seen):
            self._put(row)

    def __len__(self) -> int:
        return len(self._rows)

    def rows(self) -> tuple[Row, ...]:
        return tuple(self._rows.values())

    # -- learn -----------------------------------------------------------------------------------------------------

    def learn(self, who: Who, host: str, plan: Plan, record: StartRecord, seen: float) -> bool:
        """From one start that reached its end by `plan`, at Unix time `seen`; whether there was something to learn."""
        lesson = _lesson(plan, record)
        if lesson is None:
            return False
        whole, stages = lesson
        techniques = _lasting(record.techniques) if record.kind == "start" else ()
        for subject in (who, Who("", "", who.engine)):
            key = Key(subject, host, techniques, record.kind)
            self._put(_updated(self._rows.get(key), key, whole, stages, seen))
        return True

    def _put(self, row: Row) -> None:
        self._rows.pop(row.key, None)
        self._rows[row.key] = row
        self._latest[_kin(row.key)] = row.key
        while len(self._rows) > self._limit:
            old = next(iter(self._rows))
            del self._rows[old]
            if self._latest.get(_kin(old)) == old:
                del self._latest[_kin(old)]

    # -- ask -------------------------------------------------------------------------------------------------------

    def estimate(self, who: Who, host: str, plan: Plan, kind: str = "start") -> Estimate | None:
        """Of a start by this plan, with its techniques; None when nothing near it is known.

        Known is, in this order: this very start; the plan's steps, from the model's latest start of whatever kind of
        declaration and technique and, where that has not got them, from the engine's other models; the engine's
        other models by this plan.
        """
        techniques = _lasting(plan.techniques) if kind == "start" else ()
        row = self._rows.get(Key(who, host, techniques, kind))
        if row is not None:
            return _estimate(row, plan)
        others = self._rows.get(Key(Who("", "", who.engine), host, techniques, kind))
        own = self._rows.get(self._latest.get((who.model, who.engine, host, kind), _NOBODY))
        return _pieced(own, others, plan) or (None if others is None else _estimate(others, plan, guess=True))

    def usual(self, who: Who, host: str, kind: str = "start") -> float | None:
        """Seconds that this model's latest kind of start takes, else the engine's; for what was never started, None."""
        row = self.latest(who, host, kind)
        return None if row is None else row.whole.mean

    def latest(self, who: Who, host: str, kind: str = "start") -> Row | None:
        """The same with all that is known of it."""
        for model in (who.model, ""):
            row = self._rows.get(self._latest.get((model, who.engine, host, kind), _NOBODY))
            if row is not None:
                return row
        return None


_NOBODY = Key(Who("", "", ""), "", ())


# -- inside ----------------------------------------------------------------------------------------------------------


def _lesson(plan: Plan, record: StartRecord) -> tuple[float, dict[str, float]] | None:
    """Seconds in all and by stage; None for a start that failed or whose figures are none."""
    if record.ready_at is None or record.reason:
        return None
    whole = record.ready_at - record.ordered_at
    stages: dict[str, float] = {}
    once = 0.0
    for span in record.spans:
        if span.once:
            once += span.seconds
        else:
            stages[span.stage] = stages.get(span.stage, 0.0) + span.seconds
    if not all(0 <= seconds <= LONGEST for seconds in (whole, once, *stages.values())):
        return None
    whole = max(0.0, whole - once)
    if stages.get(Stage.FETCH, 0.0) >= DOWNLOAD or ONCE & set(record.techniques):
        whole -= _cost_of_fetch(plan, stages, whole)
        stages = {name: seconds for name, seconds in stages.items() if name not in _OF_A_FETCH}
    return whole, stages


def _cost_of_fetch(plan: Plan, stages: Mapping[str, float], whole: float) -> float:
    """Seconds by which the start would have been shorter with the weights here."""
    took = {s.name.value: stages.get(s.name, 0.0) for s in plan.steps}
    if Stage.FETCH not in took:
        return 0.0
    here = {name: 0.0 if name in _OF_A_FETCH else seconds for name, seconds in took.items()}
    return min(whole, price(plan, took) - price(plan, here))


def _lasting(techniques: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(techniques) - ONCE))


def _updated(old: Row | None, key: Key, whole: float, stages: Mapping[str, float], seen: float) -> Row:
    """Stages that this start did not have are kept as they were: the next may have them again."""
    n = old.n + 1 if old is not None else 1
    weight = max(WEIGHT, 1 / n)
    before = old.stages if old is not None else {}
    learned = {name: _one_more(before.get(name), seconds, weight) for name, seconds in stages.items()}
    mean = _one_more(old.whole if old is not None else None, whole, weight)
    return Row(key, n, seen, mean, {**before, **learned})


def _one_more(old: Mean | None, seconds: float, weight: float) -> Mean:
    if old is None:
        return Mean(seconds, (FIRST_SPREAD * seconds) ** 2)
    return old.with_one_more(seconds, weight)


def _kin(key: Key) -> tuple[str, str, str, str]:
    return (key.who.model, key.who.engine, key.host, key.kind)


def _estimate(row: Row, plan: Plan, guess: bool = False) -> Estimate:
    mean, margin = row.whole.mean, WIDE * row.whole.spread
    return Estimate(mean, max(0.0, mean - margin), mean + margin, row.stages, row.n, plan, guess)


def _pieced(own: Row | None, others: Row | None, plan: Plan) -> Estimate | None:
    """A start that this model has not made yet, from the steps of one that it has and from what others' steps take."""
    if own is None:
        return None
    known = {**(others.stages if others is not None else {}), **own.stages}
    of_a_fetch = [Stage.FETCH, *(s.name for s in plan.steps if s.name in _OF_A_FETCH)]
    stages = {name.value: Mean(0.0, 0.0) for name in of_a_fetch}
    stages |= {s.name.value: known[s.name] for s in plan.steps if s.name in known}
    if any(s.name not in stages for s in plan.steps):
        return None
    seconds, low, high = (
        price(plan, {name: max(0.0, m.mean + k * m.spread) for name, m in stages.items()})
        for k in (0.0, -WIDE, WIDE)
    )
    return Estimate(seconds, low, high, stages, own.n, plan, guess=True)
