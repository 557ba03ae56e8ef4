"""One error tree.

PilotlightError
├── ConfigError           a config file is wrong: every problem with file, line, key and what is allowed
├── SourceError           weights cannot be named, fetched, verified or written
├── EngineError           an engine cannot be installed, started, probed or reached
│   ├── StartFailed       a start plan ended before the replica was ready; carries the engine's last log lines
│   └── ZygoteUnavailable a process was to be forked and no zygote can; a plain start will do
├── ServerError           the server cannot run as asked: port in use, open address without keys
├── TraceError            a request trace cannot be read, or synthetic traffic is asked for in words that mean nothing
└── RequestError          a request is refused: an HTTP status and an OpenAI error body

A message says what was wrong, where, and what to do. The CLI prints it and exits 1 (2 for ConfigError);
no traceback reaches a user.
"""

from collections.abc import Sequence

import msgspec


class PilotlightError(Exception):
    """The root; `str()` of it is fit to print."""


class Problem(msgspec.Struct, frozen=True):
    """One thing wrong in a config file."""

    file: str
    line: int
    """1-based; 0 where no line can be named."""
    key: str
    """Dotted path such as `models.chat.ttl`; empty for the file itself."""
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.key}: {self.message}" if self.key else f"{where}: {self.message}"


class ConfigError(PilotlightError):
    """Carries every problem found, not only the first."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(p) for p in self.problems))


class SourceError(PilotlightError):
    pass


class EngineError(PilotlightError):
    pass


class StartFailed(EngineError):
    """`reason` is one sentence; `log_tail` the engine's last lines, oldest first."""

    def __init__(self, reason: str, log_tail: Sequence[str] = ()) -> None:
        self.reason = reason
        self.log_tail = tuple(log_tail)
        super().__init__("\n".join([reason, *self.log_tail]))


class ZygoteUnavailable(EngineError):
    pass


class ServerError(PilotlightError):
    pass


class TraceError(PilotlightError):
    """`faults` are the bad rows it is about, `FILE:LINE: what is wrong`; the first of them, where there are many."""

    def __init__(self, message: str, faults: Sequence[str] = ()) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join([message, *self.faults]))


class RequestError(PilotlightError):
    """A refusal with an HTTP status and the fields of OpenAI's error body."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        type: str | None = None,
        param: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.status = status
        self.message = message
        self.code = code
        self.type = type or ("invalid_request_error" if status < 500 else "server_error")
        self.param = param
        self.retry_after = retry_after
        super().__init__(message)
