"""The client side: requests to engines.

A small client over httptools (llhttp), for a general one costs more than everything else that the gateway does with
a request (benchmarks/gateway_cpu.py).
"""

import asyncio
import os
import socket
import ssl
from collections.abc import Callable

from pilotlight.gateway.connection import Connection, Origin, Silent

CONNECT_TIMEOUT = 5.0
"""Seconds to open a connection to an engine that is ready [G]."""
MANY = 1000
"""Engines that are remembered before those without a connection are forgotten."""
MAX_WHOLE = 256 * 2**20
"""Bytes of an answer that is read whole before it is passed on."""


class Unreached(Exception):
    """No byte of an answer came; the request may be sent again elsewhere."""


class Broken(Exception):
    """The answer ended before its end."""


class Answer:
    """An engine's answer: its status and headers are there, its body is read by whoever wants it."""

    __slots__ = ("_connection", "content_type", "delimited", "headers", "started", "status")

    def __init__(self, connection: Connection) -> None:
        self._connection: Connection | None = connection
        self.status = connection.status
        self.headers = connection.headers
        self.content_type = connection.content_type
        self.delimited = connection.delimited
        """Whether a cut would be noticed; else an answer ends where its connection does."""
        self.started = False

    async def chunk(self) -> bytes:
        """What has come, at least one byte; b"" at the end. Raises Unreached, Broken or Silent.

        Reads no further than is asked for, so a slow reader slows the engine.
        """
        connection = self._connection
        assert connection is not None, "the answer was closed"
        while True:
            data = connection.take()
            if data:
                self.started = True
                return data
            if connection.done:
                return b""
            if connection.error is not None:
                raise _of(connection.error, Broken if self.started else Unreached)
            await connection.wait()

    async def come(self) -> None:
        """Until some of its body is here, or its end. Raises Unreached or Silent."""
        connection = self._connection
        assert connection is not None, "the answer was closed"
        while not connection.buffered and not connection.done:
            if connection.error is not None:
                raise _of(connection.error, Unreached)
            await connection.wait()

    def within(self, seconds: float) -> None:
        """From now on it may be silent for so long."""
        if self._connection is not None:
            self._connection.listen(seconds)

    def give_up(self, error: Exception) -> None:
        """Whoever reads it gets the error in place of what is still to come."""
        if self._connection is not None:
            self._connection.give_up(error)

    @property
    def awaited(self) -> bool:
        """Whether somebody waits for its next bytes."""
        return self._connection is not None and self._connection.awaited

    async def whole(self) -> bytes:
        """The whole body. Raises Unreached, Broken or Silent."""
        connection = self._connection
        if connection is not None and connection.done and 0 < connection.buffered <= MAX_WHOLE:
            return connection.take()  # it came with its head, as a small one does
        chunks: list[bytes] = []
        size = 0
        while data := await self.chunk():
            size += len(data)
            if size > MAX_WHOLE:
                raise Broken(f"it is longer than {MAX_WHOLE >> 20} MiB and no stream")
            chunks.append(data)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def close(self) -> None:
        """Gives the connection back when the body was read to its end, else cuts it, which cancels the work."""
        if self._connection is not None:
            self._connection.end()
            self._connection = None


class Upstream:
    """One per server; needs a running loop."""

    def __init__(self) -> None:
        self._origins: dict[str, Origin] = {}

    async def send(
        self,
        base: str,
        path: str,
        headers: bytes,
        body: bytes,
        timeout: float,
        *,
        fresh: bool = False,
        connect: float = CONNECT_TIMEOUT,
        sent: Callable[[], None] | None = None,
    ) -> Answer:
        """POSTs to `base` + `path`. `headers`: lines of a head. `timeout`: seconds without a byte. `fresh`: on a new
        connection only. `connect`: seconds that opening one may take. `sent`: called when the request goes on its way,
        just before its first byte; what it raises keeps it from that.

        Raises Unreached or Silent.
        """
        origin = self._origins.get(base) or self._new_origin(base)
        head = _head(origin.path + path, origin.host_line, headers, len(body))
        connection = None if fresh else origin.take()
        if connection is not None:
            try:
                return await _exchange(connection, head, body, timeout, sent)
            except Unreached:
                # It was closed at the moment when we used it again. That is in the nature of keep-alive and says
                # nothing about the engine (RFC 9112, section 9.3.1), so it is tried once as if it had not been kept.
                pass
        connection = await _connect(origin, connect)
        return await _exchange(connection, head, body, timeout, sent)

    def _new_origin(self, base: str) -> Origin:
        if len(self._origins) >= MANY:
            # Every replica has had a port of its own; those that are gone hold no connection.
            self._origins = {known: origin for known, origin in self._origins.items() if origin.free}
        self._origins[base] = origin = Origin(base)
        return origin

    async def close(self) -> None:
        for origin in self._origins.values():
            while (connection := origin.take()) is not None:
                connection.close()
        self._origins.clear()


async def _connect(origin: Origin, seconds: float) -> Connection:
    try:
        async with asyncio.timeout(seconds):
            return await _reach(origin)
    except TimeoutError:
        raise Unreached(f"connecting took more than {seconds:g} s") from None
    except (OSError, ValueError) as e:  # ValueError: a host that is no name
        raise Unreached(why(e, origin.host)) from None


async def _reach(origin: Origin) -> Connection:
    """At the first of its addresses that takes a connection.

    A name is looked up here: once nobody waits for it any more, the failure of a look-up that uvloop's
    create_connection has begun is logged as an exception that was never retrieved.
    """
    loop = asyncio.get_running_loop()
    error: OSError = OSError("its name has no address")
    for address in await _addresses(origin):
        try:
            _, connection = await loop.create_connection(
                lambda: Connection(origin),
                address,
                origin.port,
                ssl=origin.tls,
                server_hostname=origin.host if origin.tls else None,
            )
        except OSError as e:
            error = e
        else:
            return connection
    raise error


async def _addresses(origin: Origin) -> list[str]:
    if origin.is_address:
        return [origin.host]
    found = await asyncio.get_running_loop().getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
    return [str(where[0]) for *_, where in found]


def why(error: Exception, host: str) -> str:
    """What kept us from connecting, for people."""
    if isinstance(error, socket.gaierror):
        return f"the name {host} cannot be resolved: {error.strerror or error}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate cannot be trusted: {error.verify_message or error.reason}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or error}"
    number = getattr(error, "errno", None)
    return os.strerror(number) if isinstance(number, int) and number > 0 else str(error)


async def _exchange(
    connection: Connection, head: bytes, body: bytes, timeout: float, sent: Callable[[], None] | None
) -> Answer:
    try:
        if sent is not None:
            sent()
        connection.begin(head, body, timeout)
        while not connection.head_done:
            if connection.error is not None:
                raise _of(connection.error, Unreached)
            await connection.wait()
    except BaseException:
        connection.end()
        raise
    return Answer(connection)


def _of(error: Exception, kind: type[Exception]) -> Exception:
    return error if isinstance(error, Silent) else kind(str(error))


def _head(path: str, host: str, headers: bytes, length: int) -> bytes:
    line = f"POST {path} HTTP/1.1\r\n{host}".encode("utf-8", "surrogateescape")
    return b"%b%bContent-Length: %d\r\n\r\n" % (line, headers, length)
