"""The ledger: every second of every replica goes to one rung, and a busy one to those whose requests it served.

1. A replica is up from its order to its end. What it does meanwhile is its rung (rows.py), one at a time.
2. While k requests are in flight in a replica, each has 1/k of its seconds, under its key and class. So a replica's
   serving seconds are those in which it was not idle, however many requests it had.
3. A moment of a deployment costs what capacity.py says: the dedicated price for each rental, the on-demand price for
   each device that is up beyond them. Replicas that are up share that evenly by their devices; which of them is the
   rented one would be a guess. Rentals beyond what is up go to the rung `rented`, which has no replica-seconds.
4. What a provider charged is a row of its own, with the provider's name.

An event costs the same however many replicas and requests there are: time is turned into shares by two running sums
(seconds, and USD of a device-second), and who takes part in one remembers where it stood when it began.
"""

from collections.abc import Callable

from pilotlight.cost.capacity import Devices, Price
from pilotlight.cost.rows import (
    ASLEEP,
    BURST,
    IDLE,
    RENTED,
    SERVING,
    STARTING,
    STOPPING,
    WARMER,
    Amount,
    Row,
    Rows,
    add,
)
from pilotlight.cost.standing import Capacity, Part, Up, settle_part
from pilotlight.fleet.actions import Moved, Rented
from pilotlight.fleet.states import State

_RUNG = {
    State.STARTING: STARTING,
    State.WAKING: STARTING,
    State.GOING_TO_SLEEP: ASLEEP,
    State.ASLEEP: ASLEEP,
    State.FAILING: STOPPING,
    State.STOPPING: STOPPING,
}
"""Of the states in which a replica serves nobody."""


