"""One policy on one trace with one start time, as the tables and plots want it."""

import msgspec

from pilotlight.sim.result import Result

HOLDS = 0.05
"""The upper edge of the band: a policy with a larger share of cold requests is no match for one that holds it."""


class Row(msgspec.Struct, frozen=True):
    policy: str
    cold: float
    worst: float
    """Cold rate of the model that fared worst."""
    p50: float
    """Seconds to the first token."""
    p99: float
    usd: float
    over_oracle: float
    gpu_over_oracle: float
    windows: int
    above: float | None
    """Share of the windows of 1,000 requests with a cold rate above the band; None without a window."""
    in_band: float | None
    requests_per_s: float | None
    """Of the replay, a CPU second."""
    hindsight: bool = False
    """Whether a figure of it was chosen by looking at this trace."""

    @property
    def holds(self) -> bool:
        return self.cold <= HOLDS


class Cell(msgspec.Struct, frozen=True):
    """One trace with one start time."""

    trace: str
    start: float
    """Seconds."""
    requests: int
    models: int
    hours: float
    oracle_usd: float
    rows: tuple[Row, ...]
    """The first is the default policies."""
    variants: tuple[Row, ...] = ()
    """Those with one thing changed."""

    @property
    def title(self) -> str:
        return f"{self.trace}, starts of {self.start:g} s"

    def row(self, policy: str) -> Row | None:
        return next((r for r in self.rows if r.policy == policy), None)


def of(policy: str, r: Result, *, hindsight: bool = False) -> Row:
    """From what the simulator found."""
    return Row(
        policy,
        r.cold_rate or 0.0,
        r.cold_rate_worst_model or 0.0,
        r.ttft_p50 or 0.0,
        r.ttft_p99 or 0.0,
        r.cost_usd,
        r.cost_over_oracle or 0.0,
        r.gpu_hours_over_oracle or 0.0,
        r.windows,
        r.windows_above_band,
        r.windows_in_band,
        r.requests_per_s,
        hindsight,
    )
