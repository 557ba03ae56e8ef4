"""Whatever a handler raises is answered in OpenAI's form, over real HTTP."""

import json
import logging

import pytest
from aiohttp import web
from aiohttp.http_exceptions import BadStatusLine
from aiohttp.test_utils import TestClient, TestServer

from pilotlight.errors import RequestError
from pilotlight.http.errors import as_error, error_bytes, error_headers
from pilotlight.http.handler import NoBlame, answering, server_log


async def test_what_a_handler_raises_is_an_answer(caplog: pytest.LogCaptureFixture):
    async def handler(request: web.Request) -> web.StreamResponse:
        if request.path == "/refused":
            raise RequestError(429, "later", retry_after=0.2)
        raise ZeroDivisionError("secret detail")

    app = web.Application()
    app.router.add_get("/{any}", answering(handler))
    async with TestClient(TestServer(app)) as client:
        refused = await client.get("/refused")
        assert (refused.status, refused.headers["Retry-After"]) == (429, "1")
        assert (await refused.json())["error"]["message"] == "later"
        assert not caplog.records
        broken = await client.get("/broken", headers={"Accept": "text/html"})
        assert broken.status == 500
        assert broken.content_type == "application/json"
        assert (await broken.json())["error"]["code"] == "internal_error"
        assert "secret detail" not in await broken.text()
    (record,) = [r for r in caplog.records if r.name == "pilotlight"]
    assert record.exc_info is not None
    assert "/broken" in record.getMessage()


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


def test_error_bodies():
    error = RequestError(401, "bad \udcff", code="c", param="p")
    assert json.loads(error_bytes(error)) == {
        "error": {"message": "bad ?", "type": "invalid_request_error", "param": "p", "code": "c"}
    }
    assert error_headers(error)["WWW-Authenticate"] == "Bearer"
    assert RequestError(500, "x").type == "server_error"
    assert error_headers(RequestError(503, "x", retry_after=3.2))["Retry-After"] == "4"


@pytest.mark.parametrize(
    "payload", [b"", b"text", b"\xff", b"{}", b'{"detail":"x"}', b"[1]", b'{"error":null}', b"[" * 10_000]
)
def test_an_engines_error_that_is_none_of_openais_becomes_one(payload: bytes):
    body = json.loads(as_error(payload, 418))
    assert body["error"]["code"] == "engine_error"
    assert "418" in body["error"]["message"]


@pytest.mark.parametrize("payload", [b'{"error":{"message":"x"}}', b' {"error" : "x"}\n'])
def test_an_engines_error_that_is_one_stays_as_it_is(payload: bytes):
    assert as_error(payload, 418) == payload
