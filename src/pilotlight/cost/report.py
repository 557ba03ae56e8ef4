"""A bill for people and programs: what was spent, on what, and what the same traffic would have cost otherwise."""

import math
from collections.abc import Callable
from typing import Any

import msgspec

from pilotlight.cost.declared import told
from pilotlight.cost.history import HOUR, History, Traffic
from pilotlight.cost.rows import OF_REPLICAS, PINGS, Amount, Row
from pilotlight.spec.simulation import Prices

BY: dict[str, Callable[[int, Row], str]] = {
    "model": lambda hour, row: row.model,
    "key": lambda hour, row: row.key,
    "class": lambda hour, row: row.request_class,
    "rung": lambda hour, row: row.rung,
    "provider": lambda hour, row: row.provider,
    "hour": lambda hour, row: str(hour),
}
"""What a bill can be sorted by. Empty: of no request, or of no provider."""


class Line(msgspec.Struct, frozen=True):
    name: str
    usd: float
    share: float
    """Of all."""
    replica_seconds: float
    by_rung: dict[str, float]
    """USD."""


class Otherwise(msgspec.Struct, frozen=True):
    """What the same traffic would have cost. USD."""

    always_on_usd: float
    """As many dedicated replicas as each model's busiest moment needs, all the time."""
    scale_to_zero_usd: float
    """On demand, nothing kept between two busy spells, a start before each."""


class Waiting(msgspec.Struct, frozen=True):
    requests: int
    """All that were not refused."""
    cold: int
    waited_s: float
    usd: float
    """Each cold request at what one counted for when it came. No money was paid for it."""


class Report(msgspec.Struct, frozen=True):
    usd: float
    replica_seconds: float
    provider_usd: float
    """Of it, what providers charged; pings among it."""
    pings_usd: float
    by: str
    lines: tuple[Line, ...]
    """Dearest first; of hours the earliest."""
    otherwise: Otherwise
    waiting: Waiting

    def told(self) -> dict[str, Any]:
        return msgspec.to_builtins(self)


def report(history: History, by: str = "model") -> Report:
    """`by` is one of BY."""
    name_of = BY[by]
    found: dict[str, list[tuple[Row, Amount]]] = {}
    for hour, rows in history.used.items():
        for row, amount in rows.items():
            found.setdefault(name_of(hour, row), []).append((row, amount))
    every = [entry for entries in found.values() for entry in entries]
    total = _usd(every)
    lines = [_line(name, entries, total) for name, entries in found.items()]
    lines.sort(key=lambda line: (int(line.name), 0.0) if by == "hour" else (0, -line.usd))
    return Report(
        usd=total,
        replica_seconds=_seconds(every),
        provider_usd=_usd([e for e in every if e[0].provider]),
        pings_usd=_usd([e for e in every if e[0].rung == PINGS]),
        by=by,
        lines=tuple(lines),
        otherwise=_otherwise(history),
        waiting=_waiting(history),
    )


def _line(name: str, entries: list[tuple[Row, Amount]], total: float) -> Line:
    by_rung: dict[str, float] = {}
    for row, amount in entries:
        by_rung[row.rung] = by_rung.get(row.rung, 0.0) + amount.usd
    usd = _usd(entries)
    return Line(name, usd, usd / total if total else 0.0, _seconds(entries), by_rung)


def _usd(entries: list[tuple[Row, Amount]]) -> float:
    return math.fsum(amount.usd for _, amount in entries)


def _seconds(entries: list[tuple[Row, Amount]]) -> float:
    return math.fsum(amount.seconds for row, amount in entries if row.rung in OF_REPLICAS)


def _by_model(history: History) -> dict[str, Traffic]:
    found: dict[str, Traffic] = {}
    for models in history.traffic.values():
        for model, traffic in models.items():
            found.setdefault(model, Traffic()).plus(traffic)
    return found


def _otherwise(history: History) -> Otherwise:
    models = _by_model(history).values()
    return Otherwise(
        math.fsum(t.always_on_usd for t in models), math.fsum(t.scale_to_zero_usd for t in models)
    )


def _waiting(history: History) -> Waiting:
    models = list(_by_model(history).values())
    return Waiting(
        sum(t.requests for t in models),
        sum(t.cold for t in models),
        math.fsum(t.waited for t in models),
        math.fsum(t.waiting_usd for t in models),
    )


def rows(history: History) -> list[dict[str, Any]]:
    """All of it, one row after the other, as CSV has it. `hour`: when it began, Unix seconds."""
    return [
        {
            "hour": hour * HOUR,
            "model": row.model,
            "key": row.key,
            "class": row.request_class,
            "rung": row.rung,
            "provider": row.provider,
            "seconds": amount.seconds,
            "usd": amount.usd,
        }
        for hour, found in sorted(history.used.items())
        for row, amount in sorted(found.items())
    ]


def billed(
    history: History,
    since: float,
    until: float,
    by: str,
    prices: Prices,
    cold: dict[str, Any] | None = None,
    every_row: bool = False,
) -> dict[str, Any]:
    """The answer of GET /cost, and of the command line where no server runs. `cold`: what a cold request counts for
    now, and why; None where nobody knows."""
    answer: dict[str, Any] = {
        "since": since,
        "until": until,
        **report(history, by).told(),
        "cold_request": cold,
        "prices": msgspec.to_builtins(told(prices)),
    }
    return answer | ({"rows": rows(history)} if every_row else {})
