"""pilotlight advise"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pilotlight.cli import exit_status, output
from pilotlight.errors import PilotlightError

if TYPE_CHECKING:
    from pilotlight.advise.advice import Advice
    from pilotlight.sim.trace import Trace
    from pilotlight.spec.model import Config


def arguments(parser: argparse.ArgumentParser) -> None:
    traffic = parser.add_argument_group("the traffic: one of")
    traffic.add_argument(
        "traces",
        nargs="*",
        metavar="TRACE",
        help="a file, or synthetic traffic, as `pilotlight simulate` takes it",
    )
    traffic.add_argument("--log", type=Path, metavar="FILE", help="pilotlight's own request log")
    traffic.add_argument("--rate", metavar="200/h", help="arrivals at random, so many")
    traffic.add_argument(
        "--burst", action="append", default=[], metavar="2000@15m/d",
        help="and peaks of so many requests (or 50/s) within 15 minutes, once a day (or /h, /w); may be repeated",
    )  # fmt: skip
    traffic.add_argument("--days", metavar="N", help="for how long --rate and --burst are made up")
    needs = parser.add_argument_group("what is needed")
    needs.add_argument(
        "--latency", choices=["interactive", "batch"], help="whether somebody waits; default: interactive"
    )
    needs.add_argument(
        "--wait", metavar="2s", help="the first token may take so long; default: 2s, for batch 1h"
    )
    needs.add_argument("--cold", metavar="5%", help="so many requests may wait longer; default: 5%%")
    needs.add_argument(
        "--inference", choices=["here", "remote"], default="here",
        help="whether the model runs on your GPUs, or what you run calls one of somebody else; default: here",
    )  # fmt: skip
    needs.add_argument(
        "--sessions", action=argparse.BooleanOptionalAction,
        help="whether requests of a session need the replica that has its state; default: as the trace says",
    )  # fmt: skip
    needs.add_argument("--cpu-time", metavar="1.5s", help="remote: computing per request; default: 1.5s")
    needs.add_argument("--memory", metavar="512MiB", help="remote: of one instance; default: 512MiB")
    parser.add_argument(
        "--api",
        metavar="MODEL",
        help="also try an endpoint paid by the token, priced as the price book's `tokens`",
    )
    parser.add_argument(
        "--config", type=Path, help="what you have today: it is compared, and its prices count"
    )
    parser.add_argument("--start-time", metavar="40s|FILE", help="how long a start takes, as for `simulate`")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn by chance; default: 0")
    parser.add_argument("--strict", action="store_true", help="refuse a trace with a row that cannot be read")
    parser.add_argument("--json", action="store_true", help="for programs: a list, one object per trace")
    parser.add_argument("--report", type=Path, metavar="FILE", help="also write a page for a browser")
    parser.add_argument("--save", type=Path, metavar="FILE", help="also write the config that is recommended")


def run(args: argparse.Namespace) -> int:
    return exit_status.of(lambda: _run(args))


def _run(args: argparse.Namespace) -> None:
    from pilotlight.cli import advise_view  # noqa: PLC0415

    _check(args)
    config = _config(args)
    found = [_advice(args, config, trace) for trace in _traces(args)]
    if args.report is not None:
        from pilotlight.advise import page  # noqa: PLC0415

        args.report.write_text(page.html(found[0]), encoding="utf-8")
    if args.save is not None:
        args.save.write_text(found[0].config, encoding="utf-8")
    if args.json:
        from pilotlight.advise.figures import figures  # noqa: PLC0415

        print(json.dumps([figures(a) for a in found]))
        return
    for a in found:
        advise_view.show(a)


# -- what is asked -------------------------------------------------------------------------------------------


def _check(args: argparse.Namespace) -> None:
    """What can be found wrong before the work and not after it."""
    from pilotlight.sim.traffic_text import is_synthetic  # noqa: PLC0415

    ways = [bool(args.traces), args.log is not None, args.rate is not None or bool(args.burst)]
    if sum(ways) != 1:
        what = "name the traffic" if not any(ways) else "traffic is given in more than one way; leave one"
        raise PilotlightError(f"{what}: TRACE, --log FILE, or --rate 200/h (with --burst 2000@15m/d)")
    if args.days is not None and not ways[2]:
        raise PilotlightError("--days goes with --rate and --burst; a trace is as long as it is")
    for text in (*args.traces, *([args.log] if args.log else [])):
        if not is_synthetic(str(text)) and not Path(text).exists():
            raise PilotlightError(f"{text}: no such file")
    for option, path in (("--report", args.report), ("--save", args.save)):
        if path is not None and len(args.traces) > 1:
            text = f"{option} is of one trace, and {len(args.traces)} are named; run it for each"
            raise PilotlightError(text)
        if path is not None:
            output.check(option, path, (*args.traces, args.log, args.config, args.start_time))
    if args.report is not None and args.save is not None and args.report.absolute() == args.save.absolute():
        raise PilotlightError(f"--save {args.save}: is --report as well; name another file")


def _config(args: argparse.Namespace) -> Config:
    from pilotlight.sim.defaults import default_config  # noqa: PLC0415
    from pilotlight.spec.load import load  # noqa: PLC0415

    return default_config() if args.config is None else load(args.config, os.environ, simulated=True)


def _traces(args: argparse.Namespace) -> Iterator[Trace]:
    from pilotlight.advise import made_up  # noqa: PLC0415
    from pilotlight.cli import advise_options, simulate_view  # noqa: PLC0415
    from pilotlight.sim.load import load  # noqa: PLC0415

    if args.rate is not None or args.burst:
        per_second = 0.0 if args.rate is None else made_up.rate(args.rate)
        bursts = [made_up.burst(text) for text in args.burst]
        yield made_up.made_up(per_second, bursts, advise_options.days(args.days), args.seed)
    for text in (*args.traces, *([str(args.log)] if args.log else [])):
        with simulate_view.busy(f"reading {text}"):
            trace = load(text, strict=args.strict)
        simulate_view.tell_faults(trace)
        yield trace


def _advice(args: argparse.Namespace, config: Config, trace: Trace) -> Advice:
    from pilotlight.advise.advise import advise  # noqa: PLC0415
    from pilotlight.cli import advise_options, advise_view  # noqa: PLC0415

    asked = advise_options.asked(args, config, trace)
    with advise_view.progress(trace) as told:
        return advise(asked, told)
