"""Traffic from a rate and its peaks: `--rate 200/h --burst 2000@15m/d`."""

import re
from collections.abc import Sequence

import msgspec
import numpy as np

from pilotlight.errors import TraceError
from pilotlight.sim import traffic
from pilotlight.sim.trace import Trace
from pilotlight.units import parse_duration, parse_rate

DAY = 86400.0
MOST = 120_000
"""Requests that are made up where nobody says for how long [G]: they are simulated in well under a minute."""
LEAST_SECONDS, MOST_SECONDS = 3600.0, 28 * DAY
"""For how long, where nobody says."""
PERIODS = {"h": 3600.0, "d": DAY, "w": 7 * DAY}
_BURST = re.compile(r"(?P<size>[\d.]+(?:/[smhd])?)@(?P<lasts>[^/@]+)/(?P<period>[hdw])", re.ASCII)
_HELP = (
    "write REQUESTS@LENGTH/PERIOD, such as 2000@15m/d: 2,000 requests within 15 minutes, once a day (or /h, /w); "
    "or RATE@LENGTH/PERIOD, such as 50/s@10m/w"
)


class Burst(msgspec.Struct, frozen=True):
    requests: float
    """In one of them, on average."""
    lasts: float
    """Seconds."""
    every: float
    """Seconds; it begins at a moment of each such period that the dice say."""


def burst(text: str) -> Burst:
    """Raises TraceError, with the form, for what is none."""
    match = _BURST.fullmatch(text.strip())
    try:
        if match is None:
            raise ValueError
        lasts, every = parse_duration(match["lasts"]), PERIODS[match["period"]]
        size = match["size"]
        requests = parse_rate(size) * lasts if "/" in size else float(size)
    except ValueError:
        raise TraceError(f"--burst {text[:80]}: {_HELP}") from None
    if not 0 < lasts <= every or not 0 < requests <= traffic.MOST_REQUESTS:
        raise TraceError(f"--burst {text[:80]}: has no request, or is longer than its period; {_HELP}")
    return Burst(requests, lasts, every)


def rate(text: str) -> float:
    """Requests per second. Raises TraceError for what is none."""
    try:
        found = parse_rate(text)
    except ValueError:
        found = 0.0
    if not 0 < found <= 1e5:
        raise TraceError(f"--rate {text[:80]}: write requests per time, such as 5/s, 200/h or 30/d")
    return found


def made_up(per_second: float, bursts: Sequence[Burst], seconds: float | None, seed: int) -> Trace:
    """Poisson arrivals of one model, with bursts in which they are Poisson as well.

    Raises TraceError where nobody asks in so short a time, or where it is more than can be made up.
    """
    total = per_second + sum(b.requests / b.every for b in bursts)
    if seconds is None:
        longest = max((b.every for b in bursts), default=0.0)
        seconds = max(LEAST_SECONDS, 3 * longest, min(MOST_SECONDS, MOST / total))
    name = _name(per_second, bursts, seconds)
    base = traffic.poisson(per_second, seconds, seed=seed, name=name) if per_second else None
    if total * seconds > traffic.MOST_REQUESTS:
        raise TraceError(f"{name}: {total * seconds:,.0f} requests are too many; give fewer --days")
    dice = np.random.Generator(np.random.PCG64([seed, 1]))
    times = [base.t] if base is not None else []
    times += [_times(b, seconds, dice) for b in bursts]
    t = np.sort(np.concatenate(times))
    if len(t) < 2:
        raise TraceError(f"{name}: hardly anybody asks in so short a time; give more --days")
    zeros = np.zeros(len(t), np.int32)
    prompt, output = (_tokens(dice, median, len(t)) for median in (400.0, 120.0))
    return Trace(name, ["model-1"], t, zeros, prompt, output)


def _times(
    b: Burst, seconds: float, dice: np.random.Generator
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    found = [np.zeros(0)]
    for i in range(int(np.ceil(seconds / b.every))):
        begins = i * b.every + dice.random() * (b.every - b.lasts)
        found.append(begins + dice.random(dice.poisson(b.requests)) * b.lasts)
    t = np.concatenate(found)
    return t[t < seconds]


def _tokens(dice: np.random.Generator, median: float, n: int) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    drawn = np.exp(dice.normal(np.log(median), traffic.SPREAD, n))
    return np.clip(drawn, 1, traffic.LARGEST).astype(np.int32)


def _name(per_second: float, bursts: Sequence[Burst], seconds: float) -> str:
    peaks = "".join(
        f" + {b.requests:,.0f} in {b.lasts / 60:g} min every {b.every / 3600:g} h" for b in bursts
    )
    return f"{per_second * 3600:,.6g}/h{peaks}, {seconds / DAY:.3g} days, made up"
