"""What came out of a replay, as figures."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from pilotlight.cost.declared import Told
from pilotlight.cost.report import Report
from pilotlight.sim.columns import column, pieces
from pilotlight.sim.percentiles import percentiles
from pilotlight.sim.trace import Floats, Ints

WINDOW = 1000
"""Requests, one after the other, whose cold rate is judged together."""


class Waits(msgspec.Struct, frozen=True):
    """How long requests waited. Seconds are exact; percentiles are of the requests, none lies between two."""

    requests: int = 0
    """That are counted: those that came after the warm-up."""
    cold_rate: float | None = None
    """None without requests."""
    by_model: dict[str, float] = {}
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    in_band: float | None = None
    """Share of the windows; None without a window."""
    above_band: float | None = None
    windows: int = 0
    mean: float | None = None


class Series(msgspec.Struct, frozen=True):
    """The whole trace in equal pieces, for plots. Not among the figures."""

    seconds: float
    """Of a piece."""
    requests: tuple[int, ...] = ()
    hurried: tuple[int, ...] = ()
    """All but batch requests, which have asked to wait, and are never cold."""
    cold: tuple[int, ...] = ()
    replicas: tuple[float, ...] = ()
    """That were up, on average."""


class Paid(msgspec.Struct, frozen=True):
    """To a provider, for requests that were sent after the warm-up."""

    burst_requests: int = 0
    """That it answered."""
    burst_usd: float = 0.0
    ping_usd: float = 0.0
    declined: int = 0
    """Requests that it did not answer."""
    hedged: int = 0
    """Of all, those that were sent beside a replica."""
    cut: int = 0
    """Of those, the ones of which a replica gave the first token."""


class OfClass(msgspec.Struct, frozen=True):
    """What became of the requests of a class that came after the warm-up."""

    requests: int
    cold_rate: float | None
    """None of batch requests, which have asked to wait, and where there are none."""
    ttft_p50: float | None
    ttft_p95: float | None
    """Seconds; of those never served their wait until the replay ended."""
    unserved: int
    """That no replica took; refused ones among them."""
    refused: int
    past_deadline: int | None
    """That found no idle capacity until their deadline, and counted as standard from then on; None of other classes."""


class Result(msgspec.Struct, frozen=True):
    """Of one trace with one config. All but the last three timings is the same whenever it is run."""

    trace: str
    config: str
    """Its path; `default` for none."""
    requests: int
    """All of the trace."""
    evaluated: int
    """Those after the warm-up: all figures below are of these and of the time from there to the last arrival. Batch
    requests have asked to wait: cold rates, windows and times to first token are of the others."""
    models: int
    span_s: float
    start_time: float
    """Seconds that a start took on average."""
    start_time_from: str
    """`default`, `given`, `learned`, or a file's name."""
    cold_rate: float | None
    cold_rate_worst_model: float | None
    cold_rate_by_model: dict[str, float]
    ttft_p50: float | None
    """Seconds; of those never served their wait until the replay ended."""
    ttft_p95: float | None
    ttft_p99: float | None
    ttft_mean: float | None
    unserved: int
    """Of all; refused ones among them. They count as cold."""
    refused: int
    starts: int
    """Of all the trace."""
    replica_hours: float
    gpu_hours: float
    """That were paid for."""
    dedicated_gpu_hours: float
    """Of these, at the dedicated price."""
    cost_usd: float
    oracle_cost_usd: float
    cost_over_oracle: float | None
    """None where the oracle pays nothing."""
    oracle_gpu_hours: float
    gpu_hours_over_oracle: float | None
    always_on_usd: float
    """Of as many replicas as the busiest moment needs, all the time."""
    windows: int
    windows_in_band: float | None
    windows_above_band: float | None
    burst_requests: int
    """That providers answered; what they cost, and pings, is in `cost_usd` too."""
    burst_usd: float
    ping_usd: float
    burst_declined: int
    """Times that a provider did not answer a request, which may then have gone to another one."""
    burst_hedged: int
    """That were sent beside a replica, as they were asked to."""
    burst_cut: int
    """Of these, those of which a replica gave the first token; `burst_usd` has what they cost."""
    by_provider: dict[str, Paid]
    session_turns: int | None
    """Requests that go on with a session; None where the trace names none."""
    session_turns_kept: int | None
    """Of these, those that found the replica of the one before, awake ever since."""
    by_class: dict[str, OfClass]
    """Empty where the trace has one class only, `standard`."""
    stood_in: int | None
    """That a stand-in answered; None where the trace allows none."""
    seed: int
    faults: int
    """Rows that could not be read."""
    notes: tuple[str, ...]
    wall_s: float
    """Of the replay alone, as is the next."""
    cpu_s: float
    requests_per_s: float | None
    series: Series
    prices: Told
    """That all US dollars here were reckoned with."""
    bill: Report | None = None
    """By what replicas did, and what the same traffic would have cost otherwise; where it was asked for."""

    @property
    def turns_kept(self) -> float | None:
        """The share of the turns of sessions; None without any."""
        return (self.session_turns_kept or 0) / self.session_turns if self.session_turns else None

    def figures(self) -> dict[str, Any]:
        """What --json prints."""
        found = msgspec.to_builtins(self)
        del found["series"]
        if self.bill is None:
            del found["bill"]
        return found


TIMINGS = ("wall_s", "cpu_s", "requests_per_s")


def waits(ttft: Floats, model: Ints, names: Sequence[str], limit: float, band: tuple[float, float]) -> Waits:
    """Of the requests that count, in order of arrival. Cold is what waited longer than `limit`."""
    n = len(ttft)
    if not n:
        return Waits()
    of_model, cold_of_model = np.zeros((2, len(names)), np.int64)
    seconds = 0.0
    for rows in pieces(n, ttft, model):
        of_model += np.bincount(model[rows], minlength=len(names))
        cold_of_model += np.bincount(model[rows][ttft[rows] > limit], minlength=len(names))
        seconds += float(ttft[rows].sum())
    rates = {name: float(c / k) for name, c, k in zip(names, cold_of_model, of_model, strict=True) if k}
    cold = column(np.bool_, (ttft[rows] > limit for rows in pieces(n, ttft)))
    in_band, above, windows = windows_of(cold, band)
    p50, p95, p99 = percentiles(ttft, (50, 95, 99))
    rate = int(cold_of_model.sum()) / n
    return Waits(n, rate, rates, p50, p95, p99, in_band, above, windows, seconds / n)


def windows_of(cold: Any, band: tuple[float, float]) -> tuple[float | None, float | None, int]:
    """Shares of the windows whose cold rate is in the band and above it, and how many windows there are."""
    windows = len(cold) // WINDOW
    if not windows:
        return None, None, 0
    some = pieces(windows * WINDOW, cold, by=WINDOW)
    counts = np.concatenate([cold[rows].reshape(-1, WINDOW).sum(axis=1) for rows in some])
    low, high = (edge * WINDOW for edge in band)
    # Counts are whole numbers and an edge such as 0.05 * 1000 may miss one by a rounding.
    above = counts > high + 1e-6
    inside = (counts >= low - 1e-6) & ~above
    return float(inside.mean()), float(above.mean()), windows
