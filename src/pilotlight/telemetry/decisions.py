"""The last decisions about each model, for who wants to know why it is as it is."""

from collections import deque
from collections.abc import Callable, Collection
from typing import Any

import msgspec

from pilotlight.clock import Clock
from pilotlight.fleet.actions import Moved, Note, Rented
from pilotlight.fleet.fleet import Fleet
from pilotlight.fleet.records import RequestRecord
from pilotlight.fleet.states import Cause, State
from pilotlight.policy import cold_rate

MOST = 100
"""Decisions that are kept of each model."""

MOVED = 0.1
"""Share by which the price of a cold request has changed before it is told [G]."""


class Decision(msgspec.Struct):
    at: float
    """The controller's clock, seconds; of several alike in a row, the last."""
    what: str
    because: str
    times: int = 1


class Decisions:
    """Hears of what was decided, never decides."""

    def __init__(self, clock: Clock, fleet: Callable[[], Fleet]) -> None:
        self._clock = clock
        self._fleet = fleet
        self._of: dict[str, deque[Decision]] = {}
        self._prices: deque[Decision] = deque(maxlen=MOST)
        self._usd: float | None = None

    def decided(self, action: Moved | Rented | Note) -> None:
        if isinstance(action, Note):
            self._add(action.deployment, "note", action.because)
        elif isinstance(action, Rented):
            self._add(action.deployment, f"{action.replicas} always up", action.because)
        elif action.state is not State.GONE or action.cause is not Cause.ENDED:
            self._add(
                action.deployment,
                f"{action.replica} is {action.state.value.replace('_', ' ')}",
                action.because,
            )

    def told(self, record: RequestRecord) -> None:
        """A request is over."""
        if record.outcome == "refused":
            self._add(record.model, f"refused with {record.status}", "a request could not be taken")
        usd = cold_rate.usd(self._fleet())
        if self._usd is None or abs(usd - self._usd) > MOVED * self._usd:
            if self._usd is not None:
                what = f"a cold request counts for ${usd:.3g}, before it did for ${self._usd:.3g}"
                self._prices.append(Decision(self._clock.now(), what, cold_rate.because(self._fleet())))
            self._usd = usd

    def _add(self, model: str, what: str, because: str) -> None:
        found = self._of.setdefault(model, deque(maxlen=MOST))
        now = self._clock.now()
        if found and (found[-1].what, found[-1].because) == (what, because):
            found[-1].at = now
            found[-1].times += 1
        else:
            found.append(Decision(now, what, because))

    def keep(self, models: Collection[str]) -> None:
        """Forgets all others."""
        self._of = {name: found for name, found in self._of.items() if name in models}

    def of(self, model: str) -> list[dict[str, Any]]:
        """The last ones, oldest first, with those about the price that is common to all."""
        now, wall = self._clock.now(), self._clock.wall()
        found = sorted([*self._of.get(model, ()), *self._prices], key=lambda d: d.at)[-MOST:]
        return [
            {
                "unix": round(wall - now + d.at, 3),
                "ago_s": round(now - d.at, 3),
                "what": d.what,
                "because": d.because,
                "times": d.times,
            }
            for d in found
        ]
