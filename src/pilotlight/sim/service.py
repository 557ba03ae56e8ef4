"""How long requests run on a replica, by what is declared: the one place that reckons it. All in seconds."""

import numpy as np

from pilotlight.sim.trace import Floats, Trace
from pilotlight.spec.simulation import Simulation


def first_tokens(trace: Trace, given: Simulation) -> Floats:
    """From the beginning of each request on a replica to its first token."""
    return given.first_token + given.per_prompt_token * trace.prompt_tokens.astype(np.float64)


def service(trace: Trace, given: Simulation) -> Floats:
    """That each request runs on a replica which it has to itself."""
    return first_tokens(trace, given) + given.per_token * trace.output_tokens.astype(np.float64)
