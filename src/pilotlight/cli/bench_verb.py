"""pilotlight bench"""

import argparse
import json
import os
import signal
import sys
from collections.abc import Collection
from pathlib import Path

import msgspec

from pilotlight.cli import output
from pilotlight.errors import PilotlightError
from pilotlight.fleet.plan import Stage
from pilotlight.ports import Engine
from pilotlight.spec.model import Config, EngineSettings, Model
from pilotlight.spec.sources import is_repository, repository_fault, source_fault

SERVER = (sys.executable, "-m", "pilotlight.cli.bench_server")
DEFAULT = Path("pilotlight.yaml")
BY_THEMSELVES = ("vllm", "vllm-cpu", "sglang")
"""Engines that fetch by themselves."""


def arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_subparsers(dest="what", required=True, metavar="cold-start")
    cold = what.add_parser(
        "cold-start",
        help="from a request to its first token when nothing is up: plain, by each technique, by all together",
        description="Asks a model at zero over and over, through the whole server, and compares the plain start with "
        "each technique alone and all together. The runs are interleaved, every prompt is new, and the weights are "
        "in memory (the page cache) but for --from-disk and --fetch.",
    )
    cold.add_argument("model", metavar="SOURCE|MODEL", help="weights, or the name of a model in --config")
    cold.add_argument("--engine", help="the engine; default: the configuration's, or llamacpp")
    group = cold.add_mutually_exclusive_group()
    group.add_argument("--with", dest="wanted", type=_names, help="only these techniques: a,b")
    group.add_argument("--without", type=_names, default=(), help="not these techniques: a,b")
    cold.add_argument("--runs", type=_positive, default=5, help="timed requests to each; default: 5")
    where = cold.add_mutually_exclusive_group()
    where.add_argument(
        "--from-disk",
        action="store_true",
        help="put the weights out of memory before every run; `read_ahead` can be compared only so",
    )
    where.add_argument(
        "--fetch",
        action="store_true",
        help="fetch the weights anew in every run, into folders of its own; `stream` can be compared only so",
    )
    cold.add_argument("--json", action="store_true", help="for programs")
    cold.add_argument("--plot", type=Path, help="also write the figures there, as a page for a browser")
    cold.add_argument("--config", type=Path, help=f"the configuration; default: {DEFAULT}, if it is there")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def run(args: argparse.Namespace) -> None:
    from pilotlight.bench import free_memory, measuring, plot, result, variants  # noqa: PLC0415
    from pilotlight.cli import bench_view  # noqa: PLC0415

    config, model, folder = _subject(args)
    engine = _engine(config, model)
    _check_source(model)
    _check_fetch(args, model)
    _check_technique(args, engine.techniques(model))
    _check_snapshots(args.wanted, model)
    offered, every = _offered(engine, model, args), engine.techniques(model)
    # What the engine has and is left out here may be named as well.
    without = [name for name in args.without if name in offered or name not in every]
    chosen = variants.variants(offered, args.wanted, without)
    if args.plot is not None:
        output.check("--plot", args.plot, (args.config or DEFAULT, args.model))
    if not args.fetch:
        _fetch(config, model, engine)
    on_disk = _on_disk(config, model) if args.from_disk else ()
    settings = config.engines.get(model.engine, EngineSettings())
    subject = measuring.Subject(model, settings, config, folder, args.fetch, on_disk)
    for number in (signal.SIGTERM, signal.SIGHUP):  # as Ctrl-C does: its servers and their folders go with it
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    with bench_view.Watch(len(chosen), args.runs) as watch:
        measured = measuring.measure(subject, chosen, args.runs, SERVER, watch.told)
    about = f"{args.model} on {model.engine}, {_where(args)}, a new prompt in every run"
    report = result.Report(
        about, tuple(measured), result.machine(), result.today(), free_memory.is_taken_back()
    )
    if args.plot is not None:
        args.plot.write_text(plot.html(report))
    if args.json:
        print(json.dumps(report.json()))
    else:
        bench_view.show(report)


def _where(args: argparse.Namespace) -> str:
    if args.fetch:
        return "weights fetched in every run"
    return "weights read from the disk in every run" if args.from_disk else "weights in the page cache"


def _subject(args: argparse.Namespace) -> tuple[Config, Model, Path]:
    """The configuration, the model in it or one made of its source, and the folder relative paths are relative to."""
    path = args.config or (DEFAULT if DEFAULT.exists() and not _is_source(args.model) else None)
    config, folder, model = Config(), Path.cwd(), None
    if path is not None:
        from pilotlight.spec.load import load  # noqa: PLC0415

        config, folder = load(path, os.environ), path.absolute().parent
        named = {alias: m for m in config.models.values() for alias in m.aliases} | config.models
        model = named.get(args.model)
    if model is None:
        of_hub = args.engine in BY_THEMSELVES and is_repository(args.model, Path(args.model).absolute())
        if not of_hub and not _is_source(args.model):
            raise PilotlightError(_unknown(args.model, path, config))
        as_it_is = of_hub or "://" in args.model
        model = Model(source=args.model if as_it_is else str(Path(args.model).absolute()))
    if args.engine is not None:
        model = msgspec.structs.replace(model, engine=args.engine)
    return config, model, folder


