"""What the client of an exchange gets: a whole answer in one piece, or one that is begun and goes on."""

import asyncio
import logging
from collections.abc import Mapping

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

    async def _fail(self, e: RequestError) -> web.StreamResponse:
        """The error as a status when nothing was sent yet, else as an event or as the object that was promised."""
        response = self.response
        try:
            if response is None:
                headers = {**error_headers(e), **self.own_headers()}
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
