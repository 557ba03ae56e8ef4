"""A file on a web server, as the kinds of source describe it to the transfer."""

from collections.abc import Mapping

import msgspec


class Remote(msgspec.Struct, frozen=True):
    name: str
    """For messages, without anything secret."""
    url: str
    headers: Mapping[str, str] = {}
    """Authorization among them is sent to the URL's own origin only, not to where it redirects."""
    sha256: str | None = None
    """Hexadecimal."""
    size: int | None = None
    """Bytes."""
