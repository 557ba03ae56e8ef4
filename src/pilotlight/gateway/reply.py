"""What the client of an exchange gets: a whole answer in one piece, or one that is begun and goes on."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from pilotlight.errors import RequestError
from pilotlight.gateway.course import Course
from pilotlight.http import sse
from pilotlight.http.answer import sent, whole
from pilotlight.http.errors import error_bytes, error_headers
from pilotlight.http.headers import SERVER, Raw

log = logging.getLogger(__name__)

AT_ONCE = 64 * 2**10
"""Bytes that are handed to the system without waiting for the client to take any."""


_STREAM = {"Content-Type": sse.CONTENT_TYPE, "Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
_JSON = {"Content-Type": "application/json"}


class Reply(Course):
    response: web.StreamResponse | None = None
    """Set once a part of it was sent."""
    answered = False
    """The engine answered in full, and did not say that it failed."""

    async def _send(
        self, status: int, headers: Raw, own: Mapping[str, str], body: bytes, outcome: str
    ) -> None:
        """A whole answer in one piece. ConnectionResetError when the client has left."""
        writer = self.request.writer
        data = whole(self.request, status, headers, own, body)
        if len(data) <= AT_ONCE:
            await writer.write(data)
            self.status, self.outcome = status, outcome
            return
        # The engine has done its part: a client that is slow to read keeps nobody else from it.
        self.kitchen.desk.close(self.ticket, self.answered)
        try:
            async with asyncio.timeout(self._patience_for_reader()):
                await writer.write(data)
                await writer.drain()
            self.outcome = outcome
        except TimeoutError:
            self._cut()
        self.status = status

    async def _commit(self, status: int, headers: Mapping[str, str]) -> web.StreamResponse:
        response = web.StreamResponse(status=status)
        response.headers.extend(headers)
        response.headers["Server"] = SERVER
        response.headers.update(self.own_headers())
        await response.prepare(self.request)
        self.response = response
        self.status = status
        return response

    async def _signs(self, wait: Callable[[float | None], Awaitable[bool]]) -> None:
        """Waits until `wait`, which is given seconds, says that it is over; the client gets signs of life."""
        patience = self.kitchen.patience
        first = patience.comment if self.stream else patience.space
        delay = first if self.response is None else patience.every
        while not await wait(delay):
            if self.response is None:
                response = await self._commit(200, _STREAM if self.stream else _JSON)
            else:
                response = self.response
            sign = sse.comment(self.kitchen.progress(self.deployment)) if self.stream else b" "
            await response.write(sign)
            delay = patience.every

    async def _fail(self, e: RequestError) -> web.StreamResponse:
        """The error as a status when nothing was sent yet, else as an event or as the object that was promised."""
        response = self.response
        try:
            if response is None:
                headers = {**error_headers(e), **self.headers_of_whole()}
                await self._send(e.status, (), headers, error_bytes(e), self.outcome)
                return sent(self.request)
            await response.write(sse.error_event(e) if self.stream else error_bytes(e))
            await response.write_eof()
        except ConnectionResetError:
            log.debug("%s left before it could be told: %s", self.id, e)
        return response or sent(self.request)

    def _patience_for_reader(self) -> float | None:
        seconds = self.serving().request_timeout
        return None if seconds == float("inf") else seconds

    def _cut(self) -> None:
        """Lets go a client that does not read."""
        self.outcome = "client_left"
        if self.request.transport is not None:
            self.request.transport.abort()
