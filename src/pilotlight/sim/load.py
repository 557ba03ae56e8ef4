"""A TRACE as it is named on the command line: a file, or synthetic traffic."""

from pilotlight.sim.trace import Trace
from pilotlight.sim.traces.read import read
from pilotlight.sim.traffic_text import is_synthetic, synthetic


def load(named: str, *, strict: bool = False) -> Trace:
    """Raises TraceError for what is neither, or cannot be read."""
    return synthetic(named) if is_synthetic(named) else read(named, strict=strict)
