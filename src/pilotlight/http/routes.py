"""Which handler a request goes to, and what stands around it, so that no client ever reads anything but an OpenAI
error body.

A table of our own in place of aiohttp's Application: there are some twenty routes, and finding one is one look-up.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

from aiohttp import web

from pilotlight.errors import RequestError
from pilotlight.http.errors import error_response

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

ID = web.RequestKey("id", str)
"""`request[ID]`: what stands in the request's path where its route says `{id}`."""

log = logging.getLogger("pilotlight")

OURS = RequestError(
    500, "pilotlight met an error of its own; its log says more", code="internal_error", type="server_error"
)
"""What a client is told of an exception that nobody foresaw."""


class Route(NamedTuple):
    """GET means HEAD, too. A path may have one `{id}`, which stands for any text, slashes included."""

    method: str
    path: str
    handler: Handler


class Routes:
    """Calls the handler that a request asks for, and turns what it raises into an answer; for handlers that have
    sent nothing yet then."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._exact: dict[str, dict[str, Handler]] = {}
        self._open: dict[tuple[str, str], dict[str, Handler]] = {}
        """By what stands before `{id}` and what behind it."""
        for method, path, handler in routes:
            before, found, behind = path.partition("{id}")
            known = self._open.setdefault((before, behind), {}) if found else self._exact.setdefault(path, {})
            known[method] = handler
            if method == "GET":
                known["HEAD"] = handler

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            # The path as it came is cheap, and nearly always one of ours as it stands.
            handlers = self._exact.get(request.raw_path) or self._find(request)
            handler = handlers.get(request.method)
            if handler is None:
                return _not_allowed(request, handlers)
            if "Expect" in request.headers:
                await _go_on(request)
            return await handler(request)
        except RequestError as e:
            return error_response(e)
        except (web.HTTPException, ConnectionError):
            raise
        except Exception:
            log.exception("%s %r", request.method, request.path)
            return error_response(OURS)

    def _find(self, request: web.BaseRequest) -> dict[str, Handler]:
        path = request.path
        found = self._exact.get(path)
        if found is not None:
            return found
        allowed: dict[str, Handler] = {}
        for (before, behind), handlers in self._open.items():
            end = len(path) - len(behind)
            if path.startswith(before) and path.endswith(behind) and end > len(before):
                if request.method in handlers:
                    request[ID] = path[len(before) : end]
                    return handlers
                allowed |= handlers
        if allowed:
            return allowed
        text = f"there is no {request.method} {path}; the paths are those of the OpenAI API under /v1"
        raise RequestError(404, text, code="not_found")


def _not_allowed(request: web.BaseRequest, known: Iterable[str]) -> web.Response:
    allow = ", ".join(sorted(known))
    text = f"{request.method} is not allowed on {request.path}; use {allow}"
    return error_response(RequestError(405, text, code="method_not_allowed"), {"Allow": allow})


async def _go_on(request: web.BaseRequest) -> None:
    """For a client that asks before it sends its body. RequestError 417 for anything else that it may expect."""
    expected = request.headers["Expect"]
    if expected.lower() != "100-continue":
        text = f"nothing is known of the expectation {expected!r}; 100-continue is"
        raise RequestError(417, text, code="expectation_failed")
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
