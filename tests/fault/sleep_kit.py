"""A real server whose engines sleep and wake without one being installed."""

import sys
from pathlib import Path
from typing import Any

from fault.server_kit import Server, Stub


class SleepyServer(Server):
    program = (sys.executable, str(Path(__file__).with_name("sleepy_server.py")))


class SleepyStub(Stub):
    """Takes some 30 MiB awake and 6 asleep."""

    def __init__(self, folder: Path, name: str = "m", **model: Any) -> None:
        super().__init__(folder, name, "--ballast", "24", **model)

    def told(self) -> list[str]:
        """What it was posted, in order."""
        return [entry["path"] for entry in self.journal("told")]
