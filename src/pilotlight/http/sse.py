"""Server-sent events, as far as a proxy needs them."""

import msgspec

from pilotlight.errors import RequestError
from pilotlight.http.errors import error_object

CONTENT_TYPE = "text/event-stream"
DONE = b"data: [DONE]"


def comment(text: str) -> bytes:
    """A line every client skips; https://html.spec.whatwg.org/multipage/server-sent-events.html."""
    return b": " + text.replace("\n", " ").encode() + b"\n\n"


def error_event(error: RequestError) -> bytes:
    """What OpenAI's clients raise as an APIError in mid-stream."""
    return b"data: " + msgspec.json.encode(error_object(error)) + b"\n\n"
