"""The front door and one exchange, with a kernel that does as told and an engine behind real HTTP."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientResponse, ServerDisconnectedError, web
from aiohttp.test_utils import TestClient, TestServer

from pilotlight.clock import SystemClock
from pilotlight.fleet.actions import Assign, Hold, Refuse
from pilotlight.fleet.events import Arrived, Bounced, Event, Finished
from pilotlight.fleet.records import RequestRecord
from pilotlight.gateway.desk import Desk
from pilotlight.gateway.exchange import Exchange
from pilotlight.gateway.front import Directory, Front
from pilotlight.gateway.kitchen import Kitchen, Patience
from pilotlight.gateway.upstream import Answer, Upstream
from pilotlight.http.keys import KeyRing
from pilotlight.http.routes import Routes
from pilotlight.spec.model import ApiKey, Model
from unit.http.at_door import AtDoor


class Patient(Upstream):
    """However late an engine is: what request_timeout says here is how long a client may read nothing."""

    async def send(
        self, base: str, target: str, headers: bytes, body: bytes, timeout: float, **more: Any
    ) -> Answer:
        return await super().send(base, target, headers, body, float("inf"), **more)


class Bench:
    """`engine` is the handler of what is sent on; `kernel` a list of what the kernel says, one for each question."""

    def __init__(self, **model: Any) -> None:
        self.clock = SystemClock()
        self.posted: list[Event] = []
        self.records: list[RequestRecord] = []
        self.local_only = False
        self.says: list[str] = []
        self.desk = Desk(self.clock, self._post)
        self.models = {"m": Model(engine="command", cmd="x", aliases=("alias",), **model)}
        self.up = True
        self.engine_url = ""
        self.client: TestClient[Any, Any]
        self.keys: tuple[ApiKey, ...] = ()
        self.ready_at: float | None = 0.0
        self.told: list[Any] = [self.records.append]
        self.tail: tuple[str, ...] = ()

    def _post(self, event: Event) -> None:
        self.posted.append(event)
        if isinstance(event, Arrived | Bounced):
            self.speak(event.request, self.says.pop(0) if self.says else "m-1")

    def speak(self, request: str, said: str) -> None:
        if said == "hold":
            self.desk.hold(Hold(request, "no replica is up"))
        elif said.startswith("refuse"):
            _, status, code = said.split()
            self.desk.refuse(Refuse(request, int(status), code, "because", 3.0, "m-1"))
        else:
            self.desk.assign(Assign(request, said, "ready"))

    def request(self) -> str:
        return next(e.request for e in reversed(self.posted) if isinstance(e, Arrived))

    def url_of(self, replica: str) -> str:
        if replica == "gone":
            raise KeyError(replica)
        if replica == "bug":
            raise ZeroDivisionError
        return "http://127.0.0.1:1" if replica == "dead" else self.engine_url

    @contextlib.asynccontextmanager
    async def open(self, engine: Any, patience: Patience | None = None) -> AsyncIterator["Bench"]:
        app = web.Application()
        app.router.add_route("*", "/{any:.*}", engine)
        async with TestServer(app) as server:
            self.engine_url = str(server.make_url("")).rstrip("/")
            upstream = Patient()
            kitchen = Kitchen(
                clock=self.clock, desk=self.desk, upstream=upstream, url_of=self.url_of,
                ready_at=lambda replica: self.ready_at, is_up=lambda name: self.up, report=lambda replica: None,
                log_tail=lambda replica: self.tail, progress=lambda name: f"{name} is starting", told=self.told,
                patience=patience or Patience(60, 60, 60),
            )  # fmt: skip
            directory = Directory(self.models)
            keys = KeyRing(self.keys, {"K": "sk-k"}, directory.names, self.clock)
            self.kitchen = kitchen
            front = Front(kitchen, keys, directory, 1, self.local_only)
            door = AtDoor(Routes(front.routes()))
            async with TestClient(door) as self.client:
                yield self
            await upstream.close()
        assert sum(isinstance(e, Arrived) for e in self.posted) == sum(
            isinstance(e, Finished) for e in self.posted
        )

    async def ask(self, **fields: Any) -> ClientResponse:
        return await self.client.post("/v1/chat/completions", json={"model": "m", **fields})

    @property
    def finished(self) -> list[bool]:
        return [e.ok for e in self.posted if isinstance(e, Finished)]


COST = ": x-pilotlight-served-by=m-1 x-pilotlight-cost-usd=0.000000000\n\n"
"""How each stream ends."""


async def fine(request: web.Request) -> web.StreamResponse:
    body = await request.json()
    if not body.get("stream"):
        return web.json_response(
            {"model": body["model"], "usage": {"prompt_tokens": 2, "completion_tokens": 1}}
        )
    return await events(request, b'data: {"a":1}\n\n', b'data: {"a":2}\n\n', b"data: [DONE]\n\n")


async def events(request: web.Request, *parts: bytes) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
    await response.prepare(request)
    for part in parts:
        await response.write(part)
        await asyncio.sleep(0)
    return response


async def test_a_whole_answer():
    async with Bench().open(fine) as bench:
        answer = await bench.ask()
        assert (answer.status, (await answer.json())["model"]) == (200, "m")
        assert answer.headers["x-pilotlight-start"] == "warm"
        (record,) = bench.records
        assert answer.headers["x-pilotlight-request-id"] == record.request_id
        assert (record.outcome, record.status, record.prompt_tokens, record.output_tokens) == (
            "ok",
            200,
            2,
            1,
        )
        assert bench.finished == [True]


async def test_a_stream_whose_end_has_no_blank_line_after_it_says_what_it_cost_too():
    async def unfinished(request: web.Request) -> web.StreamResponse:
        return await events(request, b'data: {"a":1}\n\n', b"data: [DONE]\n")

    async with Bench().open(unfinished) as bench:
        said = await (await bench.ask(stream=True)).text()
        assert said.count("x-pilotlight-cost-usd=") == 1
        assert said.endswith("data: [DONE]\n")


async def test_a_stream():
    async with Bench().open(fine) as bench:
        answer = await bench.ask(stream=True)
        assert await answer.text() == f'data: {{"a":1}}\n\ndata: {{"a":2}}\n\n{COST}data: [DONE]\n\n'
        assert answer.headers["Cache-Control"] == "no-cache"
        assert answer.headers["X-Accel-Buffering"] == "no"
        (record,) = bench.records
        assert (record.outcome, record.output_tokens, record.tokens_from, record.bytes_out) == (
            "ok",
            2,
            "chunks",
            44,
        )
        assert bench.finished == [True]


async def test_events_are_never_cut():
    async def halves(request: web.Request) -> web.StreamResponse:
        return await events(request, b"data: {", b'"a":1}\n', b'\ndata: {"b', b'":2}\n\ndata: [DONE]')

    async with Bench().open(halves) as bench:
        answer = await bench.ask(stream=True)
        assert await answer.text() == f'data: {{"a":1}}\n\ndata: {{"b":2}}\n\n{COST}data: [DONE]'


async def test_usage_is_found_behind_many_small_events():
    async def small(request: web.Request) -> web.StreamResponse:
        usage = b'data: {"usage":{"prompt_tokens":2,"completion_tokens":9}}\n\n'
        return await events(request, usage, *[b": ping\n\n"] * 20, b"data: [DONE]\n\n")

    async with Bench().open(small) as bench:
        await (await bench.ask(stream=True)).read()
        assert (bench.records[0].output_tokens, bench.records[0].tokens_from) == (9, "usage")


async def test_an_engines_no_is_an_answer_but_its_failure_is_none():
    async def no(request: web.Request) -> web.StreamResponse:
        return web.json_response({"error": "no"}, status=(await request.json())["status"])

    async with Bench().open(no) as bench:
        for status in (400, 500):
            assert (await bench.ask(status=status)).status == status
        assert [r.outcome for r in bench.records] == ["engine_error"] * 2
        assert bench.finished == [True, False]


@pytest.mark.parametrize("first", ["dead", "gone"])
async def test_one_retry_and_no_more(first: str):
    async with Bench().open(fine) as bench:
        bench.says = [first, "m-2"]
        assert (await bench.ask()).status == 200
        assert bench.records[-1].replica == "m-2"
        bench.says = [first, first]
        answer = await bench.ask(stream=True)
        assert answer.status == 502
        assert (await answer.json())["error"]["code"] == "engine_died"
        assert sum(isinstance(e, Bounced) for e in bench.posted) == 2
        assert bench.finished == [True, False]


async def test_the_wait_begins_anew_with_the_second_replica():
    bench = Bench()
    async with bench.open(fine):
        bench.ready_at = bench.clock.now() + 1000  # up after the request had come, and for the first one too
        bench.says = ["dead", "hold"]
        task = asyncio.create_task(bench.ask())
        while not any(isinstance(e, Bounced) for e in bench.posted):
            await asyncio.sleep(0.001)
        bench.ready_at = 0.0
        bench.speak(bench.request(), "m-2")
        answer = await task
        assert answer.headers["x-pilotlight-start"] == "warm"
        (record,) = bench.records
        assert record.waiting_since > record.arrived_at
        assert (record.start, record.start_wait, record.replica) == ("warm", 0.0, "m-2")


async def test_a_refusal_with_the_engines_last_words():
    async with Bench().open(fine) as bench:
        bench.says, bench.tail = ["refuse 503 start_failed"], ("CUDA error",)
        bench.kitchen.seen = lambda replica: "health last answered 503"
        answer = await bench.ask(stream=True)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "3")
        said = (await answer.json())["error"]["message"]
        assert said == "because; health last answered 503\nThe engine's last lines:\nCUDA error"
        assert bench.records[0].outcome == "start_failed"


async def test_held_told_and_let_go():
    bench = Bench()
    bench.up, bench.ready_at = False, None
    async with bench.open(fine, Patience(0, 0, 60)):
        for stream in (True, False):
            bench.says = ["hold"]
            answer = await bench.ask(stream=stream)  # its headers come with the first sign
            assert (answer.status, answer.headers["x-pilotlight-start"]) == (200, "cold")
            bench.ready_at = bench.clock.now()
            bench.speak(bench.request(), "m-1")
            text = await answer.text()
            assert text.startswith(": m is starting\n\ndata: " if stream else ' {"model"')
        assert [r.start for r in bench.records] == ["cold", "cold"]


async def test_held_told_and_refused():
    async with Bench().open(fine, Patience(0, 0, 60)) as bench:
        for stream in (True, False):
            bench.says = ["hold"]
            answer = await bench.ask(stream=stream)
            bench.speak(bench.request(), "refuse 503 start_failed")
            text = await answer.text()
            error = json.loads(text.rsplit("data: ", 1)[-1] if stream else text)
            assert error["error"]["code"] == "start_failed"
        assert [(r.status, r.outcome) for r in bench.records] == [(200, "start_failed")] * 2


async def test_an_answer_that_is_no_stream_after_the_first_sign_of_one():
    async def pretty(request: web.Request) -> web.StreamResponse:
        return web.Response(text='{\n "a": 1\n}', content_type="application/json")

    async with Bench().open(pretty, Patience(0, 0, 60)) as bench:
        bench.says = ["hold"]
        answer = await bench.ask(stream=True)
        bench.speak(bench.request(), "m-1")
        text = await answer.text()
        assert json.loads(text.split("data: ")[1]) == {"a": 1}


async def test_what_nobody_foresaw_is_a_500_and_one_log_line(caplog: pytest.LogCaptureFixture):
    async with Bench().open(fine) as bench:
        bench.says = ["bug"]
        answer = await bench.ask()
        assert (answer.status, (await answer.json())["error"]["code"]) == (500, "internal_error")
        assert len([r for r in caplog.records if r.levelno >= logging.ERROR]) == 1
        assert bench.finished == [False]
        assert bench.records[0].outcome == "internal_error"


async def test_what_nobody_foresaw_in_mid_stream_is_an_error_event(caplog: pytest.LogCaptureFixture):
    async with Bench().open(fine, Patience(0, 0, 60)) as bench:
        bench.says = ["hold"]
        answer = await bench.ask(stream=True)
        bench.speak(bench.request(), "bug")
        text = await answer.text()
        assert json.loads(text.split("data: ")[1])["error"]["code"] == "internal_error"
        assert len([r for r in caplog.records if r.levelno >= logging.ERROR]) == 1


async def test_a_sink_that_fails_costs_no_answer(caplog: pytest.LogCaptureFixture):
    bench = Bench()
    bench.told.insert(0, lambda record: 1 / 0)
    async with bench.open(fine):
        assert (await bench.ask()).status == 200
        assert len(bench.records) == 1
    assert "could not be recorded" in caplog.text


async def test_refusals_at_the_door_are_told_and_leave_no_ticket():
    bench = Bench()
    bench.keys = (ApiKey(name="k", key_env="K", models=("m",)),)
    async with bench.open(fine):
        url = "/v1/chat/completions"
        key = {"Authorization": "Bearer sk-k"}
        assert (await bench.client.post(url, json={"model": "m"})).status == 401
        assert (await bench.client.post(url, data=b"{", headers=key)).status == 400
        assert (await bench.client.post(url, json={"model": "x"}, headers=key)).status == 404
        assert (await bench.client.post(url, json={"model": "alias"}, headers=key)).status == 200
        *refused, served = bench.records
        assert [(r.model, r.status, r.key, r.outcome, r.start) for r in refused] == [
            ("-", 401, None, "refused", "none"),
            ("-", 400, "k", "refused", "none"),
            ("-", 404, "k", "refused", "none"),
        ]
        assert len({r.request_id for r in bench.records}) == 4
        assert next(e for e in bench.posted if isinstance(e, Arrived)).deployment == "m"
        assert served.key == "k"
        answer = await bench.client.post(url)
        assert answer.headers["x-pilotlight-request-id"] == bench.records[-1].request_id
        assert answer.headers["x-pilotlight-start"] == "none"


async def test_without_keys_no_stranger_gets_in():
    bench = Bench()
    bench.local_only = True
    async with bench.open(fine):
        assert (await bench.ask()).status == 200
        for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}):
            for method, path in (("POST", "/v1/chat/completions"), ("GET", "/v1/models")):
                answer = await bench.client.request(method, path, json={"model": "m"}, headers=headers)
                assert (answer.status, (await answer.json())["error"]["code"]) == (403, "not_local")


async def test_with_keys_it_does_not_matter_where_one_comes_from():
    bench = Bench()
    bench.local_only, bench.keys = True, (ApiKey(name="k", key_env="K"),)
    async with bench.open(fine):
        headers = {"Authorization": "Bearer sk-k", "Host": "mine.example", "Origin": "https://app.example"}
        url = "/v1/chat/completions"
        assert (await bench.client.post(url, json={"model": "m"}, headers=headers)).status == 200


async def test_a_null_keep_alive_does_not_reach_the_engine():
    seen: list[dict[str, Any]] = []

    async def engine(request: web.Request) -> web.StreamResponse:
        seen.append(await request.json())
        return web.json_response({})

    async with Bench().open(engine) as bench:
        await bench.ask(keep_alive=None)
        await bench.ask(keep_alive="5m")
        assert seen == [{"model": "m"}, {"model": "m"}]
        assert [e.keep_alive for e in bench.posted if isinstance(e, Arrived)] == [None, 300.0]


async def test_a_client_that_leaves_while_held():
    bench = Bench()
    bench.up = False
    async with bench.open(fine) as bench:
        bench.says = ["hold"]
        task = asyncio.create_task(bench.ask())
        while not bench.posted:
            await asyncio.sleep(0)
        task.cancel()
        async with asyncio.timeout(5):
            while not bench.records:
                await asyncio.sleep(0.001)
        assert (bench.records[0].outcome, bench.records[0].status, bench.records[0].start) == (
            "client_left",
            499,
            "cold",
        )
        assert bench.finished == [False]


async def test_the_bodies_of_those_who_wait_are_bounded_together():
    async with Bench().open(fine) as bench:
        bench.kitchen.max_held_bytes = 60
        bench.says = ["hold", "hold"]
        first = asyncio.create_task(bench.ask(text="x" * 20))
        while not bench.kitchen.held_bytes:
            await asyncio.sleep(0.001)
        waiting = bench.request()
        answer = await bench.ask(text="x" * 20)
        assert (answer.status, answer.headers["x-pilotlight-start"]) == (429, "none")
        assert (await answer.json())["error"]["code"] == "too_many_pending_requests"
        bench.speak(waiting, "m-1")
        assert (await first).status == 200
        assert bench.kitchen.held_bytes == 0
        assert [(r.status, r.outcome) for r in bench.records] == [(429, "refused"), (200, "ok")]


async def test_a_stream_does_not_keep_the_body_of_its_request(monkeypatch: pytest.MonkeyPatch):
    seen: list[Exchange] = []
    run = Exchange.run

    async def spied(self: Exchange) -> web.StreamResponse:
        seen.append(self)
        return await run(self)

    monkeypatch.setattr(Exchange, "run", spied)
    gate = asyncio.Event()

    async def engine(request: web.Request) -> web.StreamResponse:
        response = await events(request, b'data: {"a":1}\n\n')
        await gate.wait()
        return response

    async with Bench().open(engine) as bench:
        answer = await bench.ask(stream=True)
        await answer.content.readany()
        (exchange,) = seen
        assert exchange.body == b""
        assert exchange.request._read_bytes is None
        gate.set()
        await answer.read()


async def test_only_lines_of_data_are_counted():
    async def engine(request: web.Request) -> web.StreamResponse:
        text = b'data:{"text":"data: data: [DONE]"}\n\n'
        return await events(request, text, b"event: x\ndata: {}\n\n", b": data: \n\n", b"data: [DONE]")

    async with Bench().open(engine) as bench:
        await (await bench.ask(stream=True)).read()
        assert (bench.records[0].output_tokens, bench.records[0].tokens_from) == (2, "chunks")


async def test_a_client_that_does_not_read_is_let_go():
    async def flood(request: web.Request) -> web.StreamResponse:
        return await events(request, *[b"data: " + b"x" * 2**20 + b"\n\n"] * 64)

    async with Bench(request_timeout=0.2).open(flood) as bench:
        port = bench.client.port
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        body = b'{"model":"m","stream":true}'
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
        )
        writer.write(body)
        async with asyncio.timeout(10):
            while not bench.records:
                await asyncio.sleep(0.01)
        writer.transport.abort()
        assert bench.records[0].outcome == "client_left"
        assert bench.finished == [False]


async def test_a_client_that_does_not_read_what_it_was_promised_is_let_go():
    async def large(request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"x" * 2**26)

    async with Bench(request_timeout=0.2).open(large, Patience(0, 0, 60)) as bench:
        bench.says = ["hold"]
        reader, writer = await asyncio.open_connection("127.0.0.1", bench.client.port, limit=1024)
        head = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\n\r\n"
        writer.write(head + b'{"model":"m"}')
        async with asyncio.timeout(10):
            await reader.readuntil(b"\r\n\r\n")  # the first sign of it is sent
            bench.speak(bench.request(), "m-1")
            while not bench.records:
                await asyncio.sleep(0.01)
        writer.transport.abort()
        assert bench.records[0].outcome == "client_left"


async def test_a_client_that_reads_slowly_is_not():
    async def slow(request: web.Request) -> web.StreamResponse:
        response = await events(request)
        for _ in range(10):
            await response.write(b"data: {}\n\n")
            await asyncio.sleep(0.05)
        return response

    async with Bench(request_timeout=0.15).open(slow) as bench:
        await (await bench.ask(stream=True)).read()
        assert bench.records[0].outcome == "ok"


async def test_a_client_that_leaves_when_it_has_seen_the_end_has_not_left():
    async def lingers(request: web.Request) -> web.StreamResponse:
        response = await events(request, b'data: {"a":1}\n\n', b"data: [DONE]\n\n")
        await asyncio.sleep(5)
        return response

    async with Bench().open(lingers) as bench:
        answer = await bench.ask(stream=True)
        await answer.content.readuntil(b"[DONE]\n\n")
        answer.close()
        async with asyncio.timeout(5):
            while not bench.records:
                await asyncio.sleep(0.001)
        (record,) = bench.records
        assert (record.outcome, record.status, record.output_tokens) == ("ok", 200, 1)
        assert bench.finished == [True]


async def test_an_answer_that_nobody_was_there_to_take():
    """Its client left while the last bytes came, and the news of that comes with the loop's next round."""
    async with Bench().open(fine) as bench:
        seen = Exchange._send

        async def left(self: Exchange, *args: Any) -> None:
            transport = self.request.transport
            assert transport is not None
            transport.abort()
            await seen(self, *args)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Exchange, "_send", left)
            with contextlib.suppress(ServerDisconnectedError):
                await bench.ask()
        async with asyncio.timeout(5):
            while not bench.records:
                await asyncio.sleep(0.001)
        assert [(r.outcome, r.status) for r in bench.records] == [("client_left", 499)]


