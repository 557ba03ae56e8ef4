"""pilotlight engine"""

import argparse
import json
import sys
import time
from typing import Any

from pilotlight.cli import engine_install
from pilotlight.cli.ps_verb import table
from pilotlight.engines import homes
from pilotlight.units import format_duration, format_size


def arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="what", required=True, metavar="install|list|remove")
    install = verbs.add_parser("install", help="install an engine into an environment of its own")
    install.add_argument("name", choices=list(homes.RECIPES))
    install.add_argument("--version", default="", help="another version of the engine")
    install.add_argument(
        "--python", default=sys.executable, help="the interpreter; default: pilotlight's own"
    )
    install.add_argument(
        "--torch-index", default="", metavar="URL", help="the package index that torch comes from"
    )
    install.add_argument(
        "--extra-index-url",
        action="append",
        default=[],
        metavar="URL",
        help="a further package index; repeatable",
    )
    install.add_argument("--again", action="store_true", help="also when it is installed already")
    listing = verbs.add_parser("list", help="what is installed and what can be")
    listing.add_argument("--json", action="store_true", help="for programs")
    remove = verbs.add_parser("remove", help="remove an engine's environment")
    remove.add_argument("name")


def run(args: argparse.Namespace) -> None:
    {"install": _install, "list": _list, "remove": _remove}[args.what](args)


def _install(args: argparse.Namespace) -> None:
    order = engine_install.Order(
        args.name, args.version, args.python, args.torch_index, tuple(args.extra_index_url), args.again
    )
    began = time.monotonic()
    home = engine_install.install(order, lambda line: print(line, file=sys.stderr, flush=True))
    versions = ", ".join(f"{name} {version}" for name, version in home.versions.items())
    took = format_duration(time.monotonic() - began)
    print(f"{args.name}: {versions}; {format_size(home.size)} in {home.folder}; {took}")


def _remove(args: argparse.Namespace) -> None:
    print(f"removed {engine_install.remove(args.name)}")


def _list(args: argparse.Namespace) -> None:
    rows = [_row(name) for name in homes.RECIPES]
    if args.json:
        print(json.dumps({"root": str(homes.root()), "engines": rows}))
        return
    table(
        ["ENGINE", "STATE", "VERSIONS", "SIZE", "WHAT"],
        [
            [r["name"], r["state"], _versions(r), format_size(r["bytes"]) if r["bytes"] else "-", r["what"]]
            for r in rows
        ],
    )
    print(f"\nthey live in {homes.root()}; llamacpp comes with pilotlight")


def _versions(row: dict[str, Any]) -> str:
    return " ".join(f"{name} {version}" for name, version in row["versions"].items()) or "-"


def _row(name: str) -> dict[str, Any]:
    recipe, folder = homes.RECIPES[name], homes.root() / name
    mark = homes.read_mark(folder)
    state = "not installed"
    if folder.exists():
        half = (folder / homes.HALF).exists() or mark is None
        state = "half installed" if half else "installed"
        if half and engine_install.installing(name):
            state = "being installed"
    if state != "installed":
        mark = None
    return {
        "name": name,
        "state": state,
        "versions": {} if mark is None else {**mark.versions, **homes.versions(name, folder)},
        "bytes": 0 if mark is None else mark.size,
        "path": str(folder),
        "default_version": recipe.version,
        "what": recipe.what,
    }
