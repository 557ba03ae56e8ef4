"""Folders and limits of one worker."""

from collections.abc import Mapping
from pathlib import Path

import msgspec


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
    snapshot_dir: Path | None = None
    """Where processes are dumped to; nowhere, none are."""
