"""pilotlight ps"""

import argparse
import json
from typing import Any

from pilotlight.cli import client
from pilotlight.units import format_duration, format_size


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for programs: what GET /running answers")
    client.arguments(parser)


def run(args: argparse.Namespace) -> None:
    answer = client.Client(args).get("/running", "replicas", "held", "primed")
    if args.json:
        print(json.dumps(answer))
        return
    if not answer["replicas"]:
        print("no replicas are up")
    else:
        table(
            ["MODEL", "REPLICA", "STATE", "AGE", "MEMORY", "DEVICE", "IN FLIGHT", "IDLE LEFT"],
            [_row(r) for r in answer["replicas"]],
        )
    for model, n in answer["held"].items():
        print(f"{n} held for {model}")
    if prepared := _prepared(answer["primed"]):
        print(f"prepared for starts: {prepared}")


def _row(r: dict[str, Any]) -> list[str]:
    state = r["state"]
    if state in {"starting", "waking"} and r["progress"]:
        eta = r.get("eta_s")
        left = "" if eta is None else f", about {max(1, round(eta))} s to go"
        state = f"{state} ({r['progress']}{left})"
    if r.get("warmer"):
        state = f"{state}, warmer"
    left = r["idle_left_s"]
    return [
        r["model"],
        r["replica"],
        state,
        format_duration(r["age_s"]),
        format_size(r["memory_bytes"]),
        ",".join(map(str, r["devices"])) or "cpu",
        str(r["in_flight"]),
        "-" if left is None else format_duration(left),
    ]


def _prepared(primed: dict[str, Any]) -> str:
    """Techniques that are at hand: by engine, snapshots by model."""
    found = {
        "zygote": dict.fromkeys(z["engine"] for z in primed["zygotes"] if z["ready"]),
        "warm_pool": [f"{n} of {engine}" for engine, n in primed["warm_pool"].items()],
        "snapshot": primed["snapshots"],
    }
    return "; ".join(f"{name} ({', '.join(of)})" for name, of in found.items() if of)


def table(head: list[str], rows: list[list[str]]) -> None:
    """Columns as wide as they need to be, so that output can be cut and grepped."""
    widths = [max(len(cell) for cell in column) for column in zip(head, *rows, strict=True)]
    for row in [head, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
