"""Asking a server whether it can serve."""

import asyncio
import contextlib
import errno
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import msgspec

Ask = Callable[[str, str, float], Awaitable[int]]
"""(base URL, path, time-out in seconds) -> HTTP status; raises OSError or TimeoutError."""


Order = Callable[[str, str, float, bytes], Awaitable[int]]
"""(base URL, path, time-out in seconds, body) -> HTTP status of a POST; raises OSError or TimeoutError."""


class Address(msgspec.Struct, frozen=True):
    host: str
    port: int
    tls: bool
    path: str
    """What comes before every path on this server; empty for most."""


def address(url: str) -> Address:
    """Raises ValueError when it is no http or https URL with a host."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is not a URL like http://127.0.0.1:8000")
    tls = parts.scheme == "https"
    port = (443 if tls else 80) if parts.port is None else parts.port
    return Address(parts.hostname, port, tls, parts.path.rstrip("/"))


_NOBODY = (errno.ECONNREFUSED, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.ENETUNREACH)
"""Nothing listens there; all but the first are a machine without IPv6, where nothing can."""


class Knock:
    """Whether nothing listens on a port of this machine: 60 us a time, so it can be asked often."""

    def __init__(self, where: Address) -> None:
        self._hosts = ("127.0.0.1", "::1") if where.host == "localhost" else (where.host,)
        self._port = where.port
        self.loopback = all(map(_is_loopback, self._hosts))

    def refused(self) -> bool:
        """False for other machines, about which only a real request can tell."""
        return self.loopback and all(_knock(host, self._port) in _NOBODY for host in self._hosts)


def _knock(host: str, port: int) -> int:
    """0, or an errno."""
    try:
        probe = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    except OSError as error:
        return error.errno or 0
    with probe:
        probe.setblocking(False)
        error = probe.connect_ex((host, port))
        if error == errno.EINPROGRESS:  # loopback has the answer already
            error = probe.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return error


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def ask(url: str, path: str, timeout: float) -> int:
    """The status of a GET, on a connection of its own. Raises OSError, or TimeoutError after `timeout` seconds."""
    where = address(url)
    return await _status_of(where, _request(where, "GET", path), timeout)


async def order(url: str, path: str, timeout: float, body: bytes = b"") -> int:
    """Like `ask`, of a POST; a body is JSON."""
    where = address(url)
    more = ["Content-Type: application/json"] if body else []
    head = _request(where, "POST", path, f"Content-Length: {len(body)}", *more)
    return await _status_of(where, head + body, timeout)


async def _status_of(where: Address, request: bytes, timeout: float) -> int:
    context = ssl.create_default_context() if where.tls else None
    async with asyncio.timeout(timeout):
        reader, writer = await _connect(where, context)
        try:
            writer.write(request)
            return _status(await reader.readline())
        except ValueError as error:
            raise ConnectionError("it answered with an endless line, which is not HTTP") from error
        finally:
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                writer.transport.abort()


async def _connect(
    where: Address, context: ssl.SSLContext | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        return await asyncio.open_connection(where.host, where.port, ssl=context)
    except OSError as error:
        if not isinstance(error, ConnectionRefusedError) and Knock(where).refused():
            # Of a name with two addresses it is a plain OSError that lists both.
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused") from error
        raise


def _request(where: Address, method: str, path: str, *more: str) -> bytes:
    host = f"[{where.host}]" if ":" in where.host else where.host
    lines = [
        f"{method} {where.path}{path} HTTP/1.1",
        f"Host: {host}:{where.port}",
        "Accept: */*",
        "User-Agent: pilotlight",
        "Connection: close",
        *more,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def _status(line: bytes) -> int:
    words = line.split()
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        raise ConnectionError(
            f"it answered {line[:60]!r}, which is not HTTP" if line else "it closed the connection"
        )
    return int(words[1])
