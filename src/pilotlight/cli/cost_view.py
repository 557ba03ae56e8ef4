"""A bill on a terminal, and as CSV."""

import csv
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TextIO

from pilotlight.cli.ps_verb import table
from pilotlight.cost.declared import said
from pilotlight.cost.rows import OF_REPLICAS, RENTED, RUNGS
from pilotlight.units import format_duration

COLUMNS = ("hour", "model", "key", "class", "rung", "provider", "seconds", "usd")
PRICES = "prices"
"""A column after those, so that readers of CSV need not know of comments: whether a row's dollars are of examples."""

NAMELESS = {
    "model": "(unsettled)",
    "key": "(no key)",
    "class": "(none: not serving)",
    "provider": "(own replicas)",
}
"""What belongs to no request has no key and no class; what is no provider's is our own."""


def show(answer: dict[str, Any]) -> None:
    hours = answer["replica_seconds"] / 3600
    of_replicas = answer["usd"] - answer["provider_usd"]
    print(
        f"{usd(answer['usd'])} since {_day(answer['since'])}: {usd(of_replicas)} for {hours:,.2f} replica-hours, "
        f"{usd(answer['provider_usd'])} for providers"
    )
    if answer["lines"]:
        print()
        lines(answer)
    print()
    otherwise(answer)
    _waiting(answer)
    print(said(answer["prices"]["examples"]))


def without_price(providers: list[str]) -> None:
    """Says of each that what it charges is not known."""
    for name in providers:
        print(f"{name} has no price in `providers`: what it answers counts as $0")


def lines(answer: dict[str, Any]) -> None:
    """What each costs, and on which rung."""
    each, by = answer["lines"], answer["by"]
    rungs = [rung for rung in RUNGS if any(rung in line["by_rung"] for line in each)] if by != "rung" else []
    rows = [
        [
            _name(by, line["name"]),
            usd(line["usd"]),
            f"{line['share'] * 100:.1f} %",
            f"{line['replica_seconds'] / 3600:,.2f}",
            *(usd(line["by_rung"][rung]) if rung in line["by_rung"] else "-" for rung in rungs),
        ]
        for line in each
    ]
    table([by.upper(), "USD", "SHARE", "REPLICA-HOURS", *(rung.upper() for rung in rungs)], rows)


def _name(by: str, name: str) -> str:
    return hour(int(name) * 3600) if by == "hour" else name or NAMELESS.get(by, "-")


def otherwise(answer: dict[str, Any]) -> None:
    other = answer["otherwise"]
    print(
        f"the same traffic: always on at its peak {usd(other['always_on_usd'])}, "
        f"scaled to zero between any two spells {usd(other['scale_to_zero_usd'])}"
    )


def _waiting(answer: dict[str, Any]) -> None:
    waiting, cold = answer["waiting"], answer["cold_request"]
    each = "" if cold is None else f"; one counts for {usd(cold['usd'])} now: {cold['because']}"
    print(
        f"waiting: {format_duration(waiting['waited_s'])} in all; {waiting['cold']:,} of {waiting['requests']:,} "
        "requests waited longer for a start than `objective.wait`, "
        f"which counts as {usd(waiting['usd'])}{each}"
    )


def usd(amount: float) -> str:
    """Cents, or three digits of less than that, never as a power of ten."""
    if round(amount, 3) >= 0.1 or amount == 0:
        return f"${amount:,.2f}"
    return f"${Decimal(f'{amount:.3g}'):f}"


def hour(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%dT%H:00Z")


def _day(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M UTC")


def csv_rows(answer: dict[str, Any], out: TextIO) -> None:
    """What a provider charged, or could have, is at prices that somebody declared."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*COLUMNS, PRICES])
    date = answer["prices"]["date"]
    ours = f"examples of {date}" if date else "own"
    for row in answer["rows"]:
        cells = [hour(row["hour"]), *(row[name] for name in COLUMNS[1:])]
        writer.writerow([*cells, ours if row["rung"] in (*OF_REPLICAS, RENTED) else "own"])
