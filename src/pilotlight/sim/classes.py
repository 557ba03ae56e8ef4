"""Classes and stand-ins in a replay: what became of each class, and which requests another model answered."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from pilotlight.fleet.actions import Moved, Rented
from pilotlight.fleet.classes import BATCH, RANKS
from pilotlight.sim.result import OfClass
from pilotlight.sim.trace import Bools, Floats, Trace

SLACK = 1e-6
"""Seconds: a wait is the difference of two moments, and may miss the deadline that it lasted to by a rounding."""


def by_class(
    trace: Trace,
    ttft: Floats,
    waited: Floats,
    unserved: Bools,
    refused: Collection[str],
    counted: Bools,
    cold_after: float,
    deadlines: Floats,
) -> dict[str, OfClass]:
    """Of each class that a counted request has. `ttft`, `waited`: seconds of each request; `refused`: requests, by
    their number as text; `deadlines`: seconds that a batch request to each of the trace's models waits for idle
    capacity. Empty where all are standard."""
    ranks = trace.ranks
    if ranks is None:
        return {}
    turned_away = np.zeros(len(trace), np.bool_)
    turned_away[[int(request) for request in refused]] = True
    late = ~turned_away & (waited >= deadlines[trace.model] - SLACK)
    found: dict[str, OfClass] = {}
    for name, rank in RANKS.items():
        of = counted & (ranks == rank)
        if not of.any():
            continue
        p50, p95 = (float(x) for x in np.percentile(ttft[of], (50, 95), method="inverted_cdf"))
        found[name] = OfClass(
            requests=int(np.count_nonzero(of)),
            cold_rate=None if rank == BATCH else float((ttft[of] > cold_after).mean()),
            ttft_p50=p50,
            ttft_p95=p95,
            unserved=int(np.count_nonzero(unserved & of)),
            refused=int(np.count_nonzero(turned_away & of)),
            past_deadline=int(np.count_nonzero(late & of)) if rank == BATCH else None,
        )
    return found


def stood_in(
    trace: Trace, names: Sequence[str], placed: Mapping[str, str], log: Sequence[Moved | Rented]
) -> Bools | None:
    """Which requests a replica of another deployment had. `names`: the deployment of each of the trace's models;
    `placed`: the replica of each request, by its number as text. None where the trace allows none."""
    if trace.stand_in is None:
        return None
    of = {action.replica: action.deployment for action in log if isinstance(action, Moved)}
    found = np.zeros(len(trace), np.bool_)
    for request, replica in placed.items():
        i = int(request)
        found[i] = of[replica] != names[trace.model[i]]
    return found
