"""pilotlight trace"""

import argparse
import json
from typing import Any

from pilotlight.cli import client
from pilotlight.cli.cost_view import usd
from pilotlight.cost.declared import said

WIDTH = 40


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", nargs="?", help="an x-pilotlight-request-id; default: the latest request")
    parser.add_argument("--model", help="the latest request of this model")
    parser.add_argument("--json", action="store_true", help="for programs: what GET /traces/ID answers")
    client.arguments(parser)


def run(args: argparse.Namespace) -> None:
    path = f"/traces/{client.quote(args.id)}" if args.id else "/traces"
    if args.model and not args.id:
        path += f"?model={client.quote(args.model)}"
    trace = client.Client(args).get(path, "request_id", "spans", "prices")
    if args.json:
        print(json.dumps(trace))
        return
    print(render(trace))
    if _at_our_prices(trace):
        print(f"  {said(trace['prices']['examples'])}")


def _at_our_prices(trace: dict[str, Any]) -> bool:
    return bool(trace.get("cost_usd")) and not trace.get("provider")


def render(trace: dict[str, Any]) -> str:
    """The stages as bars on one time axis, from the request's arrival to its first byte."""
    spans = trace["spans"]
    end = max((s["start_s"] + s["seconds"] for s in spans), default=0.0) or 1e-9
    lines = [
        f"{trace['request_id']}  {trace['model']}  {trace['start']}  {trace['outcome']} ({trace['status']})"
    ]
    if trace.get("provider"):
        lines[0] += f"  by {trace['provider']}"
    if trace.get("cost_usd"):
        lines[0] += f", {usd(trace['cost_usd'])}"
        if _at_our_prices(trace):
            lines[0] += " at the server's prices"
    for s in spans:
        left = round(s["start_s"] / end * WIDTH)
        width = max(1, round(s["seconds"] / end * WIDTH))
        bar = " " * min(left, WIDTH - 1) + "█" * min(width, WIDTH - min(left, WIDTH - 1))
        lines.append(f"  {s['stage']:12}{_ms(s['seconds']):>10}  {bar}")
    for name, key in (
        ("start wait", "start_wait_s"),
        ("queue", "queue_s"),
        ("engine", "first_token_s"),
        ("first byte", "ttft_s"),
        ("whole", "duration_s"),
    ):
        if trace.get(key) is not None:
            lines.append(f"  {name:12}{_ms(trace[key]):>10}")
    if trace.get("techniques"):
        lines.append(f"  by {', '.join(trace['techniques'])}")
    if trace.get("fell_back"):
        lines.append(f"  not used: {trace['fell_back']}")
    return "\n".join(lines)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 10 else f"{seconds:.2f} s"
