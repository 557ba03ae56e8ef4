"""What all replicas of one worker share."""

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from pilotlight.clock import Clock
from pilotlight.fleet.events import Event
from pilotlight.ports import Engine, Substrate
from pilotlight.worker.fetches import Fetches
from pilotlight.worker.free_ports import FreePorts
from pilotlight.worker.health import Ask
from pilotlight.worker.memory import Measure


class Settings(msgspec.Struct, frozen=True):
    """Folders and limits. Durations in seconds."""

    config_dir: Path
    """What relative paths in the config are relative to."""
    log_dir: Path
    log_max_size: int = 16 * 2**20
    env: Mapping[str, str] = {}
    """What engines find in their environment, before what their model adds."""
    probe_before_listening: float = 0.008
    """Between attempts to connect to an engine that does not report and does not listen yet; 2 to 3 % of a core."""
    probe_loading: float = 0.008
    """Between questions to one that listens and is not ready yet; 5 % of a core."""
    measure_first: float = 1.0
    """From ready to the first measurement of memory."""
    measure_every: float = 5.0
    failed_grace: float = 2.0
    """For an engine whose start has failed, from SIGTERM to SIGKILL."""


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
