"""What all replicas of one worker share."""

from collections.abc import Callable, Mapping

import msgspec

from pilotlight.clock import Clock
from pilotlight.fleet.events import Event
from pilotlight.ports import Engine, Substrate
from pilotlight.worker.fetches import Fetches
from pilotlight.worker.free_ports import FreePorts
from pilotlight.worker.health import Ask, Order
from pilotlight.worker.memory import Measure
from pilotlight.worker.pool import Pool
from pilotlight.worker.settings import Settings
from pilotlight.worker.snapshots import Snapshots


class Context(msgspec.Struct, frozen=True):
    post: Callable[[Event], None]
    clock: Clock
    substrate: Substrate
    engines: Mapping[str, Engine]
    fetches: Fetches
    ports: FreePorts
    ask: Ask
    measure: Measure
    settings: Settings
    pool: Pool
    snapshots: Snapshots
    order: Order
