"""pilotlight cost"""

import argparse
import json
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pilotlight.cli import client, cost_view
from pilotlight.cli.billing import unpriced
from pilotlight.cli.runtime import servers
from pilotlight.cli.state import state_dir
from pilotlight.cost.history import HOUR
from pilotlight.cost.report import BY, billed
from pilotlight.errors import PilotlightError
from pilotlight.spec.load import load
from pilotlight.spec.model import Config
from pilotlight.telemetry.bill_store import FILE, read_file
from pilotlight.units import parse_duration


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--since", metavar="7d|DATE", help="from then on; default: from the first of this month (UTC)"
    )
    parser.add_argument("--by", choices=list(BY), default="model", help="what lines are for; default: model")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="for programs: what GET /cost answers")
    form.add_argument("--csv", action="store_true", help="every row of every hour")
    parser.add_argument(
        "--config",
        type=Path,
        help="whose state folder is read where no server runs; default: pilotlight.yaml",
    )
    client.arguments(parser)


def run(args: argparse.Namespace) -> int:
    try:
        since = moment(args.since, time.time())
    except PilotlightError as e:
        print(f"pilotlight: {e}", file=sys.stderr)
        return 2
    answer = _answer(args, since)
    if args.csv:
        cost_view.csv_rows(answer, sys.stdout)
    elif args.json:
        print(json.dumps(answer))
    else:
        cost_view.show(answer)
        cost_view.without_price(answer["unpriced"])
    return 0


def _answer(args: argparse.Namespace, since: float) -> dict[str, Any]:
    """Of a server that is named, or that runs here; with --config, of one whose state folder it is."""
    named = args.url or os.environ.get("PILOTLIGHT_URL") or args.port is not None
    if named or (args.config is None and servers()):
        return _of_server(args, since)
    config = _config(args.config)
    own = state_dir(config)
    if any(s.state_dir == str(own) for s in servers()):
        return _of_server(args, since)
    history = read_file(own / FILE, int(since // HOUR))
    found = billed(history, since, time.time(), args.by, config.prices, every_row=args.csv)
    return {**found, "unpriced": unpriced(config)}


def _of_server(args: argparse.Namespace, since: float) -> dict[str, Any]:
    rows = "&rows=1" if args.csv else ""
    path = f"/cost?since={since:.0f}&by={args.by}{rows}"
    return client.Client(args).get(path, "usd", "lines", *(["rows"] if args.csv else []))


def _config(path: Path | None) -> Config:
    if path is None and not Path("pilotlight.yaml").exists():
        return Config()
    return load(path or Path("pilotlight.yaml"), os.environ, simulated=True)


def moment(text: str | None, now: float) -> float:
    """Unix seconds, from `7d`, `12h` or a day such as 2026-11-01 (UTC). Raises PilotlightError."""
    if text is None:
        today = datetime.fromtimestamp(now, UTC)
        return today.replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp()
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
    except ValueError:
        pass
    else:
        if day > now:
            raise PilotlightError(f"--since {text} lies in the future; write a day that has begun (UTC)")
        return day
    try:
        ago = parse_duration(text)
    except ValueError:
        ago = float("inf")
    if not 0 < ago <= now:
        raise PilotlightError(
            f"--since {text}: write how long ago, such as 12h or 7d, or a day such as 2026-11-01"
        )
    return now - ago
