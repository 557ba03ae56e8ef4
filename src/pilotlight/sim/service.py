"""How long requests run on a replica, by what is declared: the one place that reckons it. All in seconds."""

import numpy as np

from pilotlight.sim.columns import column
from pilotlight.sim.trace import Floats, Trace
from pilotlight.spec.simulation import Simulation


def first_tokens(trace: Trace, given: Simulation) -> Floats:
    """From the beginning of each request on a replica to its first token."""
    tokens = (trace.prompt_tokens[rows].astype(np.float64) for rows in trace.pieces())
    return column(np.float64, (given.first_token + given.per_prompt_token * n for n in tokens))


def service(trace: Trace, given: Simulation) -> Floats:
    """That each request runs on a replica which it has to itself."""
    first = first_tokens(trace, given)
    each = ((first[rows], trace.output_tokens[rows].astype(np.float64)) for rows in trace.pieces(first))
    return column(np.float64, (begin + given.per_token * n for begin, n in each))
