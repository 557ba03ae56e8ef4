"""pilotlight explain"""

import argparse
import json
from datetime import UTC, datetime
from typing import Any

from pilotlight.cli import client, providers_verb
from pilotlight.cli.cost_view import usd
from pilotlight.cli.ps_verb import table
from pilotlight.cost.declared import said
from pilotlight.units import format_duration


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="its id, or an alias")
    parser.add_argument("--last", type=int, default=20, help="decisions to show, at the most; default: 20")
    parser.add_argument(
        "--json", action="store_true", help="for programs: what GET /models/ID/explain answers"
    )
    client.arguments(parser)


def run(args: argparse.Namespace) -> None:
    path = f"/models/{client.quote(args.model)}/explain"
    answer = client.Client(args).get(path, "asks", "decisions", "keep_alive")
    if args.json:
        print(json.dumps(answer))
    else:
        show(answer, max(0, args.last))


def show(answer: dict[str, Any], last: int) -> None:
    states = ", ".join(f"{n} {state.replace('_', ' ')}" for state, n in answer["replicas"].items())
    bounds = answer["bounds"]
    print(
        f"{answer['model']}: wants {answer['wanted']} of {bounds['min_replicas']} to {bounds['max_replicas']} "
        f"replicas, has {states or 'none'}"
    )
    _asks(answer)
    _prices(answer)
    if answer.get("providers"):
        print("\nwhat exceeds its replicas may go to")
        providers_verb.show(answer["providers"])
    decisions = answer["decisions"][-last:] if last else []
    if decisions:
        print()
        table(["WHEN", "WHAT", "BECAUSE"], [_decision(d) for d in decisions])
    elif not answer["decisions"]:
        print("\nnothing has been decided yet")


def _asks(answer: dict[str, Any]) -> None:
    print()
    if answer["asks"]:
        rows = [[a["policy"], str(a["replicas"]), _for(a["for_s"]), a["because"]] for a in answer["asks"]]
        table(["POLICY", "ASKS FOR", "FOR", "BECAUSE"], rows)
    else:
        print("no policy asks for a replica")
    delays = answer["delays"]
    if delays is not None:
        up, down = (format_duration(delays[f"scale_{way}_delay_s"]) for way in ("up", "down"))
        print(f"its requests are granted {delays['granted']}, {up} behind when more and {down} when fewer")
    if answer.get("warmer"):
        print(f"warmer: {answer['warmer']}")


def _prices(answer: dict[str, Any]) -> None:
    print()
    rows = [[str(k["replica"]), _for(k["idle_s"]), k["because"]] for k in answer["keep_alive"]]
    table(["REPLICA", "STAYS IDLE", "BECAUSE"], rows)
    if answer["base"]:
        print()
        rows = [
            [
                str(b["replica"]),
                *(f"${b[f'{k}_usd']:.4g}/h" for k in ("on_demand", "dedicated")),
                _yes(b["rented"]),
            ]
            for b in answer["base"]
        ]
        table(["REPLICA", "ON DEMAND", "DEDICATED", "ALWAYS UP"], rows)
    cold = answer["cold_request"]
    print(
        f"\na request that waits longer for a start than `objective.wait` counts for {usd(cold['usd'])}: "
        f"{cold['because']}"
    )
    print(said(answer["prices"]["examples"]))


def _yes(so: bool) -> str:
    return "yes" if so else "no"


def _for(seconds: float | None) -> str:
    return "-" if seconds is None else format_duration(seconds if seconds < 10 else round(seconds))


def _decision(d: dict[str, Any]) -> list[str]:
    when = datetime.fromtimestamp(d["unix"], UTC).astimezone().strftime("%m-%d %H:%M:%S")
    times = f" ({d['times']} times)" if d["times"] > 1 else ""
    return [when, d["what"] + times, d["because"]]
