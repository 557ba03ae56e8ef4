"""The client side: requests to engines. Everything the gateway knows of its HTTP library is in this file."""

import asyncio
from collections.abc import Mapping

import aiohttp
from multidict import CIMultiDict, CIMultiDictProxy

CONNECT_TIMEOUT = 5.0
"""Seconds to open a connection to an engine that is ready [G]."""


class Unreached(Exception):
    """No byte of an answer came; the request may be sent again elsewhere."""


class Broken(Exception):
    """The answer ended before its end."""


class Silent(Exception):
    """The engine sent nothing for as long as request_timeout allows."""


class Answer:
    """An engine's answer: its status and headers are there, its body is read by whoever wants it."""

    __slots__ = ("_response", "headers", "started", "status")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: CIMultiDictProxy[str] = response.headers
        self.started = False

    @property
    def delimited(self) -> bool:
        """Whether a cut would be noticed; else an answer ends where its connection does."""
        return "Content-Length" in self.headers or "Transfer-Encoding" in self.headers

    async def chunk(self) -> bytes:
        """What has come, at least one byte; b"" at the end. Raises Unreached, Broken or Silent.

        Reads no further than is asked for, so a slow reader slows the engine.
        """
        try:
            data = await self._response.content.readany()
        except (TimeoutError, aiohttp.ServerTimeoutError) as e:
            raise Silent from e
        except (aiohttp.ClientError, OSError) as e:
            raise (Broken if self.started else Unreached)(str(e)) from e
        if data:
            self.started = True
        return data

    async def whole(self) -> bytes:
        """The whole body. Raises Unreached, Broken or Silent."""
        chunks: list[bytes] = []
        while data := await self.chunk():
            chunks.append(data)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def close(self) -> None:
        """Gives the connection back when the body was read to its end, else cuts it, which cancels the work."""
        self._response.release()


class Upstream:
    """One per server; needs a running loop."""

    def __init__(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30, use_dns_cache=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            raise_for_status=False,
            skip_auto_headers=("User-Agent", "Accept-Encoding", "Accept"),
        )
        self._timeouts: dict[float, aiohttp.ClientTimeout] = {}

    async def send(
        self, url: str, headers: CIMultiDict[str] | Mapping[str, str], body: bytes, timeout: float
    ) -> Answer:
        """POSTs. `timeout`: seconds without a byte. Raises Unreached or Silent."""
        limits = self._timeouts.get(timeout)
        if limits is None:
            read = None if timeout == float("inf") else timeout
            limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT, sock_read=read)
            self._timeouts[timeout] = limits
        try:
            response = await self._session.post(
                url, data=body, headers=headers, timeout=limits, allow_redirects=False
            )
        except aiohttp.SocketTimeoutError as e:
            raise (Unreached("connecting took too long") if _connecting(e) else Silent()) from e
        except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError) as e:
            raise Unreached(str(e) or type(e).__name__) from e
        return Answer(response)

    async def close(self) -> None:
        await self._session.close()


def _connecting(error: Exception) -> bool:
    return isinstance(error, aiohttp.ConnectionTimeoutError)
