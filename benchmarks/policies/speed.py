"""How fast the simulator's loop is, beside a loop that decides nothing."""

import gc
import platform
import time
from heapq import heappop, heappush

import msgspec

from pilotlight.sim.simulate import simulate
from pilotlight.sim.starts import constant
from pilotlight.sim.trace import Trace
from pilotlight.spec.model import Config

ENOUGH = 140_000
"""Requests that a trace must have for its speed to be told."""

ROUNDS = 3


class Speed(msgspec.Struct, frozen=True):
    trace: str
    start: float
    """Seconds that a start takes: with short ones more of them pay, and there is more to decide."""
    requests: int
    ours: float
    """Requests a CPU second, of the fastest round."""
    bare: float

    @property
    def ratio(self) -> float:
        """How many times faster the bare loop is."""
        return self.bare / self.ours if self.ours else 0.0


def measure(trace: Trace, config: Config, start: float) -> Speed:
    """Rounds in turns; the fastest of each, for the machine is shared."""
    ours = bare = 0.0
    for _ in range(ROUNDS):
        bare = max(bare, len(trace) / _bare(trace, config))
        ours = max(ours, simulate(trace, config, constant(start)).requests_per_s or 0.0)
    return Speed(trace.name, start, len(trace), ours, bare)


def interpreter() -> str:
    """How it was built is worth 11 to 20 % of the speed; that cannot be asked of every one."""
    return f"{platform.python_implementation()} {platform.python_version()}"


def _bare(trace: Trace, config: Config) -> float:
    """CPU seconds of a plain heapq loop: each request goes on the heap with its end, and is taken off when it ends."""
    given = config.simulation
    times = trace.t.tolist()
    runs = (given.first_token + given.per_token * trace.output_tokens).tolist()
    heap: list[tuple[float, int]] = []
    running = most = 0
    gc.disable()
    began = time.process_time()
    for i, (at, seconds) in enumerate(zip(times, runs, strict=True)):
        while heap and heap[0][0] <= at:
            heappop(heap)
            running -= 1
        heappush(heap, (at + seconds, i))
        running += 1
        if running > most:
            most = running
    while heap:
        heappop(heap)
    took = time.process_time() - began
    gc.enable()
    return took
