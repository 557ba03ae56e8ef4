"""pilotlight check"""

import argparse
import json
import os
from pathlib import Path

from pilotlight.cli import price_book
from pilotlight.cli.engine_problems import no_snapshots, not_installed, too_few_gpus, wrong_args
from pilotlight.errors import ConfigError, Problem
from pilotlight.spec.load import load


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", nargs="?", default="pilotlight.yaml", help="default: pilotlight.yaml")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument(
        "--simulated",
        action="store_true",
        help="as `pilotlight simulate` reads it, which needs no models, sources, engines and keys",
    )
    parser.add_argument("--schema", action="store_true", help="print the JSON schema of the file instead")


def run(args: argparse.Namespace) -> int:
    if args.schema:
        from pilotlight.spec.schema import schema  # noqa: PLC0415

        print(json.dumps(schema(), indent=2))
        return 0
    path = Path(args.config)
    problems: list[Problem] = []
    models: list[str] = []
    warnings: list[str] = []
    try:
        config = load(path, os.environ, simulated=args.simulated)
        models = list(config.models)
        if config.prices.book is not None:
            price_book.priced(config.prices.book)
        if not args.simulated:
            warnings = [*map(str, too_few_gpus(path, config, os.environ)), no_snapshots(config)]
            problems = [*not_installed(path, config).values(), *wrong_args(path, config)]
    except ConfigError as e:
        problems = list(e.problems)
    if args.json:
        rows = [{"file": p.file, "line": p.line, "key": p.key, "message": p.message} for p in problems]
        print(json.dumps({"ok": not problems, "models": models, "problems": rows}))
        return 2 if problems else 0
    if problems:
        raise ConfigError(problems)
    for warning in filter(None, warnings):
        print(warning)
    named = f": {', '.join(models)}" if models else ""
    print(f"{path}: no problems; {len(models)} model{'s' if len(models) != 1 else ''}{named}")
    return 0
