"""An answer that is there whole, written in one piece.

aiohttp's own Response builds a dictionary of headers, adds to it and serialises it again, which takes longer than all
that is done with a request besides (docs/performance.md).
"""

import time
from collections.abc import Mapping
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

from aiohttp import web

from pilotlight.http.headers import SERVER, Raw, to_client

_HTTP_1_1 = (1, 1)
_REASONS = {status.value: status.phrase for status in HTTPStatus}


class Sent(web.StreamResponse):
    """What aiohttp is handed for an answer that has been written already: it finds nothing to do."""

    def __init__(self, keep_alive: bool) -> None:
        super().__init__()
        self._keep = keep_alive

    @property
    def keep_alive(self) -> bool:
        return self._keep

    async def prepare(self, request: web.BaseRequest) -> None:
        pass

    async def write_eof(self, data: bytes = b"") -> None:
        pass


_KEPT, _CLOSED = Sent(True), Sent(False)


def sent(request: web.BaseRequest) -> Sent:
    return _KEPT if request.keep_alive else _CLOSED


def whole(request: web.BaseRequest, status: int, headers: Raw, own: Mapping[str, str], body: bytes) -> bytes:
    """The bytes of an answer to a POST. `headers` are the engine's, of which some end here; `own` are ours."""
    version, keep_alive = request.version, request.keep_alive
    ours = "".join([f"{name}: {value}\r\n" for name, value in own.items()]).encode()
    head = [_first_line(version, status), _standing(int(time.time())), to_client(headers), ours]
    if status in (204, 304):
        body = b""
    else:
        head.append(b"Content-Length: %d\r\n" % len(body))
    if keep_alive != (version >= _HTTP_1_1):
        head.append(b"Connection: keep-alive\r\n" if keep_alive else b"Connection: close\r\n")
    return b"".join([*head, b"\r\n", body])


@lru_cache(64)
def _first_line(version: tuple[int, int], status: int) -> bytes:
    return b"HTTP/%d.%d %d %b\r\n" % (*version, status, _REASONS.get(status, "").encode())


@lru_cache(1)
def _standing(second: int) -> bytes:
    """The lines that every answer of this second has."""
    return f"Date: {formatdate(second, usegmt=True)}\r\nServer: {SERVER}\r\n".encode()
