"""aiohttp's server as this project uses it: bare, without an Application, and with error bodies of OpenAI's form."""

import asyncio
import logging
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from pilotlight.errors import RequestError
from pilotlight.http.errors import error_response
from pilotlight.http.routes import OURS, Handler

KEEP_ALIVE = 75.0
"""Seconds that an idle connection is kept: more than the 60 s of common load balancers, so that they close first."""


class Door(web.Server):
    """Hands every request to `handler`. `max_body`: bytes of a request's body that are taken."""

    def __init__(self, handler: Handler, max_body: int) -> None:
        super().__init__(handler, request_factory=self._request, handler_cancellation=True)
        self._max_body = max_body

    def __call__(self) -> web.RequestHandler:
        return _Connection(
            self,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=KEEP_ALIVE,
            access_log=None,  # pyright: ignore[reportArgumentType] - its way to have none
            logger=server_log(),
        )

    def _request(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        loop = asyncio.get_running_loop()
        return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=self._max_body)


class _Connection(web.RequestHandler):
    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The last answer on a connection. ConnectionError when another one has begun."""
        ours = not isinstance(exc, HttpProcessingError)
        if ours:
            self.logger.error("%s %r", request.method, request.path, exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun already")
        response = error_response(OURS if ours else _bad_http(message))
        response.force_close()
        return response


def _bad_http(message: str | None) -> RequestError:
    """The parser's message has a picture of the place behind its first line."""
    said = (message or "it cannot be read").strip().splitlines()[0].rstrip(":. ")
    return RequestError(400, f"this is no proper HTTP request: {said[:200]}", code="invalid_http")


class NoBlame(logging.Filter):
    """Keeps a client's broken HTTP out of the log, where aiohttp would write a traceback for each."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError | web.RequestPayloadError)


def server_log() -> logging.Logger:
    """For aiohttp's server."""
    logger = logging.getLogger("pilotlight.http")
    if not logger.filters:
        logger.addFilter(NoBlame())
    return logger
