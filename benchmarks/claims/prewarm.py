"""Capacity that is brought up before a peak that is known."""

from collections.abc import Iterator

from claim import REFINED, Claim
from worlds import config, joined, percent, run, spike, steady

from pilotlight.sim.result import Result
from pilotlight.sim.trace import Trace
from pilotlight.spec.model import Config, Window

DAYS, AT, RAMP, LASTS = 7, 9 * 3600.0, 30.0, 1800.0
TOKENS, PEAK = 120, 100
REPLICAS = -(-PEAK // 8) + 3
"""For a mean of PEAK requests in flight, of which there are more now and then."""
START, EARLY = 40.0, 600.0
"""Seconds: of a start, and by which the peak comes before its time in the second case."""


def claims() -> Iterator[Claim]:
    plain = run(days(0.0), kept(), START)
    warmed, missed = (run(days(early), kept(scheduled()), START) for early in (0.0, EARLY))
    yield Claim(
        "pre-warming before predicted peaks",
        "no cold starts in the peak",
        "article",
        f"A peak of {PEAK} at once at 9:00 every day, {START:g} s starts: {said(plain)} without, {said(warmed)} with a "
        f"schedule, {said(missed)} where the peak comes {EARLY / 60:g} minutes before its time.",
        REFINED,
        "simulated",
    )


def said(r: Result) -> str:
    return f"{percent(r.cold_rate)} cold, ${r.cost_usd:.0f}"


def days(early: float) -> Trace:
    service = 0.05 + 0.03 * TOKENS
    peaks = [
        spike(day * 86400.0 + AT - early, RAMP, LASTS, PEAK / service, TOKENS, day) for day in range(DAYS)
    ]
    night = steady(1 / 120, DAYS * 86400.0, TOKENS, 99)
    trace = joined("a peak every day", [night, *peaks])
    trace.epoch = 0.0
    return trace


def kept(*schedule: Window) -> Config:
    return config(ttl=120.0, base=1, schedule=schedule)


def scheduled() -> Window:
    return Window(cron="0 9 * * *", lasts=LASTS + 2 * RAMP, min_replicas=REPLICAS)
