"""Who may come in where there are no keys: programs of this machine, and no page that a browser was led to."""

import ipaddress
from functools import lru_cache
from urllib.parse import urlsplit

from pilotlight.errors import RequestError


def refuse_strangers(host: str | None, origin: str | None) -> None:
    """RequestError 403 for a `Host` or an `Origin` that is not this machine.

    A browser sends a page's own origin with whatever the page changes elsewhere, and its host where a name of the
    page's was made to point here. A program sends no `Origin`, and the address that it was given as `Host`.
    """
    for header, value in (("Host", host), ("Origin", origin)):
        if value is not None and not _is_here(value):
            text = (
                f"without api_keys only this machine is let in, and the {header} {value!r} is not it; "
                "ask by 127.0.0.1 or localhost, set api_keys, or give --insecure"
            )
            raise RequestError(403, text, code="not_local", type="permission_error")


def is_loopback(host: str) -> bool:
    """Of a name or an address to listen on."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@lru_cache(256)
def _is_here(value: str) -> bool:
    """Of a host with or without a port, or of an origin."""
    try:
        name = urlsplit(value if "://" in value else f"//{value}").hostname or ""
        return is_loopback(name)
    except ValueError:
        return False
