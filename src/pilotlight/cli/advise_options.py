"""What the options of `pilotlight advise` ask for, as values."""

import argparse
import os

from pilotlight.advise.advice import PricesFrom
from pilotlight.advise.advise import Asked
from pilotlight.advise.candidates import WAKE
from pilotlight.advise.needs import COLD, CPU_SECONDS, MEMORY, WAIT, Inference, Latency, Needs
from pilotlight.advise.shape import continued
from pilotlight.cli import price_book, simulate_starts
from pilotlight.cost import declared
from pilotlight.cost.book import Book
from pilotlight.errors import PilotlightError
from pilotlight.sim.trace import Trace
from pilotlight.spec.model import Config
from pilotlight.units import format_fraction, parse_duration, parse_fraction, parse_size

LONGEST = 30 * 86400.0
"""Seconds that a wait or the computing of a request may be asked to be."""
MOST_DAYS = 366.0
LEAST_COLD = 1e-5
"""Share of requests: the band that policies are given has a width."""
STATEFUL = 0.1
"""Share of requests that go on with a session from which a trace is taken to be stateful [G]."""
NO_SLEEP = frozenset({"command"})
"""Engines of which nothing can be put to sleep."""


def asked(args: argparse.Namespace, config: Config, trace: Trace) -> Asked:
    """Raises PilotlightError, with what is allowed, for a value that cannot be."""
    priced = price_book.priced(config.prices.book)
    start = args.start_time
    starts = (
        simulate_starts.given(start)
        if start is not None
        else simulate_starts.of(config, args.config is not None)
    )
    return Asked(
        trace=trace,
        needs=needs(args, config, trace),
        config=config,
        text=None if args.config is None else args.config.read_text(encoding="utf-8-sig"),
        file="the config that is tried" if args.config is None else str(args.config),
        env=os.environ,
        starts=starts,
        book=priced.book,
        own=priced.own,
        prices=_prices(config),
        wake=_wake(args, config),
        api=_api(args.api, priced.book),
        seed=args.seed,
    )


def needs(args: argparse.Namespace, config: Config, trace: Trace) -> Needs:
    """What is not said is as the config has it, where there is one, or as people take it to be."""
    latency = Latency(args.latency or "interactive")
    own = args.config is not None and args.latency is None
    wait = config.objective.wait if own else WAIT[latency]
    cold = config.objective.cold_rate[1] if own and config.objective.cold_rate is not None else COLD
    sessions = continued(trace) > STATEFUL if args.sessions is None else args.sessions
    return Needs(
        wait=wait if args.wait is None else _duration("--wait", args.wait),
        cold=cold if args.cold is None else _fraction("--cold", args.cold),
        latency=latency,
        inference=Inference(args.inference),
        sessions=sessions,
        cpu_seconds=CPU_SECONDS if args.cpu_time is None else _duration("--cpu-time", args.cpu_time),
        memory=MEMORY if args.memory is None else _size("--memory", args.memory),
    )


def days(text: str | None) -> float | None:
    """Seconds."""
    if text is None:
        return None
    try:
        n = float(text.removesuffix("d"))
    except ValueError:
        n = 0.0
    if not 0.01 <= n <= MOST_DAYS:
        raise PilotlightError(f"--days {text}: write a number of days, 0.01 to {MOST_DAYS:g}")
    return n * 86400


def _duration(option: str, text: str) -> float:
    try:
        seconds = parse_duration(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= LONGEST:
        raise PilotlightError(
            f"{option} {text}: write a duration above 0 and up to 30 days, such as 2s, 500ms, 1h"
        )
    return seconds


def _fraction(option: str, text: str) -> float:
    try:
        part = parse_fraction(text)
    except ValueError:
        part = -1.0
    if not LEAST_COLD <= part <= 1:
        least = format_fraction(LEAST_COLD)
        raise PilotlightError(f"{option} {text}: write a share of the requests, {least} to 100%")
    return part


def _size(option: str, text: str) -> int:
    try:
        size = parse_size(text)
    except ValueError:
        size = 0
    if not 2**20 <= size <= 2**40:
        raise PilotlightError(f"{option} {text}: write a size of 1MiB to 1TiB, such as 512MiB")
    return size


def _api(name: str | None, prices: Book) -> str | None:
    if name is not None and name not in prices.tokens:
        known = ", ".join(prices.tokens)
        raise PilotlightError(
            f"--api {name}: the price book has no such model under `tokens`; it has {known}"
        )
    return name


def _prices(config: Config) -> PricesFrom:
    """Examples, as long as the config says nothing else."""
    told, which = declared.told(config.prices), declared.examples(config.prices)
    date = told.date or "the config"
    return PricesFrom(told.gpu_month_usd, told.serverless_premium, date, bool(which), which)


def _wake(args: argparse.Namespace, config: Config) -> float | None:
    said = config.simulation.wake_time
    if args.config is not None and {m.engine for m in config.models.values()} <= NO_SLEEP:
        return said if config.simulation.hosts is not None else None
    return WAKE if said is None else said
