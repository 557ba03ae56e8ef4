"""What the default policies are to reach, by the kind of the trace, and whether they have."""

from collections.abc import Iterator, Sequence
from math import inf

import msgspec
from rows import Cell, Row

MET, FLOOR, MISSED = "met", "floor", "**missed**"

MANY_WINDOWS = 50
ABOVE = 0.05
"""Share of the windows that may be above the band."""

DEARER = 1.1
"""Than the cheapest fixed policy that holds the band."""

ALWAYS, STAYS, TEN, BEST, POOL, DEFAULT = (
    "always on, peak",
    "never stopped",
    "keep-alive 10 min",
    "best keep-alive",
    "default, pool",
    "default",
)

Limits = tuple[float, float]
"""Target and floor of the cost."""

OVER_ORACLE: tuple[tuple[str, Limits, Limits], ...] = (
    ("azure_code_2023", (1.10, 1.25), (1.8, 2.5)),
    ("mooncake", (1.10, 1.25), (1.10, 1.25)),
    ("burstgpt", (1.25, 1.40), (1.25, 1.40)),
    ("servegen_mmimage", (1.5, 2.0), (1.5, 2.0)),
    ("servegen_mlarge", (1.35, 1.6), (3.0, 4.5)),
)
"""By the beginning of a trace's name: with starts of up to 10 s, and with longer ones; over the oracle's dollars."""

SPARSE = ("gentd26", "sparse")
"""In the name of a trace in which each of many models is asked for rarely."""

OVER_BEST: Limits = (0.90, 1.05)
"""Of sparse traces on dedicated replicas: over the best fixed keep-alive, which is found with hindsight."""

POOLED: tuple[Limits, Limits] = ((2.0, 3.0), (1.0, 1.5))
"""Of sparse traces in a pool: over the oracle's dollars."""

SHORT = 10.0


class Verdict(msgspec.Struct, frozen=True):
    trace: str
    start: float
    goal: str
    value: str
    target: str
    floor: str
    verdict: str


def is_sparse(name: str) -> bool:
    return any(part in name for part in SPARSE)


def judge(cell: Cell) -> list[Verdict]:
    return [
        Verdict(cell.trace, cell.start, *found)
        for found in (*_cold(cell), *_cost(cell), *_pool(cell), *_windows(cell), *_fixed(cell))
    ]


_Found = tuple[str, str, str, str, str]


def _cold(cell: Cell) -> Iterator[_Found]:
    row = cell.rows[0]
    yield "cold", f"{100 * row.cold:.1f} %", "5 %", "5 %", MET if row.holds else MISSED


def _cost(cell: Cell) -> Iterator[_Found]:
    row = cell.rows[0]
    if is_sparse(cell.trace):
        best = _begins(cell, BEST)
        if best is not None:
            yield _limited("cost / best keep-alive", row.usd / best.usd, OVER_BEST, row.holds)
        return
    for name, short, long in OVER_ORACLE:
        if cell.trace.startswith(name):
            limits = short if cell.start <= SHORT else long
            yield _limited("cost / oracle", row.over_oracle, limits, row.holds)


def _pool(cell: Cell) -> Iterator[_Found]:
    row = _begins(cell, POOL)
    if row is not None:
        yield _limited("pool: cost / oracle", row.over_oracle, POOLED[cell.start > SHORT], row.holds)


def has_windows(cell: Cell) -> bool:
    """Enough of them to be judged by."""
    row = cell.rows[0]
    return row.above is not None and row.windows >= MANY_WINDOWS


def _windows(cell: Cell) -> Iterator[_Found]:
    row = cell.rows[0]
    if row.above is not None and has_windows(cell):
        verdict = MET if row.above <= ABOVE else MISSED
        yield "windows above", f"{100 * row.above:.1f} % of {row.windows}", "5 %", "5 %", verdict


def _fixed(cell: Cell) -> Iterator[_Found]:
    row = cell.rows[0]
    always, ten, best = (_usd(_begins(cell, name)) for name in (ALWAYS, TEN, BEST))
    yield _limited("cost / cheapest fixed", row.usd / min(always, best), (DEARER, DEARER), row.holds)
    yield _limited("cost / always on or 10 min", row.usd / min(always, ten), (1.0, 1.0), row.holds)


def _begins(cell: Cell, name: str) -> Row | None:
    """The policy whose name begins so; what was chosen with hindsight stands behind it in brackets."""
    return next((r for r in cell.rows if r.policy.startswith(name)), None)


def _usd(row: Row | None) -> float:
    """Of one that holds the band."""
    return row.usd if row is not None and row.holds else inf


def _limited(goal: str, value: float, limits: Limits, holds: bool) -> _Found:
    """What does not hold the band has reached no cost."""
    target, floor = limits
    verdict = MISSED if value > floor or not holds else MET if value <= target else FLOOR
    return goal, f"{value:.2f}", f"{target:.2f}", f"{floor:.2f}", verdict


def counted(verdicts: Sequence[Verdict]) -> str:
    n = {kind: sum(v.verdict == kind for v in verdicts) for kind in (MET, FLOOR, MISSED)}
    return f"{n[MET]} met, {n[FLOOR]} between target and floor, {n[MISSED]} missed, of {len(verdicts)}"