async def test_an_answer_is_told_when_it_was_written_and_its_engine_is_free_before():
    async def large(request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"x" * 2**26)

    async with Bench(request_timeout=30).open(large) as bench:
        reader, writer = await asyncio.open_connection("127.0.0.1", bench.client.port, limit=1024)
        head = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\n\r\n"
        writer.write(head + b'{"model":"m"}')
        async with asyncio.timeout(20):
            while not bench.finished:
                await asyncio.sleep(0.001)
            assert bench.finished == [True]
            assert not bench.records, "most of it is still on its way"
            while not bench.records:
                await reader.read(2**20)
        writer.transport.abort()
        assert [(r.outcome, r.status) for r in bench.records] == [("ok", 200)]


async def test_a_whole_answer_that_nobody_reads_is_let_go():
    async def large(request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"x" * 2**26)

    async with Bench(request_timeout=0.2).open(large) as bench:
        _, writer = await asyncio.open_connection("127.0.0.1", bench.client.port, limit=1024)
        head = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\n\r\n"
        writer.write(head + b'{"model":"m"}')
        async with asyncio.timeout(10):
            while not bench.records:
                await asyncio.sleep(0.01)
        writer.transport.abort()
        assert (bench.records[0].outcome, bench.finished) == ("client_left", [True])
