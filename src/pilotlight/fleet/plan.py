"""A cold start as a plan: an unordered set of steps, each with what it needs and what it gives.

Order and overlap follow from needs and gives alone. The worker runs a plan, the simulator prices it, the trace
reports it step by step.
"""

from collections.abc import Iterable
from enum import StrEnum

import msgspec


class Stage(StrEnum):
    """The names under which time is reported, in the order in which people read them."""

    HOLD = "hold"
    """From the arrival to the moment a start was ordered: room was being made, a back-off ran."""
    ALLOCATE = "allocate"
    """A port, a log, an index of devices."""
    FETCH = "fetch"
    """Weights from their source to this machine's disk; next to nothing when they are there."""
    READ = "read"
    """Weights from this machine's disk into its memory, beside other steps."""
    HEADER = "header"
    """The first part of weights that are being fetched: what the model is, and where its tensors will lie."""
    SPAWN = "spawn"
    """A process, until its first instruction of ours (or, for a command, until it exists)."""
    IMPORT = "import"
    """The engine's runtime inside that process."""
    FORK = "fork"
    """A process from a zygote that has the runtime imported, until its first instruction of ours."""
    TAKE = "take"
    """A primed process taken from the warm pool."""
    RESTORE = "restore"
    """A process that was dumped when it was ready, until it can answer."""
    GPU_CONTEXT = "gpu_context"
    """The device's context and the engine's own processes."""
    LOAD = "load"
    """Weights into memory and the context built; for a command, until its health answers."""
    WHOLE = "whole"
    """An engine that loaded while its weights arrived is told that they are whole and verified."""
    KV_CACHE = "kv_cache"
    """Room for keys and values: measured, then taken."""
    COMPILE = "compile"
    """The model compiled for this device, or read from a cache of such."""
    GRAPH_CAPTURE = "graph_capture"
    """CUDA graphs."""
    WAKE = "wake"
    """A replica that was asleep, until it can answer."""
    WARM_UP = "warm_up"
    """A first pass that sets up buffers and kernels."""
    HAND_OVER = "hand_over"
    """From ready to the held request being sent on."""
    QUEUE = "queue"
    """Waiting behind other requests, not for a start."""
    FIRST_TOKEN = "first_token"  # noqa: S105 - a stage, no password
    """From sending the request on to the first byte of the answer: the engine's own time."""


class Step(msgspec.Struct, frozen=True):
    name: Stage
    needs: frozenset[str] = frozenset()
    gives: frozenset[str] = frozenset()


class Plan(msgspec.Struct, frozen=True):
    """Raises ValueError from `check` when it cannot be carried out."""

    steps: tuple[Step, ...]
    techniques: tuple[str, ...] = ()

    def check(self) -> None:
        """A step whose needs nobody gives, two givers of one thing, or a circle: ValueError names it."""
        gives = [g for step in self.steps for g in step.gives]
        if len(gives) != len(set(gives)):
            raise ValueError(
                f"two steps give the same thing: {sorted(g for g in gives if gives.count(g) > 1)[0]}"
            )
        done: set[str] = set()
        left = list(self.steps)
        while left:
            ready = [s for s in left if s.needs <= done]
            if not ready:
                stuck = ", ".join(f"{s.name} needs {sorted(s.needs - done)}" for s in left)
                raise ValueError(f"the plan cannot be carried out: {stuck}")
            for step in ready:
                done |= step.gives
                left.remove(step)


def step(name: Stage, needs: Iterable[str] = (), gives: Iterable[str] = ()) -> Step:
    return Step(name, frozenset(needs), frozenset(gives))


class Span(msgspec.Struct, frozen=True):
    """One step as it happened; seconds of the controller's clock."""

    stage: str
    start: float
    end: float
    once: bool = False
    """The next start will not have it: what it made or fetched is on this machine's disk by then."""

    @property
    def seconds(self) -> float:
        return self.end - self.start
