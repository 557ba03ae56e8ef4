"""The client side: requests to engines.

A small client over httptools (llhttp), for a general one costs more than everything else that the gateway does with
a request (benchmarks/gateway_cpu.py). It speaks HTTP/1.1 with keep-alive, reads bodies by length, in chunks or until
the connection closes, and stops reading while nobody takes what was read.
"""

import asyncio
import os
import ssl
from collections import deque
from typing import cast
from urllib.parse import urlsplit

import httptools

CONNECT_TIMEOUT = 5.0
"""Seconds to open a connection to an engine that is ready [G]."""
IDLE = 4.0
"""Seconds that a connection is kept for the next request: less than the 5 s after which llama.cpp and uvicorn (so vLLM)
close theirs, or a request could meet the closing of the connection that it was sent on."""
HIGH_WATER = 256 * 2**10
"""Bytes read and not taken above which the engine is made to wait."""
_LENGTH = (b"content-length", b"transfer-encoding")
MANY = 1000
"""Engines that are remembered before those without a connection are forgotten."""
MAX_WHOLE = 256 * 2**20
"""Bytes of an answer that is read whole before it is passed on."""
MAX_HEAD = 64 * 2**10
"""Bytes of headers in an answer."""


class Unreached(Exception):
    """No byte of an answer came; the request may be sent again elsewhere."""


class Broken(Exception):
    """The answer ended before its end."""


class Silent(Exception):
    """The engine sent nothing for as long as request_timeout allows."""


