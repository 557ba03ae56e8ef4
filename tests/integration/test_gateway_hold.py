"""The hold contract: requests to a model at zero wait, are told so, and are let go in order, on a real server."""

import asyncio
import base64
import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from integration.kit import Client, Server, StandIn, client_of, comments, events, eventually

MODELS = (
    "plain",
    "warm",
    "gone",
    "crowd",
    "stay",
    "order",
    "full",
    "late",
    "later",
    "queue",
    "zero",
    "long",
    "forever",
)


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> dict[str, StandIn]:
    folder = tmp_path_factory.mktemp("hold")
    special = {
        "order": {"max_requests": 1},
        "full": {"max_pending_requests": 2},
        "queue": {"max_requests": 1, "gated": False},
        "zero": {"gated": False},
        "long": {"gated": False, "ttl": 0},
        "forever": {"gated": False, "ttl": 0},
    }
    return {m: StandIn(folder, m, **{"gated": True, **special.get(m, {})}) for m in MODELS}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, stand_ins: dict[str, StandIn]) -> Iterator[Server]:
    config = {"models": {m: s.model for m, s in stand_ins.items()}, "objective": {"wait": "100ms"}}
    with Server(tmp_path_factory.mktemp("server"), config) as running:
        yield running


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    async with client_of(server) as it:
        yield it
    server.at_rest()


@pytest.fixture
def model(request: pytest.FixtureRequest, stand_ins: dict[str, StandIn]) -> StandIn:
    """The one a test names in its `uses` mark."""
    return stand_ins[request.param]


def uses(name: str):
    return pytest.mark.parametrize("model", [name], indirect=True, ids=[""])


async def held(server: Server, model: StandIn, count: int) -> None:
    await eventually(lambda: server.held(model.name) == count, f"not {count} held")


@uses("plain")
async def test_requests_collate_behind_one_start_and_are_told_that_they_wait(
    server: Server, client: Client, model: StandIn
):
    streams = [asyncio.ensure_future(client.chat(model.name, stream=True)) for _ in range(3)]
    wholes = [asyncio.ensure_future(client.chat(model.name)) for _ in range(3)]
    await held(server, model, 6)
    assert len(server.running(model.name)) == 1
    assert server.running(model.name)[0]["state"] == "starting"
    for response in await asyncio.gather(*streams):  # whose headers come with the first sign
        signs = [await response.content.readuntil(b"\n\n") for _ in range(2)]
        assert all(sign.startswith(b":") for sign in signs)
        assert b"plain is starting" in signs[0]
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/event-stream"
        assert response.headers["x-pilotlight-start"] == "cold"
    for response in await asyncio.gather(*wholes):
        assert (await response.content.readexactly(2)).isspace()
        assert response.status == 200
        assert response.headers["x-pilotlight-start"] == "cold"
    model.open()
    for response in map(asyncio.Future.result, streams):
        assert [e if e == "[DONE]" else e["choices"][0]["delta"]["content"] for e in events(await response.text())] == [
            "t0 ", "t1 ", "t2 ", "[DONE]",
        ]  # fmt: skip
    for response in map(asyncio.Future.result, wholes):
        assert (await response.json())["choices"][0]["message"]["content"] == "hello hello hello "
    assert len(model.seen("born")) == 1
    assert len(model.seen("request")) == 6


@uses("warm")
async def test_a_warm_request_waits_for_nothing(server: Server, client: Client, model: StandIn):
    model.open()
    await client.answer(model.name)
    status, headers, text = await client.answer(model.name, stream=True)
    assert (status, headers["x-pilotlight-start"]) == (200, "warm")
    (said,) = comments(text)  # no sign of a wait, only the end
    assert f"x-pilotlight-served-by={headers['x-pilotlight-served-by']}" in said
    said_usd = float(said.partition("x-pilotlight-cost-usd=")[2])
    trace = server.get(f"/traces/{headers['x-pilotlight-request-id']}")
    assert trace["start"] == "warm"
    assert trace["start_wait_s"] == 0
    await eventually(lambda: any(r["request_id"] == trace["request_id"] for r in server.requests()))
    (line,) = (r for r in server.requests() if r["request_id"] == trace["request_id"])
    assert 0 < said_usd <= line["cost_usd"]


