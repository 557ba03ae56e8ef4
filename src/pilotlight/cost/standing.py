"""What the ledger keeps of a replica that is up and of a deployment's capacity, between two of its rows."""

import math

from pilotlight.cost.capacity import Devices, Price
from pilotlight.cost.rows import STARTING, Amount


class Capacity:
    """What a deployment has up and rented, and what a second of a device costs it."""

    __slots__ = (
        "at",
        "devices",
        "dropped",
        "end",
        "rate",
        "rentals",
        "spare",
        "spent",
        "unused",
        "used",
        "want",
    )

    def __init__(self, at: float, devices: Devices) -> None:
        self.at = at
        self.devices = devices
        self.used = 0
        """Devices of what is up."""
        self.want = 0
        self.rentals: list[float] = []
        """When each began that is paid still, oldest first; more than `want` while commitments last."""
        self.dropped = 0.0
        """When `want` was said last."""
        self.spent = 0.0
        """USD of one device that has been up all the time."""
        self.unused = 0.0
        """Seconds of rented devices that nothing took, not accounted for yet."""
        # What follows from the above, until something changes:
        self.rate = 0.0
        """USD of a second of a device that is up."""
        self.spare = 0
        """Rented devices that nothing takes."""
        self.end = math.inf
        """When the next rental ends."""

    def changed(self, price: Price) -> None:
        used, paid = self.used, len(self.rentals) * self.devices.full
        beyond = max(0, used - paid)
        self.rate = ((used - beyond) * price.dedicated + beyond * price.on_demand) / used if used else 0.0
        self.spare = max(0, paid - used)
        surplus = len(self.rentals) > self.want
        self.end = max(self.rentals[0] + price.commitment, self.dropped) if surplus else math.inf

    def pass_on(self, at: float) -> None:
        """To a moment that is not after `end`."""
        seconds = at - self.at
        if seconds > 0.0:
            self.spent += seconds * self.rate
            self.unused += seconds * self.spare
            self.at = at


class Up:
    """A replica that is up. `since`, `spent`: up to where it is accounted for."""

    __slots__ = ("alone", "capacity", "devices", "model", "requests", "rung", "served", "serves", "share",
                 "share_usd", "since", "small", "spent")  # fmt: skip

    def __init__(self, model: str, capacity: Capacity, small: bool, at: float) -> None:
        self.model = model
        self.capacity = capacity
        self.small = small
        self.devices = capacity.devices.small if small else capacity.devices.full
        self.serves = False
        self.rung = STARTING
        """While no request is in it."""
        self.since = at
        self.spent = capacity.spent
        self.share = 0.0
        """Seconds of one who has been in it all the time."""
        self.share_usd = 0.0
        self.requests: dict[str, Part] = {}
        # For the rows, when somebody wants them:
        self.alone = Amount()
        """On `rung`."""
        self.served: dict[tuple[str, str], Amount] = {}
        """By key and class."""


class Part:
    """A request in a replica, and where the replica's shares stood when it came, or was accounted for."""

    __slots__ = ("share", "share_usd", "usd", "who")

    def __init__(self, who: tuple[str, str], up: Up, usd: float) -> None:
        self.who = who
        """Key and class."""
        self.share = up.share
        self.share_usd = up.share_usd
        self.usd = usd
        """What it was accounted for, in replicas before this one too."""


def settle_part(up: Up, part: Part) -> None:
    """The request has had its share up to now."""
    seconds = up.share - part.share
    if seconds > 0.0:
        amount = up.served.get(part.who)
        if amount is None:
            amount = up.served[part.who] = Amount()
        usd = up.share_usd - part.share_usd
        amount.seconds += seconds
        amount.usd += usd
        part.usd += usd
        part.share, part.share_usd = up.share, up.share_usd