def _is_source(text: str) -> bool:
    return "://" in text or Path(text).exists()


def _unknown(name: str, path: Path | None, config: Config) -> str:
    if path is None:
        return f"{name!r} is no source of weights and no file; name a model of a configuration with --config"
    return f"there is no model {name!r} in {path}; there are {', '.join(config.models)}"


def _engine(config: Config, model: Model) -> Engine:
    from pilotlight.cli.state import cache_dir  # noqa: PLC0415
    from pilotlight.engines.registry import engines  # noqa: PLC0415

    known = engines(config.engines, cache_dir(config))
    engine = known.get(model.engine)
    if engine is None:
        raise PilotlightError(f"there is no engine {model.engine!r}; there are {', '.join(known)}")
    if model.engine == "command" and model.cmd is None:
        raise PilotlightError("the engine command needs a cmd; name a model of a configuration with --config")
    return engine


def _check_source(model: Model) -> None:
    """As `pilotlight check` does, also where --engine is another than the source was written for."""
    if model.source is None or model.engine == "command":
        return
    fault = repository_fault(model.source) if model.engine in BY_THEMSELVES else source_fault(model.source)
    if fault is not None:
        raise PilotlightError(f"{model.source!r} {fault}")


def _check_technique(args: argparse.Namespace, offered: Collection[str]) -> None:
    """Of those that the engine has, those that have nothing to do in this comparison."""
    named = (*(args.wanted or ()), *args.without)
    if "stream" in named and "stream" in offered and not args.fetch:
        raise PilotlightError("`stream` is for weights that have to be fetched; compare it with --fetch")
    if "sleep" in named and "sleep" in offered and args.fetch:
        raise PilotlightError("what wakes from `sleep` fetches nothing; compare it without --fetch")
    if "snapshot" in named and "snapshot" in offered and args.fetch:
        raise PilotlightError(
            "a `snapshot` is of weights that stay where they are; compare it without --fetch"
        )
    if "read_ahead" in named and "read_ahead" in offered and not args.from_disk:
        raise PilotlightError(
            "`read_ahead` is for weights that are on the disk alone; compare it with --from-disk"
        )
    if "huge_pages" in named and "huge_pages" in offered:
        raise PilotlightError(
            "`huge_pages` is of memory that all that is compared here share; benchmarks/huge_pages.py measures it"
        )
    if "sleep" in named and "sleep" in offered and args.from_disk:
        raise PilotlightError("what sleeps keeps its weights in memory; compare it without --from-disk")


def _check_fetch(args: argparse.Namespace, model: Model) -> None:
    if args.fetch and not (model.source or "").startswith(("http://", "https://", "hf://")):
        raise PilotlightError(
            "--fetch needs weights that come over the network; give https://... or hf://..."
        )


def _check_snapshots(wanted: tuple[str, ...] | None, model: Model) -> None:
    from pilotlight.worker.cuda_checkpoint import why_no_snapshots  # noqa: PLC0415

    if "snapshot" in (wanted or ()) and (why := why_no_snapshots(model.gpus)):
        raise PilotlightError(f"snapshots cannot be measured here: {why}")


def _on_disk(config: Config, model: Model) -> tuple[Path, ...]:
    from pilotlight.cli.state import cache_dir  # noqa: PLC0415
    from pilotlight.weights.cache import WeightCache  # noqa: PLC0415

    files = WeightCache(cache_dir(config)).files(model.source or "")
    if not files:
        raise PilotlightError(
            "--from-disk needs weights whose files are known: a GGUF, or the path of a folder"
        )
    return files


def _offered(engine: Engine, model: Model, args: argparse.Namespace) -> list[str]:
    """Without those that have nothing to do here: what has been fetched does not stream, what sleeps is not fetched,
    and how weights lie in memory is the same for all. Snapshots where they are possible: they need what may not be
    there."""
    from pilotlight.worker.cuda_checkpoint import why_no_snapshots  # noqa: PLC0415

    without = ["snapshot"] if why_no_snapshots(model.gpus) else []
    left_out = {"sleep", "snapshot"} if args.fetch else {"stream", *without}
    left_out |= {"huge_pages", "sleep" if args.from_disk else "read_ahead"}
    return [name for name in engine.techniques(model) if name not in left_out]


def _fetch(config: Config, model: Model, engine: Engine) -> None:
    """What is measured is the start, not the download."""
    from pilotlight.cli.pull_verb import fetch  # noqa: PLC0415
    from pilotlight.cli.state import cache_dir  # noqa: PLC0415
    from pilotlight.weights.cache import WeightCache  # noqa: PLC0415

    if model.source is not None and any(step.name is Stage.FETCH for step in engine.plan(model).steps):
        cache = WeightCache(cache_dir(config))
        cache.check(model.source)
        fetch(cache, model.source)
