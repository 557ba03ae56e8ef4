"""Which headers leave the house, and which of a provider's reach a client. Both are lists of what may, for what nobody
thought of shall stay where it is."""

import re
from collections.abc import Mapping

from pilotlight import __version__
from pilotlight.http.headers import Raw

_MAY_LEAVE = frozenset({b"accept", b"content-type", b"anthropic-version", b"anthropic-beta", b"openai-beta"})
_MAY_ENTER = frozenset({b"content-type", b"cache-control", b"x-request-id"})


def leaving(headers: Raw, key: str | None, own: Mapping[str, str]) -> bytes:
    """The lines of a request's head: few of the client's, then what is configured for the provider."""
    said = {k.lower(): v for k, v in headers if k.lower() in _MAY_LEAVE}
    said.setdefault(b"content-type", b"application/json")
    said[b"accept-encoding"] = b"identity"  # the answer is read on its way
    said[b"user-agent"] = f"pilotlight/{__version__}".encode()
    if key is not None:
        said[b"authorization"] = b"Bearer " + key.encode("utf-8", "surrogateescape")
    said |= {k.lower().encode(): v.encode("utf-8", "surrogateescape") for k, v in own.items()}
    return b"".join([b"%b: %b\r\n" % header for header in said.items()])


def entering(headers: Raw, key: str | None = None) -> Raw:
    """Of an answer; what repeats our key in them does not enter."""
    return [(k, without(key, v)) for k, v in headers if k.lower() in _MAY_ENTER]


def without(key: str | None, data: bytes) -> bytes:
    """The same, with something else in the place of our key."""
    return data.replace(key.encode("utf-8", "surrogateescape"), b"...") if key else data


def said_without(key: str | None, text: str) -> str:
    """The same for what is logged, in letters of either size."""
    return re.sub(re.escape(key), "...", text, flags=re.IGNORECASE) if key else text
