"""What stands around every handler, so that no client ever reads anything but an OpenAI error body."""

import logging
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from pilotlight.errors import RequestError
from pilotlight.http.errors import error_response

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = logging.getLogger("pilotlight")

OURS = RequestError(
    500, "pilotlight met an error of its own; its log says more", code="internal_error", type="server_error"
)
"""What a client is told of an exception that nobody foresaw."""


def answering(handler: Handler) -> Handler:
    """The handler, with whatever it raises turned into an answer. For handlers that have sent nothing yet then."""

    async def answers(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except RequestError as e:
            return error_response(e)
        except (web.HTTPException, ConnectionError):
            raise
        except Exception:
            log.exception("%s %r", request.method, request.path)
            return error_response(OURS)

    return answers


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
