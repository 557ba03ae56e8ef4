"""Which handler is called, and that whatever it raises is answered in OpenAI's form, over real HTTP."""

import json
import logging

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from pilotlight.errors import RequestError
from pilotlight.http.routes import ID, Route, Routes
from unit.http.at_door import AtDoor


async def plain(request: web.BaseRequest) -> web.StreamResponse:
    return web.Response(text="plain")


async def named(request: web.BaseRequest) -> web.StreamResponse:
    return web.json_response(request[ID])


async def refused(request: web.BaseRequest) -> web.StreamResponse:
    raise RequestError(429, "later", retry_after=0.2)


async def broken(request: web.BaseRequest) -> web.StreamResponse:
    raise ZeroDivisionError("secret detail")


async def echo(request: web.BaseRequest) -> web.StreamResponse:
    return web.Response(body=await request.read())


def client() -> TestClient[web.BaseRequest, None]:
    table = [
        Route("GET", "/plain", plain), Route("POST", "/plain", echo), Route("GET", "/models/{id}", named),
        Route("POST", "/models/{id}/warm", named), Route("GET", "/refused", refused), Route("GET", "/broken", broken),
    ]  # fmt: skip
    return TestClient(AtDoor(Routes(table)))


async def test_the_path_and_the_method_say_which_handler():
    async with client() as c:
        for path in ("/plain", "/plain?a=1", "/pl%61in"):
            assert await (await c.get(path)).text() == "plain"
        assert (await c.head("/plain")).status == 200
        assert await (await c.post("/plain", data=b"x")).read() == b"x"


@pytest.mark.parametrize("id", ["a", "org/name", "a b", "warm", "/warm", "ü", "a?b"])
async def test_an_id_is_any_text(id: str):
    path = "/models/" + "".join(f"%{b:02X}" if chr(b) not in "/" else "/" for b in id.encode())
    async with client() as c:
        assert await (await c.get(path)).json() == id
        assert await (await c.post(path + "/warm")).json() == id


async def test_what_is_not_there_and_what_is_not_allowed():
    async with client() as c:
        for path in ("/nowhere", "/models/", "/plain/", "/"):
            answer = await c.get(path)
            assert (answer.status, (await answer.json())["error"]["code"]) == (404, "not_found")
        answer = await c.delete("/plain")
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD, POST")
        assert (await answer.json())["error"]["code"] == "method_not_allowed"
        assert (await c.post("/models/a")).headers["Allow"] == "GET, HEAD"


async def test_what_a_client_expects():
    async with client() as c:
        answer = await c.post("/plain", data=b"x", expect100=True)
        assert await answer.read() == b"x"
        answer = await c.post("/plain", data=b"x", headers={"Expect": "a-miracle"})
        assert (answer.status, (await answer.json())["error"]["code"]) == (417, "expectation_failed")


async def test_what_a_handler_raises_is_an_answer(caplog: pytest.LogCaptureFixture):
    async with client() as c:
        answer = await c.get("/refused")
        assert (answer.status, answer.headers["Retry-After"]) == (429, "1")
        assert (await answer.json())["error"]["message"] == "later"
        assert not caplog.records
        answer = await c.get("/broken", headers={"Accept": "text/html"})
        assert (answer.status, answer.content_type) == (500, "application/json")
        assert json.loads(await answer.text())["error"]["code"] == "internal_error"
        assert "secret detail" not in await answer.text()
    (record,) = [r for r in caplog.records if r.levelno >= logging.ERROR]
    assert record.exc_info is not None
    assert "/broken" in record.getMessage()
