"""What goes wrong between us and a server: what passes, and is worth another attempt, and what only a person mends."""

import http.client
import socket
import ssl
import urllib.error
from typing import NoReturn
from urllib.parse import urlsplit

from pilotlight.errors import SourceError
from pilotlight.weights import answer
from pilotlight.weights.remote import Remote

STALL = 30.0
"""Seconds without a byte after which a connection counts as dead."""

_PASSING = (408, 425, 429, 500, 502, 503, 504)
_REMEDIES = {
    401: "it wants credentials; use a signed URL",
    403: "it refuses; a signed URL may have expired",
    404: "there is no such file; check the URL",
    410: "the file is gone; find another source",
}


class Broken(Exception):
    """Worth another attempt; `wait` is what the server asked for, in seconds."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        self.wait = wait
        super().__init__(reason)


def refused(remote: Remote, error: urllib.error.HTTPError) -> NoReturn:
    """Raises Broken, or SourceError where asking again would not help."""
    if error.code in _PASSING:
        raise Broken(f"HTTP {error.code} {error.reason}", answer.retry_after(error.headers))
    remedy = _REMEDIES.get(error.code, "check the URL")
    raise SourceError(f"{remote.name}: the server answered {error.code} {error.reason}: {remedy}") from error


def unreachable(remote: Remote, reason: str | BaseException) -> NoReturn:
    """Raises Broken, or SourceError where asking again would not help."""
    host = urlsplit(remote.url).hostname
    if isinstance(reason, ssl.SSLCertVerificationError):
        raise SourceError(
            f"{remote.name}: the certificate of {host} is not trusted ({reason.verify_message}); "
            "install the system's CA certificates, or point SSL_CERT_FILE at the right ones"
        ) from reason
    if isinstance(reason, socket.gaierror) and reason.errno == socket.EAI_NONAME:
        raise SourceError(f"{remote.name}: no such host as {host}; check the URL") from reason
    raise Broken(str(reason)) from None


def read(response: http.client.HTTPResponse, most: int) -> bytes:
    """What has come; trouble with the network must not look like trouble with the disk. Raises Broken."""
    try:
        return response.read1(most)
    except (http.client.HTTPException, OSError) as error:
        # Once it has timed out, the socket's file says of itself that it "cannot read from timed out object".
        stalled = f"nothing came for {STALL:g} s" if "timed out" in str(error) else ""
        raise Broken(stalled or str(error) or type(error).__name__) from error
