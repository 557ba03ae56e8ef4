"""A trace as configs can name it: its models are the deployments that they mean."""

import re
from typing import Any

import numpy as np

from pilotlight.errors import TraceError
from pilotlight.fleet.classes import BATCH, RANKS
from pilotlight.sim.declared import deployment_of
from pilotlight.sim.trace import NO_SESSION, PLAIN, Trace
from pilotlight.spec.model import Config

LEAST_SPAN = 600.0
"""Seconds of a trace that say anything of a month [G]."""

NAMED = 200
"""Models that a config which is written names; of more it says only what holds for all [G]."""

SESSIONS, PLATFORM = "sessions", "platform"
"""The names of what `by_session` and `by_platform` make of a traffic."""

COLUMNS = ("model", "prompt_tokens", "output_tokens", "asker", "stand_in")
"""What a trace says of each request, but for its time and its session."""

_NAME = re.compile(r"(?!.*(?:^|/)\.{0,2}(?:/|$))[A-Za-z0-9._/:-]{1,128}", re.ASCII)
_NO_LETTER = re.compile(r"[^A-Za-z0-9._:-]+", re.ASCII)


def enough(trace: Trace) -> None:
    """Raises TraceError for a trace from which nothing follows."""
    if not len(trace):
        raise TraceError(f"{trace.name}: nobody asks in it; give a trace with requests")
    if len(trace) == 1 and trace.skipped:
        raise TraceError(
            f"{trace.name}: of its {trace.skipped + 1:,} rows one can be used, and one request is no traffic; mend the "
            "others, or give a trace of days, at best of weeks"
        )
    if len(trace) == 1:
        raise TraceError(f"{trace.name}: one request is no traffic; give a trace of days, at best of weeks")
    if trace.span < LEAST_SPAN:
        raise TraceError(
            f"{trace.name}: spans {trace.span:.0f} s; advice takes {LEAST_SPAN / 60:.0f} minutes at least, "
            "and days to be worth something"
        )


def fitted(trace: Trace, config: Config) -> Trace:
    """With models by the names of their deployments; two that mean one are one, and one that no config could name
    is called what is left of it. Its arrays are the trace's own, but for the models'."""
    codes: dict[str, int] = {}
    to = np.array(
        [codes.setdefault(_name(deployment_of(config, m)), len(codes)) for m in trace.models], np.int32
    )
    model = to[trace.model] if len(trace.models) else trace.model
    changed = [m for m in trace.models if _name(m) != m]
    said = (
        [f"{len(changed)} models have names that no config can have, and were given others"]
        if changed
        else []
    )
    return _but(trace, models=[*codes], model=model, notes=(*trace.notes, *said))


def _name(text: str) -> str:
    if _NAME.fullmatch(text):
        return text
    return _NO_LETTER.sub("-", text).strip(".-")[:128] or "model"


def _but(trace: Trace, **changed: Any) -> Trace:
    """The same but for these."""
    kept = {name: getattr(trace, name) for name in Trace.__slots__ if not name.startswith("_")}
    return Trace(**{**kept, **changed})


def together(trace: Trace, name: str) -> Trace:
    """As of one model: a program that calls several models of others is one program."""
    return _but(trace, models=[name], model=np.zeros(len(trace), np.int32))


def by_platform(trace: Trace) -> Trace:
    """As a platform sees it that starts its instances by itself: nobody goes first there, and nobody stands in. That
    somebody has asked to wait stays, for how his wait is judged."""
    askers = [(key, of if RANKS[of] == BATCH else PLAIN) for key, of in trace.askers]
    return _but(trace, askers=askers, stand_in=None)


def by_session(trace: Trace) -> Trace:
    """Each session is a model, so that it has replicas of its own. The trace names sessions."""
    assert trace.session is not None
    numbers, model = np.unique(trace.session, return_inverse=True)
    names = ["alone" if n == NO_SESSION else f"session-{n}" for n in numbers.tolist()]
    return _but(trace, models=names, model=model.astype(np.int32), session=None)


def lengthened(trace: Trace, seconds: float, per_token: float) -> Trace:
    """Each request runs so many seconds longer: its answer is given as many tokens more."""
    more = np.int32(round(seconds / per_token)) if per_token > 0 else np.int32(0)
    return _but(trace, output_tokens=trace.output_tokens + more)


def stretched(trace: Trace, factor: float, most: int) -> Trace:
    """The first `most` requests, `factor` times as far apart, without their sessions."""
    return _part(trace, slice(0, most), factor)


def busiest(trace: Trace, most: int) -> Trace:
    """As many requests after each other, or all, where they come the fastest, without their sessions."""
    if len(trace) <= most:
        return stretched(trace, 1.0, most)
    first = int(np.argmin(trace.t[most - 1 :] - trace.t[: len(trace) - most + 1]))
    return _part(trace, slice(first, first + most), 1.0)


def _part(trace: Trace, k: slice, factor: float) -> Trace:
    columns = {name: None if (c := getattr(trace, name)) is None else c[k] for name in COLUMNS}
    t = (trace.t[k] - trace.t[k][0]) * factor
    return _but(trace, t=t, session=None, faults=(), skipped=0, notes=(), **columns)
