"""What is known of a replica's start, for those who look."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from pilotlight.fleet.plan import Span, Stage
from pilotlight.units import format_duration


class StartReport(msgspec.Struct, frozen=True):
    """Moments and spans in seconds of the controller's clock."""

    replica: str
    deployment: str
    engine: str
    ordered_at: float
    ready_at: float | None
    """None while it is not ready, and for ever if it never was."""
    spans: tuple[Span, ...]
    """Of every step that is done, in the order in which they began; they may overlap."""
    doing: str
    """What it is at, such as `fetching 34 %`, `load`, `ready`, or why it ended."""
    log: Path | None
    pid: int | None
    memory: int | None
    """Bytes of host memory when last measured."""
    techniques: tuple[str, ...] = ()
    """Those that its start used."""
    fell_back: str = ""
    """Why one that was to be used was not."""
    seen: str = ""
    """Of one that was stopped before it was ready: what asking for its health came to last, or which steps were not
    done."""
    kind: str = "start"
    """`wake` once it was woken: then moments and spans are those of the latest wake."""


def not_done(deployment: str, begun: Mapping[Stage, float]) -> str:
    """Of steps that go on when nobody waits any longer, and seconds from the order to their beginning."""
    steps = " and ".join(f"{stage.value} (begun after {format_duration(at)})" for stage, at in begun.items())
    return (
        f"not done: {steps}; `pilotlight logs {deployment}` has what the engine said last, "
        "and where it was only slow a longer startup_timeout helps"
    )
