"""What the bill has to know of what is declared."""

from collections.abc import Mapping

import msgspec

from pilotlight.cost.capacity import Devices, Price


class Sold(msgspec.Struct, frozen=True):
    """What the bill has to know of a model."""

    devices: Devices
    slots: int
    """Requests that a replica takes at once."""


class Terms(msgspec.Struct, frozen=True):
    """What is declared; replaced whole at a reload. A model may be asked for that no longer is."""

    price: Price
    models: Mapping[str, Sold]
    cold_after: float
    """Seconds: objective.wait."""

    def devices(self, model: str) -> Devices:
        sold = self.models.get(model)
        return Devices() if sold is None else sold.devices

    def slots(self, model: str) -> int:
        sold = self.models.get(model)
        return 1 if sold is None else max(1, sold.slots)
