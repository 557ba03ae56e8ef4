"""What is asked of the tier that is advised: who waits, where inference runs, and what a request takes."""

from enum import StrEnum

import msgspec


class Latency(StrEnum):
    INTERACTIVE = "interactive"
    """Somebody waits for the answer."""
    BATCH = "batch"
    """Nobody does; it has to be there some time."""


class Inference(StrEnum):
    HERE = "here"
    """On the GPUs that are advised on."""
    REMOTE = "remote"
    """At a model of somebody else: what is advised on is the CPU program that calls it, such as an agent."""


WAIT = {Latency.INTERACTIVE: 2.0, Latency.BATCH: 3600.0}
"""Seconds to the first token after which a request is cold. People take 2 s as acceptable; the hour is a guess [G]."""

COLD = 0.05
"""Share of requests that may be cold: below 5 % capacity is likely to be more than it need be."""

LOW = 0.4
"""The lower edge of the band that policies are given, over its upper edge: 2 % to 5 % is the best band."""

CPU_SECONDS = 1.5
"""Of computing per request of a program that calls a remote model [G]: 1.5 s of 9.5 s is a published example."""

MEMORY = 512 * 2**20
"""Bytes of one such program [G]."""


class Needs(msgspec.Struct, frozen=True):
    wait: float = WAIT[Latency.INTERACTIVE]
    """Seconds to the first token; a request that takes longer is cold."""
    cold: float = COLD
    """Share of requests that may be."""
    latency: Latency = Latency.INTERACTIVE
    inference: Inference = Inference.HERE
    sessions: bool = False
    """Whether requests of a session need the replica that has its state."""
    cpu_seconds: float = CPU_SECONDS
    """Of computing per request, where inference is remote."""
    memory: int = MEMORY
    """Bytes of one program, where inference is remote."""

    @property
    def band(self) -> tuple[float, float]:
        return (LOW * self.cold, self.cold)
