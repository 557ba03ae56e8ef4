"""Server-sent events, as far as a proxy needs them."""

import re

import msgspec

from pilotlight.errors import RequestError
from pilotlight.http.errors import error_object

CONTENT_TYPE = "text/event-stream"
_DONE = re.compile(rb"^data: ?\[DONE\]", re.MULTILINE)


def done_at(events: bytes) -> int | None:
    """Where the last line begins that says that a stream of OpenAI's is over; None without one."""
    at = None
    for found in _DONE.finditer(events):
        at = found.start()
    return at


def comment(text: str) -> bytes:
    """A line every client skips; https://html.spec.whatwg.org/multipage/server-sent-events.html."""
    return b": " + " ".join(text.split()).encode("utf-8", "replace") + b"\n\n"


class WholeEvents:
    """Keeps back the beginning of an event until the rest of it has come, but not more than `limit` bytes of it."""

    __slots__ = ("limit", "rest")

    def __init__(self, limit: int = 2**20) -> None:
        self.limit = limit
        self.rest = b""
        """What is kept back."""

    def take(self, chunk: bytes) -> bytes:
        """What may be sent now that this chunk has come; b"" when that is nothing."""
        data = self.rest + chunk if self.rest else chunk
        if data.endswith((b"\n\n", b"\n\r\n")):
            self.rest = b""
            return data
        lf, crlf = data.rfind(b"\n\n"), data.rfind(b"\n\r\n")
        end = max(lf + 2 if lf >= 0 else 0, crlf + 3 if crlf >= 0 else 0)
        if len(data) - end > self.limit:
            end = len(data)
        self.rest = data[end:]
        return data[:end]


def event(payload: bytes) -> bytes:
    """A JSON text as one event; its line breaks are white space to JSON."""
    return b"data: " + payload.replace(b"\r", b" ").replace(b"\n", b" ") + b"\n\n"


def error_event(error: RequestError) -> bytes:
    """What OpenAI's clients raise as an APIError in mid-stream."""
    return event(msgspec.json.encode(error_object(error)))