class Ledger:
    """Moments are seconds of one clock that does not go back; one that lies before the last counts as the last."""

    def __init__(self, price: Price, devices: Callable[[str], Devices]) -> None:
        self._price = price
        self._devices = devices
        self._up: dict[str, Up] = {}
        self._capacities: dict[str, Capacity] = {}
        self._where: dict[str, Up] = {}
        """By request."""
        self._earlier: dict[str, float] = {}
        """USD of requests that are not over, in replicas that have them no more."""
        self._rows: Rows = {}

    # -- what happens ------------------------------------------------------------------------------------------------

    def moved(self, action: Moved) -> None:
        """A replica changed its state."""
        if action.was is None:
            self._ordered(action.replica, action.deployment, action.small, action.at)
            return
        up = self._up.get(action.replica)
        if up is None:
            return
        self._advance(up, action.at)
        if action.state is State.GONE:
            self._gone(action.replica, up)
            return
        self._write(up)
        rung = _RUNG.get(action.state)
        up.serves = rung is None
        up.rung = rung or (WARMER if up.small else IDLE)

    def rented(self, action: Rented) -> None:
        """So many are dedicated from now on."""
        capacity = self._capacity(action.deployment, action.at)
        n = action.replicas
        capacity.rentals += [capacity.at] * (n - len(capacity.rentals))
        capacity.want, capacity.dropped = n, capacity.at
        capacity.changed(self._price)

    def began(self, request: str, replica: str, at: float, key: str = "", request_class: str = "") -> None:
        """A replica has the request; one that had it before has not any more."""
        earlier = self._left(request, at)
        up = self._up.get(replica)
        if up is None:
            if earlier:
                self._earlier[request] = earlier
            return
        self._advance(up, at)
        up.requests[request] = Part((key, request_class), up, earlier)
        self._where[request] = up

    def ended(self, request: str, at: float) -> None:
        """Nothing for one that no replica has."""
        self._left(request, at)

    def share(self, request: str, at: float) -> float:
        """USD of a request that is not over: its share of the replicas that have had it, up to now."""
        up = self._where.get(request)
        if up is None:
            return self._earlier.get(request, 0.0)
        self._advance(up, at)
        part = up.requests[request]
        return part.usd + up.share_usd - part.share_usd

    def _left(self, request: str, at: float) -> float:
        """No replica has it any more. USD of its shares."""
        up = self._where.pop(request, None)
        if up is None:
            return self._earlier.pop(request, 0.0)
        self._advance(up, at)
        part = up.requests.pop(request)
        settle_part(up, part)
        return part.usd

    def charged(
        self,
        provider: str,
        model: str,
        usd: float,
        *,
        key: str = "",
        request_class: str = "",
        rung: str = BURST,
        seconds: float = 0.0,
    ) -> None:
        add(self._rows, Row(model, key, request_class, rung, provider), seconds, usd)

    def reprice(self, price: Price, at: float) -> None:
        """From now on."""
        self.settle(at)
        self._price = price
        for capacity in self._capacities.values():
            capacity.changed(price)

    # -- what came of it ---------------------------------------------------------------------------------------------

    def settle(self, at: float) -> None:
        """Accounts for all that is up and in flight, up to now. Costs as much as there is of both."""
        for up in self._up.values():
            self._advance(up, at)
            for part in up.requests.values():
                settle_part(up, part)
            self._write(up)
        for model, capacity in self._capacities.items():
            self._pass(capacity, at)
            self._write_unused(model, capacity)

    def take(self) -> Rows:
        """What was accounted for when it was settled last, and charged since; it is forgotten here."""
        rows, self._rows = self._rows, {}
        return rows

    @property
    def quiet(self) -> bool:
        """Nothing is up or rented, and nothing was accounted for since it was last taken."""
        return not (self._up or self._rows or any(c.rentals for c in self._capacities.values()))

    # -- time passes -------------------------------------------------------------------------------------------------

    def _ordered(self, replica: str, model: str, small: bool, at: float) -> None:
        capacity = self._capacity(model, at)
        up = self._up[replica] = Up(model, capacity, small, capacity.at)
        capacity.used += up.devices
        capacity.changed(self._price)

    def _gone(self, replica: str, up: Up) -> None:
        for request, part in up.requests.items():
            settle_part(up, part)
            if self._where.pop(request, None) is not None and part.usd:
                self._earlier[request] = part.usd
        self._write(up)
        up.capacity.used -= up.devices
        up.capacity.changed(self._price)
        del self._up[replica]

    def _capacity(self, model: str, at: float) -> Capacity:
        """As it is now, with the devices that are declared now."""
        devices = self._devices(model)
        found = self._capacities.get(model)
        if found is None:
            found = self._capacities[model] = Capacity(at, devices)
        self._pass(found, at)
        if found.devices != devices:
            self._write_unused(model, found)
            found.devices = devices
        return found

    def _advance(self, up: Up, at: float) -> None:
        capacity = up.capacity
        self._pass(capacity, at)
        seconds = capacity.at - up.since
        if seconds <= 0.0:
            return
        usd = (capacity.spent - up.spent) * up.devices
        up.since, up.spent = capacity.at, capacity.spent
        if up.serves and up.requests:
            k = len(up.requests)
            up.share += seconds / k
            up.share_usd += usd / k
        else:
            up.alone.seconds += seconds
            up.alone.usd += usd

    def _pass(self, capacity: Capacity, at: float) -> None:
        """A deployment's time goes on to `at`, in pieces in which its price is the same."""
        while capacity.end <= at:
            capacity.pass_on(capacity.end)
            del capacity.rentals[0]
            capacity.changed(self._price)
        capacity.pass_on(at)

    def _write(self, up: Up) -> None:
        if up.alone.seconds > 0.0:
            add(self._rows, Row(up.model, rung=up.rung), up.alone.seconds, up.alone.usd)
            up.alone = Amount()
        for (key, request_class), amount in up.served.items():
            add(self._rows, Row(up.model, key, request_class, SERVING), amount.seconds, amount.usd)
        up.served.clear()

    def _write_unused(self, model: str, capacity: Capacity) -> None:
        unused = capacity.unused
        if unused > 0.0:
            usd = unused * self._price.dedicated
            add(self._rows, Row(model, rung=RENTED), unused / capacity.devices.full, usd)
            capacity.unused = 0.0
