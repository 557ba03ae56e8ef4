"""Which headers leave the house, and which of a provider's reach a client. Both are lists of what may, for what nobody
thought of shall stay where it is."""

import re
from collections.abc import Mapping

from pilotlight import __version__
from pilotlight.http.headers import Raw

_MAY_LEAVE = frozenset({b"accept", b"content-type", b"anthropic-version", b"anthropic-beta", b"openai-beta"})
_MAY_ENTER = frozenset({b"content-type", b"cache-control", b"x-request-id"})

Secrets = tuple[str, ...]
"""Longest first: one may be part of another."""

LEAST = 16
"""Characters of a value from the environment that is taken for a secret."""


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


def entering(headers: Raw, secrets: Secrets = ()) -> Raw:
    """Of an answer; what repeats a secret of ours in them does not enter."""
    return [(k, without(secrets, v)) for k, v in headers if k.lower() in _MAY_ENTER]


def secrets_of(key: str | None, own: Mapping[str, str], env: Mapping[str, str]) -> Secrets:
    """What a provider is sent that nobody else is to see: the key, and what the headers that are declared for it have
    of the environment. Short values are not looked for: they are no secrets, and stand in any text."""
    found = {value for value in env.values() if len(value) >= LEAST and any(value in v for v in own.values())}
    return tuple(sorted(found.union((key,) if key else ()), key=len, reverse=True))


def without(secrets: Secrets, data: bytes) -> bytes:
    """The same, with something else in the place of our secrets."""
    for secret in secrets:
        data = data.replace(secret.encode("utf-8", "surrogateescape"), b"...")
    return data


def said_without(secrets: Secrets, text: str) -> str:
    """The same for what is logged, in letters of either size."""
    for secret in secrets:
        text = re.sub(re.escape(secret), "...", text, flags=re.IGNORECASE)
    return text