class Origin:
    """Where an engine is: scheme, host and port, and the connections to it that are free."""

    def __init__(self, scheme: str, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.tls = ssl.create_default_context() if scheme == "https" else None
        self.free: list[Connection] = []
        default = port == (443 if self.tls else 80)
        name = f"[{host}]" if ":" in host else host
        self.host_line = f"Host: {name}\r\n" if default else f"Host: {name}:{port}\r\n"

    def take(self) -> "Connection | None":
        """The connection that was used last, so that what is not needed idles out."""
        while self.free:
            connection = self.free.pop()
            connection.unpark()
            if not connection.closing:
                return connection
        return None


class Connection(asyncio.Protocol):
    """One connection and the one answer that is on it."""

    def __init__(self, origin: Origin) -> None:
        self._loop = asyncio.get_running_loop()
        self._origin = origin
        self._transport: asyncio.Transport
        self._parked: asyncio.TimerHandle | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.lost = False
        self._reset(None)

    def _reset(self, timeout: float | None) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.delimited = False
        self.content_type = b""
        self.head_done = False
        self.done = False
        self._sized = False
        self._reusable = False
        self.error: Exception | None = None
        self._head_size = 0
        self._chunks: deque[bytes] = deque()
        self._buffered = 0
        self._paused = False
        self._timeout = timeout
        self._heard = 0.0

    @property
    def closing(self) -> bool:
        """Whether it is on its way out, which `connection_lost` tells only later."""
        return self._transport.is_closing()

    @property
    def awaited(self) -> bool:
        """Whether somebody waits for what comes next."""
        return self._waiter is not None

    # -- asyncio ---------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name

    def data_received(self, data: bytes) -> None:
        if self.done:
            self._spoil()
            return
        self._heard = self._loop.time()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as e:
            if self.done:
                self._spoil()
            else:
                self._fail(f"it did not answer in HTTP: {e}")
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if self._parked is not None:
            self.unpark()
            self._origin.free.remove(self)
        if not self.done and self.error is None:
            if self.head_done and not self.delimited and exc is None:
                self.done = True
            else:
                self.error = ConnectionResetError(str(exc) if exc else "the connection was closed")
        self._wake()

    # -- httptools -------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.done:
            raise ConnectionError("a second answer to one request")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.head_done:  # a trailer; the head has been passed on
            return
        self._head_size += len(name) + len(value)
        if self._head_size > MAX_HEAD:
            self._fail("its headers are too large")
            return
        self.headers.append((name, value))
        lower = name.lower()
        if lower in _LENGTH:
            self.delimited = True
            self._sized = lower == b"content-length"
        elif lower == b"content-type":
            self.content_type = value

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        if self.status >= 200:
            self.head_done = True
        else:
            self.headers.clear()

    def on_body(self, body: bytes) -> None:
        self._chunks.append(body)
        self._buffered += len(body)
        if self._buffered > HIGH_WATER and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        if self.head_done:
            self.done = True
            # Only in here can the parser say so. After a stream llama.cpp promises to keep the connection and closes
            # it some milliseconds later, so one is kept only after an answer with a length.
            self._reusable = self._sized and self._parser.should_keep_alive()

    # -- one exchange ----------------------------------------------------------------------------------------------

    def begin(self, head: bytes, body: bytes, timeout: float) -> None:
        self._reset(None if timeout == float("inf") else timeout)
        self._heard = self._loop.time()
        if self._timeout is not None and self._watch is None:
            self._watch = self._loop.call_later(self._timeout, self._look)
        if len(body) <= HIGH_WATER:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._transport.write(body)

    async def wait(self) -> None:
        """Until something has come, or the answer has ended."""
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def take(self) -> bytes:
        """What has come so far; b"" when that is nothing."""
        chunks = self._chunks
        if not chunks:
            return b""
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        self._buffered = 0
        if self._paused:
            self._paused = False
            self._heard = self._loop.time()
            self._transport.resume_reading()
        return data

    def end(self) -> None:
        """Frees the connection for another request when its answer was read to the end, else cuts it."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        if self._reusable and not self.lost and not self._chunks:
            self._parked = self._loop.call_later(IDLE, self._idle_out)
            self._origin.free.append(self)
        elif not self.lost:
            self._transport.abort()

    def unpark(self) -> None:
        if self._parked is not None:
            self._parked.cancel()
            self._parked = None

    def close(self) -> None:
        self._transport.abort()

    def _idle_out(self) -> None:
        self._parked = None
        self._origin.free.remove(self)
        self._transport.close()

    def _spoil(self) -> None:
        """More came than the answer: whatever it is, it must not begin the next one."""
        self._reusable = False
        self._transport.abort()

    def _look(self) -> None:
        """Whether the engine has been silent for too long; time in which we did not listen does not count."""
        self._watch = None
        assert self._timeout is not None
        left = self._heard + self._timeout - self._loop.time()
        if self._paused:
            left = self._timeout
        if left > 0:
            self._watch = self._loop.call_later(left, self._look)
        elif self.error is None and not self.done:
            self.error = Silent()
            self._wake()

    def _fail(self, reason: str) -> None:
        if self.error is None:
            self.error = ConnectionError(reason)
        self._transport.abort()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


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
            error = connection.error
            if isinstance(error, Silent):
                raise error
            if error is not None:
                raise (Broken if self.started else Unreached)(str(error))
            await connection.wait()

    @property
    def awaited(self) -> bool:
        """Whether somebody waits for its next bytes."""
        return self._connection is not None and self._connection.awaited

    async def whole(self) -> bytes:
        """The whole body. Raises Unreached, Broken or Silent."""
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
        self, base: str, path: str, headers: bytes, body: bytes, timeout: float, *, fresh: bool = False
    ) -> Answer:
        """POSTs to `base` + `path`. `headers`: lines of a head. `timeout`: seconds without a byte. `fresh`: on a new
        connection only.

        Raises Unreached or Silent.
        """
        origin = self._origins.get(base) or self._new_origin(base)
        head = _head(_prefix(base) + path, origin.host_line, headers, len(body))
        connection = None if fresh else origin.take()
        if connection is not None:
            try:
                return await _exchange(connection, head, body, timeout)
            except Unreached:
                # It was closed at the moment when we used it again. That is in the nature of keep-alive and says
                # nothing about the engine (RFC 9112, section 9.3.1), so it is tried once as if it had not been kept.
                pass
        return await _exchange(await _connect(origin), head, body, timeout)

    def _new_origin(self, base: str) -> Origin:
        if len(self._origins) >= MANY:
            # Every replica has had a port of its own; those that are gone hold no connection.
            self._origins = {known: origin for known, origin in self._origins.items() if origin.free}
        self._origins[base] = origin = _origin(base)
        return origin

    async def close(self) -> None:
        for origin in self._origins.values():
            while (connection := origin.take()) is not None:
                connection.close()
        self._origins.clear()


async def _connect(origin: Origin) -> Connection:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            _, connection = await loop.create_connection(
                lambda: Connection(origin), origin.host, origin.port, ssl=origin.tls
            )
    except TimeoutError:
        raise Unreached(f"connecting took more than {CONNECT_TIMEOUT:g} s") from None
    except OSError as e:
        raise Unreached(os.strerror(e.errno) if e.errno else str(e)) from None
    return connection


async def _exchange(connection: Connection, head: bytes, body: bytes, timeout: float) -> Answer:
    connection.begin(head, body, timeout)
    try:
        while not connection.head_done:
            if isinstance(connection.error, Silent):
                raise connection.error
            if connection.error is not None:
                raise Unreached(str(connection.error))
            await connection.wait()
    except BaseException:
        connection.end()
        raise
    return Answer(connection)


def _origin(base: str) -> Origin:
    url = urlsplit(base)
    return Origin(url.scheme, url.hostname or "127.0.0.1", url.port or (443 if url.scheme == "https" else 80))


def _prefix(base: str) -> str:
    """A base URL's own path, without a trailing slash: most have none."""
    start = base.find("/", base.find("//") + 2)
    return "" if start < 0 else base[start:].rstrip("/")


def _head(path: str, host: str, headers: bytes, length: int) -> bytes:
    line = f"POST {path} HTTP/1.1\r\n{host}".encode("utf-8", "surrogateescape")
    return b"%b%bContent-Length: %d\r\n\r\n" % (line, headers, length)
