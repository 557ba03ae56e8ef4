"""Tells the kernel what time of the day it is, and when the wall clock has been set."""

from collections.abc import Callable

from pilotlight.clock import Clock, Timer
from pilotlight.fleet.events import ClockSet

EVERY = 60.0
"""Seconds between two looks."""

JUMP = 1.0
"""Seconds by which the two clocks must have come apart: windows begin on the minute [G]."""


class WallClock:
    """Unix time at second 0 of the controller's clock."""

    def __init__(self, clock: Clock, post: Callable[[ClockSet], None]) -> None:
        self._clock = clock
        self._post = post
        self._timer: Timer | None = None
        self.unix = clock.wall() - clock.now()

    def start(self) -> None:
        self.stop()
        self._timer = self._clock.call_at(self._clock.now() + EVERY, self._look)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        now = self._clock.now()
        unix = self._clock.wall() - now
        if abs(unix - self.unix) > JUMP:
            self.unix = unix
            self._post(ClockSet(now, unix))
        self.start()
