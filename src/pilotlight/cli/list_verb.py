"""pilotlight list"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

from pilotlight.cli.ps_verb import table
from pilotlight.engines.homes import RECIPES
from pilotlight.spec.load import load
from pilotlight.spec.model import Config, Model
from pilotlight.units import format_size
from pilotlight.weights.cache import WeightCache


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "config", nargs="?", help="show this configuration's models too; default: pilotlight.yaml"
    )
    parser.add_argument("--json", action="store_true", help="for programs")


def _is_here(cache: WeightCache, model: Model) -> bool | None:
    """None where there are no weights, or where the engine fetches them by itself."""
    if model.source is None:
        return None
    if model.engine in RECIPES:
        return Path(model.source).is_absolute() or None
    return cache.local(model.source) is not None


def run(args: argparse.Namespace) -> None:
    from pilotlight.cli.state import cache_dir  # noqa: PLC0415

    path = Path(args.config or "pilotlight.yaml")
    config = load(path, os.environ) if args.config or path.exists() else Config()
    cache = WeightCache(cache_dir(config))
    models: list[dict[str, Any]] = [
        {
            "model": name,
            "engine": m.engine,
            "source": m.source or m.cmd,
            "aliases": list(m.aliases),
            "here": _is_here(cache, m),
        }
        for name, m in config.models.items()
    ]
    weights: list[dict[str, Any]] = [
        {"source": e.source, "bytes": e.bytes, "path": str(e.path)} for e in cache.entries()
    ]
    if args.json:
        print(json.dumps({"models": models, "weights": weights}))
        return
    here = {True: "yes", False: "not yet", None: "-"}
    if models:
        rows = [[str(m["model"]), str(m["engine"]), str(m["source"] or ""), here[m["here"]]] for m in models]
        table(["MODEL", "ENGINE", "SOURCE", "WEIGHTS HERE"], rows)
        print()
    if weights:
        table(["IN THE CACHE", "SIZE"], [[w["source"], format_size(w["bytes"])] for w in weights])
    else:
        print("the cache is empty")
