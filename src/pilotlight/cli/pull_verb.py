"""pilotlight pull"""

import argparse
import json
from pathlib import Path

from pilotlight.cli.progress import ProgressBar
from pilotlight.spec.model import Config
from pilotlight.weights.cache import WeightCache
from pilotlight.weights.index import public


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source", help="hf://org/repo[@rev]/file.gguf, https://..., demo://50m, demo://1b or a path"
    )
    parser.add_argument("--cache-dir", help="where weights are kept; default: ~/.cache/pilotlight")
    parser.add_argument("--json", action="store_true", help="for programs")


def run(args: argparse.Namespace) -> None:
    from pilotlight.cli.state import cache_dir  # noqa: PLC0415

    cache = WeightCache(Path(args.cache_dir) if args.cache_dir else cache_dir(Config()))
    cache.check(args.source)
    path = fetch(cache, args.source)
    if args.json:
        print(json.dumps({"source": args.source, "path": str(path), "bytes": path.stat().st_size}))
    else:
        print(path)


def fetch(cache: WeightCache, source: str) -> Path:
    """The weights' file, with a progress bar on stderr while it is not here. Raises SourceError."""
    found = cache.local(source)
    if found is not None:
        return found
    with ProgressBar(public(source)) as bar:
        return cache.fetch(source, bar.update)
