"""pilotlight providers"""

import argparse
import json
from typing import Any

from pilotlight.cli import client
from pilotlight.cli.cost_view import usd, without_price
from pilotlight.cli.ps_verb import table
from pilotlight.units import format_duration

HEADS = [
    "PROVIDER",
    "HEALTH",
    "WARM",
    "COLD",
    "COLD RATE",
    "IN FLIGHT",
    "REQUESTS",
    "FAILED",
]
WINDOWS = ("hour", "day", "month")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for programs: what GET /providers answers")
    client.arguments(parser)


def run(args: argparse.Namespace) -> None:
    answer = client.Client(args).get("/providers", "providers")
    if args.json:
        print(json.dumps(answer))
    elif not answer["providers"]:
        print("no providers are configured")
    else:
        show(answer["providers"])


def show(providers: list[dict[str, Any]]) -> None:
    """WARM and COLD: to the first token."""
    table(HEADS, [_row(p) for p in providers])
    print("\nof this calendar hour, day and month (UTC), and what the budget leaves:")
    table(["PROVIDER", *(w.upper() for w in WINDOWS)], [_money(p) for p in providers])
    if any(p["priced"] for p in providers):
        print("prices are your own, those that `providers` declares")
    without_price([p["id"] for p in providers if not p["priced"]])
    for p in providers:
        if p["last_reason"]:
            print(f"{p['id']}, last failure: {p['last_reason']}")


def _row(p: dict[str, Any]) -> list[str]:
    cold = "-" if p["cold_rate"] is None else f"{p['cold_rate'] * 100:.1f} %"
    return [
        p["id"],
        _health(p),
        _seconds(p["first_token_s"]),
        _seconds(p["first_token_s"] + p["cold_start_s"]) if p["cold_start_s"] else "-",
        cold,
        f"{p['in_flight']} of {p['max_requests']}",
        str(p["requests"]),
        str(p["failures"]),
    ]


def _money(p: dict[str, Any]) -> list[str]:
    return [p["id"], *(_amount(p["spent"][w], p["left"][w]) for w in WINDOWS)]


def _amount(spent: float, left: float | None) -> str:
    return usd(spent) + (f", {usd(left)} left" if left is not None else "")


def _health(p: dict[str, Any]) -> str:
    if p["breaker"] == "closed":
        return "well"
    left = p["pause_left_s"]
    return p["breaker"] + (f" for {_seconds(left)}" if left > 0 else "")


def _seconds(value: float) -> str:
    return format_duration(value if value < 10 else round(value))
