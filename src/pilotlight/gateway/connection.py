"""One connection to an engine: what is sent on it, and the one answer that is on it at a time.

HTTP/1.1 with keep-alive; bodies by length, in chunks or until the connection closes. It stops reading while nobody
takes what was read.
"""

import asyncio
import ssl
from collections import deque
from functools import lru_cache
from typing import cast
from urllib.parse import urlsplit

import httptools

IDLE = 4.0
"""Seconds that a connection is kept for the next request: less than the 5 s after which llama.cpp and uvicorn (so vLLM)
close theirs, or a request could meet the closing of the connection that it was sent on."""
HIGH_WATER = 256 * 2**10
"""Bytes read and not taken above which the engine is made to wait."""
MAX_HEAD = 64 * 2**10
"""Bytes of headers in an answer."""
MAX_BARE = 2**20
"""Bytes without any of a body: a head or a trailer that never ends, hints without number. The parser keeps a header
until it is whole, and copies it with each piece that comes."""
_LENGTH = (b"content-length", b"transfer-encoding")


class Silent(Exception):
    """The engine sent nothing for as long as request_timeout allows."""


@lru_cache(1)
def tls_context() -> ssl.SSLContext:
    """With the system's certificates, or those of SSL_CERT_FILE and SSL_CERT_DIR. Reads files: some 20 ms."""
    return ssl.create_default_context()


class Origin:
    """Where an engine is: scheme, host and port, and the connections to it that are free."""

    def __init__(self, base: str) -> None:
        url = urlsplit(base)
        scheme, host = url.scheme, url.hostname or "127.0.0.1"
        port = url.port or (443 if scheme == "https" else 80)
        self.path = url.path.rstrip("/")
        """What its paths begin with: nothing, mostly."""
        self.host = host
        self.is_address = ":" in host or host.replace(".", "").isdecimal()
        """And no name, which has to be looked up."""
        self.port = port
        self.tls = tls_context() if scheme == "https" else None
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
        self._bare = 0
        self._chunks: deque[bytes] = deque()
        self.buffered = 0
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
        self._bare += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as e:
            if self.done:
                self._spoil()
            else:
                self._fail(f"it did not answer in HTTP: {e}")
        except httptools.HttpParserUpgrade:
            self._fail("it wants to speak something else than HTTP")
        if self._bare > MAX_BARE and not self.done:
            self._fail("its headers never end")
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
        self._bare = 0
        self._chunks.append(body)
        self.buffered += len(body)
        if self.buffered > HIGH_WATER and not self._paused:
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

    def listen(self, timeout: float) -> None:
        """From now on it may be silent for so many seconds."""
        self._timeout = timeout
        self._heard = self._loop.time()
        if self._watch is not None:
            self._watch.cancel()
        self._watch = self._loop.call_later(timeout, self._look)

    def give_up(self, error: Exception) -> None:
        """Whoever waits for the answer gets the error in its place."""
        if self.error is None and not self.done:
            self.error = error
            self._wake()

    def take(self) -> bytes:
        """What has come so far; b"" when that is nothing."""
        chunks = self._chunks
        if not chunks:
            return b""
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        self.buffered = 0
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
        else:
            self.give_up(Silent())

    def _fail(self, reason: str) -> None:
        if self.error is None:
            self.error = ConnectionError(reason)
        self._transport.abort()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
