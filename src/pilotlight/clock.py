"""The only reader of time. Everything that needs a moment is handed one of these."""

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable
from math import inf
from typing import Protocol


class Timer(Protocol):
    def cancel(self) -> None: ...


class Clock(Protocol):
    """Seconds since an arbitrary start, never going backwards, and callbacks at a moment."""

    def now(self) -> float: ...
    def wall(self) -> float:
        """Unix seconds of the same moment, for logs."""
        ...

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer: ...


class SystemClock:
    """The monotonic clock and the running asyncio loop's timers."""

    def now(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        loop = asyncio.get_running_loop()
        return loop.call_later(max(0.0, when - time.monotonic()), callback)


class VirtualClock:
    """Time that moves only when told to, for tests and simulation. Ties fire in the order they were set."""

    def __init__(self, start: float = 0.0) -> None:
        self._now = start
        self._order = itertools.count()
        self._heap: list[tuple[float, int, _VirtualTimer]] = []

    def now(self) -> float:
        return self._now

    def wall(self) -> float:
        return self._now

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        timer = _VirtualTimer(callback)
        heapq.heappush(self._heap, (max(when, self._now), next(self._order), timer))
        return timer

    def due(self) -> float:
        """When the next callback is, or was to be before it was called off; infinite where none is."""
        return self._heap[0][0] if self._heap else inf

    def run_until(self, when: float) -> None:
        """Fires every callback due up to `when` in order, then stands at `when`."""
        while self._heap and self._heap[0][0] <= when:
            due, _, timer = heapq.heappop(self._heap)
            self._now = max(self._now, due)
            if timer.callback is not None:
                timer.callback()
        self._now = max(self._now, when)

    def run(self) -> None:
        """Fires everything there is, following callbacks that set further ones."""
        while self._heap:
            self.run_until(self._heap[0][0])


class _VirtualTimer:
    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None
