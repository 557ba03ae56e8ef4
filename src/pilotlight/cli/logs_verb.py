"""pilotlight logs"""

import argparse
import json
import sys
import time
from pathlib import Path

from pilotlight.cli import client
from pilotlight.cli.runtime import servers
from pilotlight.errors import PilotlightError, ServerError
from pilotlight.spec.model import Config
from pilotlight.worker.logs import paths as log_paths
from pilotlight.worker.logs import plain

POLL = 0.2
"""Seconds between looks at a log that is followed."""


def arguments(parser: argparse.ArgumentParser) -> None:
    # A command line may hold bytes that are not UTF-8; no model is called so.
    parser.add_argument("model", type=lambda text: text.encode("utf-8", "replace").decode())
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what is written from now on")
    parser.add_argument(
        "-n", "--lines", type=int, default=100, help="how many of the last lines; default: 100"
    )
    parser.add_argument("--json", action="store_true", help='for programs: {"line": ...} for each line')
    parser.add_argument("--port", type=int, help="which server on this machine, when there are several")


def run(args: argparse.Namespace) -> None:
    folder = _log_dir(args.port)
    model = _by_alias(args.model, args.port)
    paths = log_paths(folder, model)
    if not paths and not args.follow:
        why = _latest(model, args.port) or "it has not been started yet"
        raise ServerError(f"there is no log of {args.model!r} under {folder}; {why}")
    current = paths[-1] if paths else None
    position = 0
    if current is not None:
        data = current.read_bytes()
        position = len(data)
        lines = plain(data.decode(errors="replace")).splitlines()[-args.lines :] if args.lines > 0 else []
        _write("".join(f"{line}\n" for line in lines), args.json)
        if not data and not args.follow:
            why = _latest(model, args.port) or "its engine has written nothing"
            print(f"pilotlight: {current} is empty; {why}", file=sys.stderr)
    while args.follow:
        current, position = _follow(folder, model, current, position, args.json)
        time.sleep(POLL)


def _write(text: str, as_json: bool) -> None:
    if as_json:
        text = "".join(json.dumps({"line": line}) + "\n" for line in text.splitlines())
    sys.stdout.write(text)
    sys.stdout.flush()


def _by_alias(name: str, port: int | None) -> str:
    """The model's own name, as a running server knows it."""
    try:
        card = client.Client(argparse.Namespace(url=None, port=port)).get(f"/v1/models/{client.quote(name)}")
        return str(card.get("root", name))
    except PilotlightError:  # it may be gone, or not know the model any more
        return name


def _latest(model: str, port: int | None) -> str:
    """What a running server decided last of it, and why, or that it does not know it; empty where none runs."""
    if not servers():
        return ""
    try:
        return client.Client(argparse.Namespace(url=None, port=port)).latest(model)
    except PilotlightError as e:
        return str(e)


def _log_dir(port: int | None) -> Path:
    """Of the running server, or the default place when none runs, for a log outlives its server."""
    from pilotlight.cli.state import state_dir  # noqa: PLC0415

    if port is None and not servers():
        return state_dir(Config()) / "logs"
    return Path(client.local(port).state_dir) / "logs"


def _follow(
    folder: Path, model: str, current: Path | None, position: int, as_json: bool
) -> tuple[Path | None, int]:
    """Writes what is new, first the rest of the old log, then the newer replica's."""
    if current is not None and current.exists():
        size = current.stat().st_size
        if size < position:  # it was rotated
            position = 0
        if size > position:
            with current.open("rb") as file:
                file.seek(position)
                data = file.read()
            position += len(data)
            _write(plain(data.decode(errors="replace")), as_json)
    paths = log_paths(folder, model)
    if paths and paths[-1] != current:
        return paths[-1], 0
    return current, position
