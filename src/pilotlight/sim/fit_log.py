"""What pilotlight's own request log says of how long requests ran, for a fit."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from pilotlight.errors import TraceError
from pilotlight.fleet.records import AT_ONCE
from pilotlight.sim.trace import Floats
from pilotlight.sim.traces.json_rows import NOT_DECODED
from pilotlight.sim.traces.lines import blocks

LONGEST = 1e6
"""Seconds; what took longer is taken for a fault of the file [G]."""

_Seconds = Annotated[float, Meta(ge=0, le=LONGEST)]
_Tokens = Annotated[int, Meta(ge=0)] | None


class _Row(msgspec.Struct):
    """Of telemetry/request_log.py."""

    t: float
    model: str
    outcome: str
    start: str
    duration: _Seconds
    stream: bool = False
    start_wait: _Seconds = 0.0
    queue: _Seconds = 0.0
    prompt_tokens: _Tokens = None
    output_tokens: _Tokens = None
    served_model: str | None = None
    replica: str | None = None
    provider: str | None = None
    ttft: _Seconds | None = None

    @property
    def waited(self) -> float:
        return self.start_wait + self.queue

    @property
    def ran(self) -> float:
        return self.duration - self.waited

    @property
    def first(self) -> float:
        """Seconds on its replica to the first token. Nan of what is no stream: its first byte is its last."""
        return self.ttft - self.waited if self.stream and self.ttft is not None else np.nan

    @property
    def tells(self) -> bool:
        """Whether how long it ran is known, and what for, and is not that of a replica that had just come up."""
        return (
            (self.start, self.outcome) == ("warm", "ok")
            and bool(self.prompt_tokens and self.output_tokens)
            and self.ran > 0.0
            and not (self.first < 0.0 or self.first > self.ran)
        )


class Ran(msgspec.Struct, frozen=True):
    """Requests that were warm, ended well and whose tokens are known. Columns of one length."""

    source: str
    """The name of the file."""
    of: int
    """Requests of the log."""
    models: int
    """That they were for."""
    prompt: Floats
    """Tokens, as is the next."""
    output: Floats
    beside: Floats
    """Others that the replica had when each began."""
    first: Floats
    """Seconds on the replica to the first token; nan of what is no stream."""
    seconds: Floats
    """On the replica."""

    def __len__(self) -> int:
        return len(self.seconds)


def read_ran(path: Path) -> Ran:
    """Raises TraceError, with the line, for what is no request log, and for one without any such request."""
    try:
        rows = list(_rows(path))
    except OSError as e:
        raise TraceError(f"{path}: cannot be read ({e.strerror or e})") from None
    here = [r for r in rows if r.replica is not None and r.provider is None]
    told = [r.tells for r in here]
    some = [r for r in here if r.tells]
    if not some:
        raise TraceError(
            f"{path}: tells of no request that was warm, ended well and has its tokens; nothing can be fitted to its "
            f"{len(rows):,} requests: leave --fit out, or give the log of a server that has answered some"
        )
    return Ran(
        path.name,
        len(rows),
        len({r.served_model or r.model for r in some}),
        np.array([r.prompt_tokens for r in some], np.float64),
        np.array([r.output_tokens for r in some], np.float64),
        _beside(here)[told],
        np.array([r.first for r in some], np.float64),
        np.array([r.ran for r in some], np.float64),
    )


def _rows(path: Path) -> Iterator[_Row]:
    decode = msgspec.json.Decoder(_Row).decode
    with path.open("rb") as file:
        for block in blocks(file):
            for i, (line, text) in enumerate(zip(block.numbers, block.texts, strict=True), 1):
                try:
                    yield decode(text)
                except NOT_DECODED as e:
                    if block.cut_off and i == len(block.texts) and line > 1:
                        return  # it is being written
                    what = str(e).partition("\n")[0][:80]
                    raise TraceError(
                        f"{path}:{line}: is no line of pilotlight's request log ({what}); give a requests.jsonl, or "
                        "leave that line out"
                    ) from None


def _beside(rows: list[_Row]) -> Floats:
    """Those that the replica of each has as soon as it has begun. One whose end makes room for it is none of them,
    though it is a moment until it is told of."""
    found: Floats = np.zeros(len(rows))
    names = np.array([r.replica for r in rows])
    began: Floats = np.array([r.t + r.waited for r in rows], np.float64)
    ended: Floats = np.array([r.t + r.duration for r in rows], np.float64)
    order = np.argsort(names, kind="stable")
    for of in np.split(order, np.flatnonzero(np.diff(np.unique(names, return_inverse=True)[1][order])) + 1):
        at = began[of] + AT_ONCE
        running = np.searchsorted(np.sort(began[of]), at, "right") - np.searchsorted(
            np.sort(ended[of]), at, "right"
        )
        found[of] = running - (ended[of] > at)
    return found
