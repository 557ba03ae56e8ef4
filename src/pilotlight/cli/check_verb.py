"""pilotlight check"""

import argparse
import json
import os
from pathlib import Path

from pilotlight.errors import ConfigError, Problem
from pilotlight.spec.load import line_of, load
from pilotlight.spec.model import Model


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", nargs="?", default="pilotlight.yaml", help="default: pilotlight.yaml")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--schema", action="store_true", help="print the JSON schema of the file instead")


def run(args: argparse.Namespace) -> int:
    if args.schema:
        from pilotlight.spec.schema import schema  # noqa: PLC0415

        print(json.dumps(schema(), indent=2))
        return 0
    path = Path(args.config)
    problems: list[Problem] = []
    models: list[str] = []
    try:
        config = load(path, os.environ)
        models = list(config.models)
        problems = _engine_args(path, config.models)
    except ConfigError as e:
        problems = list(e.problems)
    if args.json:
        rows = [{"file": p.file, "line": p.line, "key": p.key, "message": p.message} for p in problems]
        print(json.dumps({"ok": not problems, "models": models, "problems": rows}))
        return 2 if problems else 0
    if problems:
        raise ConfigError(problems)
    print(f"{path}: no problems; {len(models)} model{'s' if len(models) != 1 else ''}: {', '.join(models)}")
    return 0


def _engine_args(path: Path, models: dict[str, Model]) -> list[Problem]:
    """What only the engine itself can say: it is asked here and not at every start, for importing it takes 100 ms."""
    from pilotlight.engines.llamacpp import LlamaCppEngine  # noqa: PLC0415

    return [
        Problem(
            str(path), line_of(path, "models", name, "engine_args"), f"models.{name}.engine_args", message
        )
        for name, model in models.items()
        if model.engine == "llamacpp" and model.engine_args
        for message in LlamaCppEngine().check_args(model.engine_args)
    ]
