"""A door on a free port, for aiohttp's test client."""

from typing import Any

from aiohttp import web
from aiohttp.test_utils import BaseTestServer

from pilotlight.http.door import Door
from pilotlight.http.routes import Handler


class AtDoor(BaseTestServer):
    def __init__(self, handler: Handler, max_body: int = 2**20) -> None:
        super().__init__()
        self._handler = handler
        self._max_body = max_body

    async def _make_runner(self, **_: Any) -> web.BaseRunner:
        return web.ServerRunner(Door(self._handler, self._max_body))
