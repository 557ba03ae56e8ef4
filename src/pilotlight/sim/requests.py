"""A trace as the loop asks for it, and what became of its requests.

Requests are numbers, as text, because the kernel's names of requests are text. Nothing is kept of a request but its
wait: 8 bytes.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pilotlight.fleet.events import Arrived
from pilotlight.sim.trace import Floats, Trace


class Replayed:
    """`deployments`: of each of the trace's models."""

    def __init__(
        self, trace: Trace, deployments: Sequence[str], first_token: float, per_token: float
    ) -> None:
        self.wait: Floats = np.zeros(len(trace))
        """Seconds from arrival to a replica; what none has taken is for others to mark."""
        self._names = tuple(deployments)
        service = first_token + per_token * trace.output_tokens.astype(np.float64)
        # A view gives plain floats, which are as fast again to reckon with as numpy's.
        self._t: Any = trace.t.data
        self._model: Any = trace.model.data
        self._service: Any = service.data
        self._wait: Any = self.wait.data

    def arrivals(self) -> Iterator[tuple[Arrived, float]]:
        """Each with the seconds that it runs."""
        names = self._names
        for i, (at, model, seconds) in enumerate(zip(self._t, self._model, self._service, strict=True)):
            yield Arrived(at, str(i), names[model]), seconds

    def waited(self, request: str, seconds: float) -> None:
        self._wait[int(request)] = seconds
