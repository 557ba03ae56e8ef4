"""Sessions in a replay: how many of their turns found the replica that has what was computed for the turn before.

A replica's cache goes with it, and with its sleep; and requests are routed without regard to sessions. What a turn
saves that finds it is not reckoned: how long its prompt takes is the engine's to say.
"""

from bisect import bisect
from collections.abc import Sequence

import msgspec
import numpy as np

from pilotlight.fleet.actions import Moved, Rented
from pilotlight.fleet.states import State
from pilotlight.sim.placed import Placed
from pilotlight.sim.trace import Floats, Trace


class Turns(msgspec.Struct, frozen=True):
    counted: int
    """Requests after the warm-up before which another one of their session came, for the same model."""
    kept: int
    """Of these, those that were answered by the replica of the one before, which had not slept in between."""


def turns(
    trace: Trace,
    names: Sequence[str],
    placed: Placed | None,
    wait: Floats,
    log: Sequence[Moved | Rented],
    since: float,
) -> Turns | None:
    """`names`: the deployment of each of the trace's models; `wait`: seconds of each request. None for a trace without
    sessions."""
    if trace.session is None or placed is None:
        return None
    slept: dict[str, list[float]] = {}
    for action in log:
        if isinstance(action, Moved) and action.state is State.GOING_TO_SLEEP:
            slept.setdefault(action.replica, []).append(action.at)
    before: dict[tuple[int, str], tuple[int, int]] = {}
    """The replica that the last request had, and how often that had slept until then."""
    counted = kept = 0
    for rows in trace.pieces(wait, placed.replica):
        begins = trace.t[rows] + np.nan_to_num(wait[rows])
        columns = (
            trace.session[rows],
            trace.model[rows],
            placed.replica[rows],
            begins,
            trace.t[rows] >= since,
        )
        for session, model, replica, began, counts in zip(*(c.tolist() for c in columns), strict=True):
            if session < 0:
                continue
            now = replica, bisect(slept.get(placed.names[replica], ()), began)
            of = (session, names[int(model)])
            last, before[of] = before.get(of), now
            if last is not None and counts:
                counted += 1
                kept += replica > 0 and last == now
    return Turns(counted, kept)
