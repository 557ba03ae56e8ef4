"""Why a start came to nothing."""

import errno
import logging
import signal
from pathlib import Path

from pilotlight.errors import EngineError, SourceError
from pilotlight.ports import Exit
from pilotlight.units import format_duration
from pilotlight.worker import logs
from pilotlight.worker.channel import EngineRefused

log = logging.getLogger(__name__)

_FULL = (errno.ENOSPC, errno.EDQUOT)

_MEANS = {
    signal.SIGBUS: "SIGBUS: a file that it had mapped was cut off, or cannot be read",
    signal.SIGKILL: "SIGKILL: by somebody, or by the system where memory runs out, which dmesg says",
}
"""Ends that come from without, whatever was logged last."""


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


def of_exit(exit: Exit, seconds: float) -> Failed:
    """The process ended so long after it was ordered."""
    text = f"the engine {exit} after {format_duration(seconds)}"
    means = _MEANS.get(signal.Signals(exit.signal)) if exit.signal in signal.valid_signals() else None
    return Failed(f"{text} ({means})") if means else Failed(text, see_log=True)


def of_error(error: Exception, replica: str) -> Failed:
    """What a step of the replica's start has raised."""
    match error:
        case SourceError():
            return Failed(f"weights could not be fetched: {error}")
        case EngineError():
            return Failed(str(error))
        case EngineRefused():
            return Failed(error.said.message, error.said.see_log)
        case OSError():
            remedy = "; make room there" if error.errno in _FULL else ""
            return Failed(f"the start met an error of the system: {error}{remedy}")
        case _:
            log.error("start of %s", replica, exc_info=error)
            return Failed(f"the start met an error of pilotlight's own: {error!r}")
