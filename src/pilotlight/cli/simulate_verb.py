"""pilotlight simulate"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pilotlight.cli import exit_status, output
from pilotlight.errors import PilotlightError

if TYPE_CHECKING:
    from pilotlight.sim.result import Result
    from pilotlight.sim.starts import StartTimes
    from pilotlight.sim.sweep import Point
    from pilotlight.sim.trace import Trace
    from pilotlight.spec.model import Config


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "traces",
        nargs="*",
        metavar="TRACE",
        help="a file (request log, CSV, Parquet, JSON lines) or synthetic://poisson?rate=200/h&hours=24",
    )
    parser.add_argument("--config", type=Path, help="what is simulated; default: the default policies")
    parser.add_argument("--compare", type=Path, metavar="CONFIG", help="simulate this one too, side by side")
    parser.add_argument(
        "--start-time", metavar="40s|FILE", help="how long a start takes, or a file of measured seconds"
    )
    parser.add_argument(
        "--fit",
        type=Path,
        metavar="LOG",
        help="how long requests run, fitted to a request log of pilotlight, and told",
    )
    parser.add_argument(
        "--sweep",
        metavar="KEY=A..B",
        help="try values of a key, such as ttl=1m..2h, base=0..4, ttl=1m,10m,auto",
    )
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn by chance; default: 0")
    parser.add_argument("--strict", action="store_true", help="refuse a trace with a row that cannot be read")
    parser.add_argument(
        "--bill",
        action="store_true",
        help="also say what it costs by what replicas did: serving, idle, starting",
    )
    parser.add_argument(
        "--by",
        choices=("model", "key", "class", "rung", "provider"),
        help="what the lines of that bill are; default: model",
    )
    parser.add_argument("--json", action="store_true", help="for programs: a list, one object per trace")
    parser.add_argument("--report", type=Path, metavar="FILE", help="also write a page for a browser")
    parser.add_argument(
        "--show-config", action="store_true", help="print the config that is simulated, and end"
    )


def run(args: argparse.Namespace) -> int:
    return exit_status.of(lambda: _run(args))


def _run(args: argparse.Namespace) -> None:
    if args.show_config:
        print(_text(args.config), end="")
        return
    if not args.traces:
        raise PilotlightError("name a trace, or --show-config; pilotlight simulate --help says more")
    if args.by is not None and not args.bill:
        raise PilotlightError(f"--by {args.by} is what a bill is sorted by; give --bill as well")
    _check(args)
    configs = list(_configs(args))
    if args.fit is not None:
        from pilotlight.cli import simulate_fit  # noqa: PLC0415

        configs = simulate_fit.applied(args.fit, configs, aside=args.json)
    if args.sweep is not None:
        _sweep(args, configs[0])
        return
    results = [result for trace in args.traces for result in _of_trace(args, trace, configs)]
    _write_report(args, lambda report: report.html(results))
    if args.json:
        print(json.dumps([result.figures() for result in results]))
        return
    from pilotlight.cli import simulate_view  # noqa: PLC0415

    simulate_view.show(results)
    simulate_view.show_bills(results)
    simulate_view.tell_prices(results)


def _sweep(args: argparse.Namespace, named: tuple[str, Config]) -> None:
    from pilotlight.cli import simulate_view  # noqa: PLC0415
    from pilotlight.fleet.declared import goal  # noqa: PLC0415
    from pilotlight.sim.sweep import sweep  # noqa: PLC0415
    from pilotlight.sim.sweep_text import parse  # noqa: PLC0415

    name, config = named
    wanted, limit = parse(args.sweep), goal(config).high
    for value in wanted.values:
        wanted.config(config, value.value)  # a value that cannot be is told of before the first is simulated
    starts = _starts(args, config)

    def of(trace: Trace) -> list[Point]:
        return sweep(
            config,
            wanted,
            lambda c, label: _simulated(args, trace, f"{name}, {wanted.key} {label}", c, starts),
        )

    swept = [of(_read(args, text)) for text in args.traces]
    limits = [(found, limit) for found in swept]
    _write_report(args, lambda report: report.sweep_html(wanted.key, limits))
    if args.json:
        print(json.dumps([_figures(wanted.key, p) for found in swept for p in found]))
        return
    for found in swept:
        simulate_view.show_sweep(wanted.key, found, limit)
    simulate_view.tell_prices([p.result for found in swept for p in found])


def _figures(key: str, p: Point) -> dict[str, Any]:
    judged = {"key": key, "value": p.value, "present": p.present, "dominated": p.dominated}
    return {**p.result.figures(), "sweep": {**judged, "holds": p.holds, "recommended": p.recommended}}


def _write_report(args: argparse.Namespace, made: Callable[[Any], str]) -> None:
    if args.report is not None:
        from pilotlight.sim import report  # noqa: PLC0415

        args.report.write_text(made(report), encoding="utf-8")


def _text(path: Path | None) -> str:
    from pilotlight.sim.defaults import TEXT  # noqa: PLC0415

    if path is None:
        return TEXT
    _load(path)
    return path.read_text(encoding="utf-8")


def _check(args: argparse.Namespace) -> None:
    """What can be found wrong before the work and not after it."""
    from pilotlight.sim.traffic_text import is_synthetic  # noqa: PLC0415

    for text in args.traces:
        if not is_synthetic(text) and not Path(text).exists():
            raise PilotlightError(f"{text}: no such file")
    if args.report is not None:
        output.check(
            "--report", args.report, (*args.traces, args.config, args.compare, args.start_time, args.fit)
        )


def _configs(args: argparse.Namespace) -> Iterator[tuple[str, Config]]:
    """What each is called in the results, and it."""
    from pilotlight.sim.defaults import NAME, default_config  # noqa: PLC0415

    yield (NAME, default_config()) if args.config is None else (str(args.config), _load(args.config))
    if args.compare is not None:
        if args.sweep is not None:
            raise PilotlightError("--compare and --sweep do not go together; leave one out")
        if args.compare == args.config:
            raise PilotlightError(f"--compare {args.compare}: is --config itself; name another one")
        yield str(args.compare), _load(args.compare)


def _load(path: Path) -> Config:
    from pilotlight.spec.load import load  # noqa: PLC0415

    return load(path, os.environ, simulated=True)


def _of_trace(args: argparse.Namespace, text: str, configs: list[tuple[str, Config]]) -> Iterator[Result]:
    trace = _read(args, text)
    for name, config in configs:
        yield _simulated(args, trace, name, config, _starts(args, config))


def _read(args: argparse.Namespace, text: str) -> Trace:
    from pilotlight.cli import simulate_view  # noqa: PLC0415
    from pilotlight.sim.load import load  # noqa: PLC0415

    with simulate_view.busy(f"reading {text}"):
        trace = load(text, strict=args.strict)
    simulate_view.tell_faults(trace)
    return trace


def _starts(args: argparse.Namespace, config: Config) -> StartTimes:
    from pilotlight.cli import simulate_starts  # noqa: PLC0415

    if args.start_time is not None:
        return simulate_starts.given(args.start_time)
    return simulate_starts.of(config, args.config is not None)


def _simulated(
    args: argparse.Namespace, trace: Trace, name: str, config: Config, starts: StartTimes
) -> Result:
    from pilotlight.cli import simulate_view  # noqa: PLC0415
    from pilotlight.sim.simulate import simulate  # noqa: PLC0415

    with simulate_view.busy(f"{trace.name}: {len(trace):,} requests, {name}"):
        found = simulate(trace, config, starts, args.seed, name=name, bill=args.bill, by=args.by or "model")
    if args.fit is None:
        return found
    from pilotlight.cli import simulate_fit  # noqa: PLC0415

    return simulate_fit.noted(found, args.fit, config)