@uses("order")
async def test_held_requests_are_let_go_in_order(server: Server, client: Client, model: StandIn):
    tasks = []
    for i in range(8):
        tasks.append(asyncio.create_task(client.answer(model.name, stream=i % 2 == 1, id=i)))
        await held(server, model, i + 1)
    model.open()
    for task in tasks:
        assert (await task)[0] == 200
    assert [e["request"] for e in model.seen("request")] == list(range(8))


@uses("full")
async def test_a_full_queue_refuses_with_a_time_to_come_back(server: Server, client: Client, model: StandIn):
    tasks = [asyncio.create_task(client.answer(model.name, stream=True)) for _ in range(2)]
    await held(server, model, 2)
    for stream in (True, False):
        status, headers, body = await client.answer(model.name, stream=stream)
        assert status == 429
        assert int(headers["Retry-After"]) >= 1
        assert body["error"]["type"] == "rate_limit_error"
        assert body["error"]["code"] == "too_many_pending_requests"
        assert "max_pending_requests" in body["error"]["message"]
        assert headers["x-pilotlight-request-id"]
    model.open()
    assert [(await t)[0] for t in tasks] == [200, 200]


@uses("late")
async def test_a_failed_start_is_an_event_or_an_object_once_something_was_sent(
    server: Server, client: Client, model: StandIn
):
    async with client.chat(model.name, stream=True) as stream, client.chat(model.name) as whole:
        assert (stream.status, whole.status) == (200, 200)  # so the first sign of each is out
        assert whole.headers["x-pilotlight-start"] == "cold"
        model.fail.touch()
        text = await stream.text()
        (error,) = events(text)
        assert error["error"]["code"] == "start_failed"
        assert "the stand-in was told to fail" in error["error"]["message"]
        assert "[DONE]" not in text
        raw = await whole.text()
        assert raw.startswith(" ")
        assert raw.lstrip().startswith('{"error":{')
        assert (await whole.json())["error"]["code"] == "start_failed"


@uses("later")
async def test_an_engine_error_after_the_first_sign_is_an_error_still(
    server: Server, client: Client, model: StandIn
):
    for stream, said in itertools.product(
        (True, False), ("plain words\nof two lines", '{"error":{"message":"mine"}}')
    ):
        model.fail.unlink(missing_ok=True)
        model.gate.unlink(missing_ok=True)
        server.post(f"/models/{model.name}/stop")
        await eventually(lambda: not server.running(model.name))
        async with client.chat(model.name, stream=stream, do={"status": 418, "said": said}) as response:
            assert response.status == 200
            model.open()
            text = await response.text()
        (body,) = events(text) if stream else [await response.json()]
        if said.startswith("{"):
            assert body == {"error": {"message": "mine"}}
        else:
            assert body["error"]["code"] == "engine_error"
            assert "418" in body["error"]["message"]
            assert "plain words\nof two lines" in body["error"]["message"]


@uses("stay")
async def test_a_client_that_leaves_takes_its_request_with_it_but_not_the_start(
    server: Server, client: Client, model: StandIn
):
    leavers = [asyncio.ensure_future(client.chat(model.name, stream=s)) for s in (True, False)]
    await held(server, model, 2)
    stayer = asyncio.create_task(client.answer(model.name, id="stayer"))
    await held(server, model, 3)
    for response in await asyncio.gather(*leavers):  # both have been sent a first sign
        response.close()
    await held(server, model, 1)
    model.open()
    assert (await stayer)[0] == 200
    assert [e["request"] for e in model.seen("request")] == ["stayer"]
    assert len(model.seen("born")) == 1


