"""Sessions in a replay: how many of their turns found the replica that has what was computed for the turn before.

A replica's cache goes with it, and with its sleep; and requests are routed without regard to sessions. What a turn
saves that finds it is not reckoned: how long its prompt takes is the engine's to say.
"""

from bisect import bisect
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from pilotlight.fleet.actions import Moved, Rented
from pilotlight.fleet.states import State
from pilotlight.sim.trace import Floats, Trace


class Turns(msgspec.Struct, frozen=True):
    counted: int
    """Requests after the warm-up before which another one of their session came, for the same model."""
    kept: int
    """Of these, those that were answered by the replica of the one before, which had not slept in between."""


def turns(
    trace: Trace,
    names: Sequence[str],
    placed: Mapping[str, str],
    wait: Floats,
    log: Sequence[Moved | Rented],
    since: float,
) -> Turns | None:
    """`names`: the deployment of each of the trace's models; `placed`: the replica of each request, by its number as
    text, as far as one had it; `wait`: seconds until then. None for a trace without sessions."""
    if trace.session is None:
        return None
    begins = trace.t + np.nan_to_num(wait)
    slept: dict[str, list[float]] = {}
    for action in log:
        if isinstance(action, Moved) and action.state is State.GOING_TO_SLEEP:
            slept.setdefault(action.replica, []).append(action.at)
    before: dict[tuple[int, str], int] = {}
    counted = kept = 0
    for i, (session, model) in enumerate(zip(trace.session.tolist(), trace.model.tolist(), strict=True)):
        if session < 0:
            continue
        of = (int(session), names[int(model)])
        last, before[of] = before.get(of), i
        if last is None or trace.t[i] < since:
            continue
        counted += 1
        replica = placed.get(str(i))
        if replica is not None and replica == placed.get(str(last)):
            sleeps = slept.get(replica, [])
            kept += bisect(sleeps, begins[last]) == bisect(sleeps, begins[i])
    return Turns(counted, kept)
