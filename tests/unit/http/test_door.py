"""What aiohttp's server answers by itself is answered in OpenAI's form, too."""

import asyncio
import json
import logging

import pytest
from aiohttp import web
from aiohttp.http_exceptions import BadStatusLine

from pilotlight.http.door import NoBlame, server_log
from unit.http.at_door import AtDoor


async def handler(request: web.BaseRequest) -> web.StreamResponse:
    raise ZeroDivisionError("secret detail")


async def said_to(data: bytes) -> tuple[bytes, bytes, bytes]:
    """First line, head and body of the answer on a connection that is closed after it."""
    async with AtDoor(handler) as door:
        reader, writer = await asyncio.open_connection(door.host, door.port)
        writer.write(data)
        answer = await reader.read()
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.split(b"\r\n")[0], head, body


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: a\x00b\r\n\r\n",
        b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"a" * 10_000 + b"\r\n\r\n",
    ],
)
async def test_broken_http_is_told_so(data: bytes, caplog: pytest.LogCaptureFixture):
    line, head, body = await said_to(data)
    assert line == b"HTTP/1.1 400 Bad Request" or line == b"HTTP/1.0 400 Bad Request"
    assert b"Content-Type: application/json" in head
    error = json.loads(body)["error"]
    assert (error["code"], error["type"]) == ("invalid_http", "invalid_request_error")
    assert len(error["message"]) < 300
    assert "\n" not in error["message"]
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


async def test_what_a_handler_does_not_catch_is_ours(caplog: pytest.LogCaptureFixture):
    line, _head, body = await said_to(b"GET /x HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\n\r\n")
    assert b" 500 " in line
    assert json.loads(body)["error"]["code"] == "internal_error"
    assert b"secret" not in body
    assert len([r for r in caplog.records if r.levelno >= logging.ERROR]) == 1


def test_a_clients_broken_http_is_not_our_trouble():
    def record(error: Exception) -> logging.LogRecord:
        return logging.LogRecord("x", logging.ERROR, "", 0, "m", None, (type(error), error, None))

    no_blame = NoBlame()
    assert not no_blame.filter(record(BadStatusLine("x")))
    assert not no_blame.filter(record(web.RequestPayloadError("x")))
    assert no_blame.filter(record(ValueError("x")))
    assert no_blame.filter(logging.LogRecord("x", logging.ERROR, "", 0, "m", None, None))
    assert server_log() is server_log()
    assert len(server_log().filters) == 1