@uses("gone")
async def test_a_start_that_nobody_waits_for_any_more_finishes(
    server: Server, client: Client, model: StandIn
):
    task = asyncio.create_task(client.answer(model.name))
    await held(server, model, 1)
    await asyncio.sleep(0.15)  # more than the objective, so that it counts as cold
    task.cancel()
    await held(server, model, 0)
    assert server.running(model.name)[0]["state"] == "starting"
    model.open()
    await eventually(lambda: server.running(model.name)[0]["state"] == "ready")
    assert not model.seen("request")
    status, headers, _ = await client.answer(model.name)
    assert (status, headers["x-pilotlight-start"]) == (200, "warm")
    lines = [r for r in server.requests() if r["model"] == model.name]
    await eventually(lambda: len([r for r in server.requests() if r["model"] == model.name]) == 2)
    lines = [r for r in server.requests() if r["model"] == model.name]
    assert [(r["outcome"], r["start"], r["status"]) for r in lines] == [
        ("client_left", "cold", 499),
        ("ok", "warm", 200),
    ]
    assert lines[0]["start_wait"] >= 0.15
    assert server.metric("pilotlight_cold_rate", model=model.name) == 0.5


@uses("queue")
async def test_waiting_behind_others_is_not_called_cold(
    server: Server, client: Client, model: StandIn, tmp_path: Path
):
    await client.answer(model.name)
    gate = tmp_path / "gate"
    first = asyncio.create_task(client.answer(model.name, do={"gate": str(gate)}))
    await eventually(lambda: server.in_flight(model.name) == 1)
    second = asyncio.create_task(client.answer(model.name, stream=True))
    await held(server, model, 1)
    await asyncio.sleep(0.3)
    gate.touch()
    assert (await first)[0] == 200
    status, headers, text = await second
    assert status == 200
    assert comments(text)
    assert headers["x-pilotlight-start"] == "warm"
    trace = server.get(f"/traces/{headers['x-pilotlight-request-id']}")
    assert trace["start_wait_s"] == 0
    assert trace["queue_s"] >= 0.2
    assert "queue" in {s["stage"] for s in trace["spans"]}


@uses("zero")
async def test_keep_alive_0_lets_the_replica_go_at_once(server: Server, client: Client, model: StandIn):
    status, _, _ = await client.answer(model.name, keep_alive=0)
    assert status == 200
    await eventually(lambda: not server.running(model.name))
    body = model.seen("request")[-1]["body"]
    assert "keep_alive" not in base64.b64decode(body).decode()


@uses("long")
async def test_a_longer_keep_alive_overrides_ttl(server: Server, client: Client, model: StandIn):
    await client.answer(model.name, keep_alive="1h", stream=True)
    (row,) = server.running(model.name)
    assert row["idle_left_s"] == pytest.approx(3600, abs=30)
    await client.answer(model.name)
    await eventually(lambda: not server.running(model.name))  # the latest request says how long: ttl is 0


@uses("forever")
async def test_keep_alive_below_zero_is_for_ever(server: Server, client: Client, model: StandIn):
    await client.answer(model.name, keep_alive=-1)
    (row,) = server.running(model.name)
    assert row["idle_left_s"] is None
    status, _, body = await client.answer(model.name, keep_alive="soon")
    assert status == 400
    assert body["error"]["param"] == "keep_alive"
    await client.answer(model.name, keep_alive=None)
    await eventually(lambda: not server.running(model.name))


@uses("crowd")
async def test_a_client_that_cannot_wait_at_all(server: Server, client: Client, model: StandIn):
    """Two hundred come and go while the model starts; nothing of them stays."""
    tasks = [asyncio.create_task(client.answer(model.name, stream=i % 2 == 0)) for i in range(200)]
    await held(server, model, 200)
    for task in tasks[::2]:
        task.cancel()
    await held(server, model, 100)
    model.open()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(d, tuple) and d[0] == 200 for d in done) == 100
    assert len(model.seen("request")) == 100
    assert not any(isinstance(d, aiohttp.ClientError) for d in done)
