"""pilotlight prices"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

import msgspec

from pilotlight.cli import price_book
from pilotlight.cli.ps_verb import table
from pilotlight.cost.book import Entry, Priced
from pilotlight.spec.load import load
from pilotlight.units import format_size

HEADS = {
    "dedicated": "Dedicated GPUs",
    "serverless_gpu": "GPUs by the second",
    "functions": "CPU functions",
    "provisioned": "Provisioned concurrency",
    "managed": "Managed instances",
    "active_cpu": "Active CPU",
    "tokens": "APIs by the token",
}

UNITS = {
    "month_usd": "month",
    "hour_usd": "hour",
    "second_usd": "second",
    "million_requests_usd": "million requests",
    "gb_second_usd": "GB-second",
    "gb_second_provisioned_usd": "GB-second kept ready",
    "vcpu_hour_usd": "vCPU-hour at work",
    "gb_hour_usd": "GB-hour",
    "million_input_usd": "million tokens in",
    "million_output_usd": "million tokens out",
}

_OF_ALL = frozenset(Entry.__struct_fields__)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--book", type=Path, metavar="FILE", help="prices of your own, in place of examples")
    parser.add_argument(
        "--config", type=Path, help="take the book that its `prices.book` names; default: pilotlight.yaml"
    )
    parser.add_argument("--json", action="store_true", help="for programs")


def run(args: argparse.Namespace) -> None:
    priced = price_book.priced(_own(args))
    if args.json:
        print(json.dumps(told(priced)))
    else:
        show(priced)


def _own(args: argparse.Namespace) -> str | Path | None:
    if args.book is not None:
        return args.book
    path = args.config or Path("pilotlight.yaml")
    if args.config is None and not path.exists():
        return None
    return load(path, os.environ, simulated=True).prices.book


def told(priced: Priced) -> dict[str, Any]:
    """For programs. `own` says whether a price is the operator's."""
    book = priced.book
    return {
        "date": book.date,
        "examples": _examples(priced),
        "prices": [
            {
                "kind": section,
                "name": name,
                **msgspec.to_builtins(entry),
                "date": book.date_of(entry),
                "own": (section, name) in priced.own,
            }
            for section, entries in book.sections().items()
            for name, entry in entries.items()
        ],
    }


def show(priced: Priced) -> None:
    for section, entries in priced.book.sections().items():
        if not entries:
            continue
        print(f"{HEADS[section]}, US dollars")
        rows = [_row(priced, section, name, entry) for name, entry in entries.items()]
        table(["  NAME", "PRICE", "OF", "SOURCE"], rows)
        print()
    print(_examples(priced) or "all prices are your own")


def _row(priced: Priced, section: str, name: str, entry: Entry) -> list[str]:
    mine = "yours: " if (section, name) in priced.own else ""
    doubt = "" if entry.certain else "about "
    return [f"  {name}", doubt + _price(entry), priced.book.date_of(entry), mine + entry.source]


def _price(entry: Entry) -> str:
    found = [
        _said(key, value)
        for key in entry.__struct_fields__
        if key not in _OF_ALL and (value := getattr(entry, key)) not in (None, 0.0)
    ]
    return ", ".join(found)


def _said(key: str, value: Any) -> str:
    """`month_usd` as `$2,500.00/month`."""
    if key == "gpu_memory":
        return format_size(value)
    if key == "init_billed":
        return "initialisation billed" if value else "initialisation free"
    if key == "surcharge":
        return f"plus {value * 100:g} %"
    amount = f"{value:,.2f}" if value >= 1 else f"{value:.10f}".rstrip("0").ljust(len("0.00"), "0")
    return f"${amount}/{UNITS[key]}"


def _examples(priced: Priced) -> str:
    """Empty where nothing is an example."""
    every = sum(map(len, priced.book.sections().values()))
    left = every - len(priced.own)
    if not left:
        return ""
    which = "prices" if left == every else f"{left} of {every} prices"
    return (
        f"{which} are examples of {priced.book.date} until you set your own: in a file that `prices.book` names, "
        "with entries of the same name; what the server reckons with is `prices.gpu_month_usd` and its neighbours"
    )
