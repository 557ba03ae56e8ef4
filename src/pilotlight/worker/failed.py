"""Why a start came to nothing."""

import errno
from pathlib import Path

from pilotlight.worker import logs

_FULL = (errno.ENOSPC, errno.EDQUOT)


class Failed(Exception):
    """Why a start ended before the replica was ready: one sentence without its full stop."""

    def __init__(self, reason: str, see_log: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.see_log = see_log
        """The log's most telling line belongs to the reason."""

    def sentence(self, log: Path | None) -> str:
        line = logs.telling(logs.tail(log, 40)) if self.see_log and log is not None else ""
        return f"{self.reason}: {line}" if line and line not in self.reason else self.reason


def of_system(error: OSError) -> Failed:
    remedy = "; make room there" if error.errno in _FULL else ""
    return Failed(f"the start met an error of the system: {error}{remedy}")
