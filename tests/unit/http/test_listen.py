"""Opening the port, and why that may not work."""

import socket

import pytest
from aiohttp import web

from pilotlight.errors import ServerError
from pilotlight.http.door import Door
from pilotlight.http.listen import listen


async def handler(request: web.BaseRequest) -> web.StreamResponse:
    return web.Response()


async def test_a_free_port():
    runner, port = await listen(Door(handler, 1), "127.0.0.1", 0)
    with socket.create_connection(("127.0.0.1", port)):
        pass
    await runner.cleanup()


async def test_one_that_somebody_has():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ServerError) as caught:
            await listen(Door(handler, 1), "127.0.0.1", port)
    text = f"cannot listen on 127.0.0.1:{port}: address already in use; choose another with --port or --host"
    assert str(caught.value) == text


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid", "a..b", "\x00"])
async def test_a_host_that_is_not_here(host: str):
    with pytest.raises(ServerError) as caught:
        await listen(Door(handler, 1), host, 0)
    text = str(caught.value)
    assert text.startswith(f"cannot listen on {host}:0: ")
    assert text.count(host) == 1
    assert len(text) < 140
