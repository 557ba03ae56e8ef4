"""The loop that owns the fleet: events in, one step each, effects out.

It is synchronous: an event that is posted has been decided on, and its actions have been handed out, when `post`
returns, so a warm request pays for one function call and no queue. An event posted from within an effect waits
for its turn.
"""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from pilotlight.clock import Clock, Timer
from pilotlight.fleet.actions import (
    Action,
    Assign,
    Hold,
    Moved,
    Note,
    Ping,
    Probe,
    Refuse,
    Rented,
    Send,
    Sleep,
    Start,
    Stop,
    Trim,
    Wake,
    WakeAt,
)
from pilotlight.fleet.events import Event, Tick
from pilotlight.fleet.fleet import Fleet
from pilotlight.policy.step import step

log = logging.getLogger(__name__)


class Effects(Protocol):
    """Who carries out what the kernel orders. None of these may block."""

    def assign(self, action: Assign) -> None: ...
    def hold(self, action: Hold) -> None: ...
    def send(self, action: Send) -> None: ...
    def ping(self, action: Ping) -> None: ...
    def refuse(self, action: Refuse) -> None: ...
    def start(self, action: Start) -> None: ...
    def stop(self, action: Stop) -> None: ...
    def probe(self, action: Probe) -> None: ...
    def sleep(self, action: Sleep) -> None: ...
    def wake(self, action: Wake) -> None: ...
    def trim(self, action: Trim) -> None: ...
    def moved(self, action: Moved) -> None: ...
    def rented(self, action: Rented) -> None: ...
    def note(self, action: Note) -> None: ...


Watcher = Callable[[Event, Sequence[Action]], None]


class Controller:
    """`fleet` is for reading only, and only between posts."""

    def __init__(self, clock: Clock, effects: Effects, watcher: Watcher | None = None) -> None:
        self.fleet = Fleet()
        self.clock = clock
        self._watcher = watcher
        self._inbox: deque[Event] = deque()
        self._stepping = False
        self._wake: Timer | None = None
        self._carry_out: dict[type, Callable[..., None]] = {
            Assign: effects.assign,
            Hold: effects.hold,
            Send: effects.send,
            Ping: effects.ping,
            Refuse: effects.refuse,
            Start: effects.start,
            Stop: effects.stop,
            Probe: effects.probe,
            Sleep: effects.sleep,
            Wake: effects.wake,
            Trim: effects.trim,
            Moved: effects.moved,
            Rented: effects.rented,
            Note: effects.note,
            WakeAt: self._wake_at,
        }

    def post(self, event: Event) -> None:
        """Decides on the event now, or right after the one that is being decided on."""
        self._inbox.append(event)
        if self._stepping:
            return
        self._stepping = True
        try:
            while self._inbox:
                self._step(self._inbox.popleft())
        finally:
            self._stepping = False

    def _step(self, event: Event) -> None:
        self.fleet, actions = step(self.fleet, event)
        if self._watcher is not None:
            self._watcher(event, actions)
        for action in actions:
            try:
                self._carry_out[type(action)](action)
            except Exception:
                # One effect that fails must not keep the others from happening.
                log.exception("could not carry out %s", action)

    def _wake_at(self, action: WakeAt) -> None:
        if self._wake is not None:
            self._wake.cancel()
        when = action.at
        self._wake = self.clock.call_at(when, lambda: self.post(Tick(max(when, self.clock.now()))))
