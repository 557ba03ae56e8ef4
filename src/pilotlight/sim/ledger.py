"""What happened in a replay that costs money, or is worth telling, from what the kernel says.

What it comes to is reckoned in the room `cost`, by the rule that is written in cost/capacity.py.
"""

from collections.abc import Mapping

from pilotlight.cost.capacity import ONE, Bill, Devices, Price, Spans, bill, rentals
from pilotlight.fleet.actions import Moved, Note, Refuse, Rented
from pilotlight.fleet.states import State
from pilotlight.sim.loop import Effect
from pilotlight.sim.providers import Charge
from pilotlight.sim.result import Paid

Who = tuple[str, bool]
"""A deployment, and whether its warmers."""


class Ledger:
    def __init__(self, *, logs: bool = True) -> None:
        """`logs`: whether what became of replicas is kept; it is the larger, the longer the trace."""
        self.logs = logs
        self.rented: dict[str, list[tuple[float, int]]] = {}
        """By deployment: from this moment on, so many."""
        self.refused: list[str] = []
        """Requests."""
        self.noted: dict[str, int] = {}
        """What the kernel could not do, and how often; of whom is left out."""
        self.starts = 0
        self.log: list[Moved | Rented] = []
        """What became of replicas, in order, where that is kept."""
        self.charges: list[Charge] = []
        """What providers are paid for each request."""
        self._up: dict[Who, Spans] = {}
        """From order to end, of replicas that are gone."""
        self._since: dict[str, tuple[float, Who]] = {}
        """Of the others: from order."""

    def told(self, action: Effect, now: float) -> None:
        if type(action) is Moved:
            if self.logs:
                self.log.append(action)
            if action.was is None:
                self.starts += 1
                self._since[action.replica] = (now, (action.deployment, action.small))
            if action.state is State.GONE:
                began, who = self._since.pop(action.replica)
                self._up.setdefault(who, []).append((began, now))
        elif type(action) is Rented:
            if self.logs:
                self.log.append(action)
            self.rented.setdefault(action.deployment, []).append((now, action.replicas))
        elif type(action) is Refuse:
            self.refused.append(action.request)
        elif type(action) is Note:
            text = action.because.removeprefix(action.deployment).strip()
            if text in self.noted or len(self.noted) < MOST_NOTES:
                self.noted[text] = self.noted.get(text, 0) + 1

    def notes(self) -> tuple[str, ...]:
        return tuple(f"{text}: {n:,} time{'s' if n != 1 else ''}" for text, n in self.noted.items())

    def paid(self, since: float) -> dict[str, Paid]:
        """By provider, for what was sent from then on."""
        found: dict[str, Paid] = {}
        for c in self.charges:
            if c.at >= since:
                p = found.get(c.provider, Paid())
                burst, ping = (0.0, c.usd) if c.is_ping else (c.usd, 0.0)
                asked = not c.is_ping
                found[c.provider] = Paid(
                    p.burst_requests + (asked and not c.declined and not c.cut),
                    p.burst_usd + burst,
                    p.ping_usd + ping,
                    p.declined + (asked and c.declined),
                    p.hedged + c.hedged,
                    p.cut + c.cut,
                )
        return found

    def up(self, until: float) -> dict[Who, Spans]:
        """When replicas were up. Those that are up still are so until `until`."""
        found = {who: list(spans) for who, spans in self._up.items()}
        for began, who in self._since.values():
            found.setdefault(who, []).append((began, max(began, until)))
        return found

    def bills(
        self, price: Price, devices: Mapping[str, Devices], since: float, until: float
    ) -> dict[str, Bill]:
        """By deployment, for what was between the two moments."""
        up = self.up(until)
        return {
            name: bill(
                up.get((name, False), []),
                rentals(self.rented.get(name, []), price.commitment, until),
                price,
                devices.get(name, ONE),
                since,
                until,
                up.get((name, True), []),
            )
            for name in sorted({name for name, _ in up} | self.rented.keys())
        }


MOST_NOTES = 10
"""That are kept."""
