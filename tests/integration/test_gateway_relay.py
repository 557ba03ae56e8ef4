"""What passes through the gateway, what does not, and what becomes of it when an engine or a client fails."""

import asyncio
import base64
import gzip
import json
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from integration.kit import DEADLINE, Client, Server, StandIn, client_of, events, eventually

NAMES = ("m", "one", "two", "short", "longer", "renamed", "cold", "fails", "waits", "crash")


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> dict[str, StandIn]:
    folder = tmp_path_factory.mktemp("relay")
    special: dict[str, dict[str, Any]] = {
        "m": {"aliases": ["gpt-4o-mini", "org/name:tag"]},
        "one": {"max_requests": 1},
        "two": {"min_replicas": 2, "max_replicas": 2},
        "short": {"request_timeout": "300ms"},
        "longer": {"request_timeout": "2s"},
        "renamed": {"served_name": 'the "real" näme'},
        "fails": {"gated": True},
    }
    return {name: StandIn(folder, name, **special.get(name, {})) for name in NAMES}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, stand_ins: dict[str, StandIn]) -> Iterator[Server]:
    config = {"models": {m: s.model for m, s in stand_ins.items()}, "client_max_size": "24MiB"}
    with Server(tmp_path_factory.mktemp("server"), config, patience=(60, 60, 60)) as running:
        yield running


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    async with client_of(server) as it:
        yield it
    server.at_rest()


@pytest.fixture
def m(stand_ins: dict[str, StandIn]) -> StandIn:
    return stand_ins["m"]


def contents(text: str) -> list[str]:
    return [e["choices"][0]["delta"]["content"] for e in events(text) if e != "[DONE]" and "choices" in e]


# -- cold starts, with nothing sent before they are over -----------------------------------------------------------


async def test_a_cold_request_tells_its_stages(server: Server, client: Client):
    status, headers, _ = await client.answer("waits")
    assert (status, headers["x-pilotlight-start"]) == (200, "cold")
    stages = dict(part.split(";dur=") for part in headers["Server-Timing"].split(", "))
    assert {"allocate", "spawn", "load", "hand_over", "first_token"} <= set(stages)
    trace = server.get(f"/traces/{headers['x-pilotlight-request-id']}")
    assert (trace["start"], trace["outcome"]) == ("cold", "ok")
    assert all(s["start_s"] >= 0 and s["seconds"] >= 0 for s in trace["spans"])
    assert max(s["start_s"] + s["seconds"] for s in trace["spans"]) <= trace["duration_s"] + 0.001
    load = next(s for s in trace["spans"] if s["stage"] == "load")
    assert load["start_s"] + load["seconds"] == pytest.approx(trace["start_wait_s"], abs=0.1)


async def test_a_failed_start_is_a_status_before_anything_was_sent(
    server: Server, client: Client, stand_ins: dict[str, StandIn]
):
    model = stand_ins["fails"]
    tasks = [asyncio.create_task(client.answer("fails", stream=s)) for s in (True, False)]
    await eventually(lambda: server.held("fails") == 2)
    model.fail.touch()
    for status, headers, body in await asyncio.gather(*tasks):
        assert status == 503
        assert int(headers["Retry-After"]) >= 1
        assert body["error"]["code"] == "start_failed"
        assert "the stand-in was told to fail" in body["error"]["message"]
        assert headers["x-pilotlight-start"] == "cold"
        trace = server.get(f"/traces/{headers['x-pilotlight-request-id']}")
        assert trace["outcome"] == "start_failed"
        assert trace["start_wait_s"] == trace["duration_s"]
    assert len(model.seen("born")) == 1
    assert server.metric("pilotlight_starts_failed_total", model="fails") == 1
    model.fail.unlink()
    model.open()
    status, _, _ = await client.answer("fails")  # it never sticks in "failed"
    assert status == 200


# -- clients that leave or dawdle ----------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_cancels_its_work_and_frees_the_slot(
    server: Server, client: Client, stand_ins: dict[str, StandIn], tmp_path: Path, stream: bool
):
    one = stand_ins["one"]
    id = f"leaver-{stream}"
    task = asyncio.create_task(
        client.answer("one", stream=stream, id=id, do={"gate": str(tmp_path / "never")})
    )
    await one.sees("request", request=id)
    waiting = asyncio.create_task(client.answer("one", id=f"next-{stream}"))
    await eventually(lambda: server.held("one") == 1)
    task.cancel()
    assert (await waiting)[0] == 200
    await one.sees("disconnected", request=id)
    assert not one.seen("answered", request=id)


async def test_a_client_that_leaves_before_the_engine_has_answered(
    server: Server, client: Client, stand_ins: dict[str, StandIn]
):
    one = stand_ins["one"]
    for stream in (True, False):
        id = f"hang-{stream}"
        task = asyncio.create_task(client.answer("one", stream=stream, id=id, do={"hang": True}))
        await one.sees("request", request=id)
        task.cancel()
        await one.sees("disconnected", request=id)
        await eventually(lambda: server.in_flight("one") == 0)
    lines = [r for r in server.requests() if r["model"] == "one"]
    await eventually(lambda: server.metric("pilotlight_requests_total", model="one", code="499") is not None)
    assert all(r["start"] in ("warm", "cold") for r in lines)


async def test_a_slow_reader_stops_the_engine(server: Server, client: Client, m: StandIn):
    await client.answer("m")
    body = json.dumps({"model": "m", "stream": True, "id": "flood", "do": {"flood": 200_000_000}}).encode()
    with socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        reader.connect(("127.0.0.1", server.port))
        reader.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
            + body
        )
        await m.sees("flooded")
        sent, before = -1, -2
        while sent != before:  # until it has stood still for a while
            before = sent
            await asyncio.sleep(0.5)
            sent = m.seen("flooded")[-1]["sent"]
        assert 0 < sent < 40_000_000
        reader.settimeout(DEADLINE)
        # it goes on as soon as the client reads
        await eventually(lambda: reader.recv(2**20) and m.seen("flooded")[-1]["sent"] > sent)
    await m.sees("disconnected", request="flood")


# -- engines that fail ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [{"drop": "middle"}, {"drop": "middle", "close": True}])
async def test_a_stream_that_breaks_ends_in_an_error_event(client: Client, how: dict[str, Any]):
    status, _, text = await client.answer("m", stream=True, do=how)
    assert status == 200
    *_, error = events(text)  # every event is whole, also the one that was being written
    assert error["error"]["code"] == "engine_died"
    assert contents(text) == ["t0 "]
    assert "[DONE]" not in text


async def test_an_engine_that_dies_in_mid_stream(server: Server, client: Client):
    status, headers, text = await client.answer("crash", stream=True, do={"die": "middle"})
    assert status == 200
    assert events(text)[-1]["error"]["code"] == "engine_died"
    assert contents(text) == ["t0 "]
    assert "[DONE]" not in text
    trace = server.get(f"/traces/{headers['x-pilotlight-request-id']}")
    assert (trace["outcome"], trace["status"]) == ("engine_died", 200)
    assert (await client.answer("crash"))[0] == 200
    assert server.metric("pilotlight_replicas_died_total", model="crash") == 1


async def test_an_answer_that_breaks_is_a_clean_error(client: Client):
    status, _, body = await client.answer("m", do={"drop": "middle"})
    assert status == 502
    assert body["error"]["code"] == "engine_died"


async def test_a_stream_without_a_length_is_whole_when_it_says_so(client: Client):
    status, _, text = await client.answer("m", stream=True, do={"close": True})
    assert status == 200
    assert events(text)[-1] == "[DONE]"


async def two_up(server: Server) -> None:
    await eventually(lambda: [r["state"] for r in server.running("two")] == ["ready"] * 2)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("when", [{"die": "now"}, {"die": "head"}, {"drop": "now"}, {"drop": "head"}])
async def test_before_the_first_byte_another_replica_is_asked(
    server: Server,
    client: Client,
    stand_ins: dict[str, StandIn],
    tmp_path: Path,
    when: dict[str, str],
    stream: bool,
):
    await two_up(server)
    id = str(tmp_path)
    do = {**when, "only": str(tmp_path / "who")}
    status, _, body = await client.answer("two", stream=stream, id=id, do=do)
    assert status == 200
    assert (contents(body) if stream else body["choices"]) and "error" not in body
    seen = stand_ins["two"].seen("request", request=id)
    assert len({e["pid"] for e in seen}) == 2


async def test_the_second_failure_before_the_first_byte_is_an_error(
    server: Server, client: Client, stand_ins: dict[str, StandIn]
):
    for stream in (True, False):
        await two_up(server)
        id = f"twice-{stream}"
        status, headers, body = await client.answer("two", stream=stream, id=id, do={"drop": "now"})
        assert status == 502
        assert body["error"]["code"] == "engine_died"
        assert "twice" in body["error"]["message"]
        assert headers["x-pilotlight-request-id"]
        seen = stand_ins["two"].seen("request", request=id)
        assert len({e["pid"] for e in seen}) == 2


@pytest.mark.parametrize("stream", [True, False])
async def test_an_engine_that_is_silent_for_too_long(
    client: Client, stand_ins: dict[str, StandIn], stream: bool
):
    id = f"silent-{stream}"
    status, _, body = await client.answer("short", stream=stream, id=id, do={"hang": True})
    assert status == 504
    assert body["error"]["code"] == "engine_timeout"
    assert "request_timeout" in body["error"]["message"]
    await stand_ins["short"].sees("disconnected", request=id)


async def test_an_engine_that_falls_silent_in_mid_stream(client: Client, tmp_path: Path):
    status, _, text = await client.answer("longer", stream=True, do={"gate": str(tmp_path / "never")})
    assert status == 200
    assert contents(text) == ["t0 "]
    assert events(text)[-1]["error"]["code"] == "engine_timeout"
    assert "[DONE]" not in text
    # A slow stream is not a silent one.
    status, _, text = await client.answer("longer", stream=True, do={"every": 0.5, "chunks": 5})
    assert len(contents(text)) == 5
    assert events(text)[-1] == "[DONE]"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("status", [400, 401, 404, 422, 500, 503])
async def test_an_engines_errors_pass_as_they_are(server: Server, client: Client, stream: bool, status: int):
    said = '{"error": {"message":  "mine", "code": null}}'
    async with client.chat(
        "m", stream=stream, do={"status": status, "said": said, "header": "X-Own: 1"}
    ) as response:
        assert response.status == status
        assert await response.text() == said
        assert response.headers["X-Own"] == "1"
        assert response.content_type == "application/json"
    trace = server.get(f"/traces/{response.headers['x-pilotlight-request-id']}")
    assert trace["outcome"] == "engine_error"


# -- what passes ---------------------------------------------------------------------------------------------------


async def raw(
    client: Client, body: bytes, path: str = "/v1/chat/completions", **headers: str
) -> tuple[int, Any]:
    """Status and parsed body of a request whose body is sent as it is."""
    url = URL(client.server.url + path, encoded=True)
    async with client.session.post(url, data=body, headers=headers) as response:
        return response.status, json.loads(await response.read())


async def test_bodies_are_not_re_encoded(client: Client, m: StandIn):
    body = b'{ "id":"bytes", "model" : "m","x-unknown":[1.0,1e3, "\\u00e4\xc3\xa4"],\n"seed":12345678901234567890 }'
    assert (await raw(client, body))[0] == 200
    assert base64.b64decode(m.seen("request", request="bytes")[0]["body"]) == body


async def test_an_alias_is_a_name_as_good_as_any(client: Client, m: StandIn):
    for name in ("gpt-4o-mini", "org/name:tag"):
        body = json.dumps({"model": name, "id": name}).encode()
        assert (await raw(client, body))[0] == 200
        sent = base64.b64decode(m.seen("request", request=name)[0]["body"])
        assert json.loads(sent) == {"model": "m", "id": name}


async def test_the_served_name_is_all_that_changes(client: Client, stand_ins: dict[str, StandIn]):
    body = (
        b'{"id":"renamed", "model":"renamed","x":[1.0,  1e3, "\\u00e4"],'
        b'"keep_alive":"9m", "n": 10000000000000000000000}'
    )
    assert (await raw(client, body))[0] == 200
    sent = base64.b64decode(stand_ins["renamed"].seen("request", request="renamed")[0]["body"])
    assert b'[1.0,  1e3, "\\u00e4"]' in sent
    assert b"10000000000000000000000" in sent
    assert json.loads(sent)["model"] == 'the "real" näme'
    assert "keep_alive" not in json.loads(sent)


async def test_a_body_of_20_mb(client: Client, m: StandIn):
    body = json.dumps({"model": "m", "id": "big", "image": "x" * 20_000_000}).encode()
    assert (await raw(client, body))[0] == 200
    assert m.seen("request", request="big")[0]["size"] == len(body)


async def test_a_body_that_is_too_large(client: Client, m: StandIn):
    body = json.dumps({"model": "m", "id": "huge", "image": "x" * 26_000_000}).encode()
    status, said = await raw(client, body)
    assert (status, said["error"]["code"]) == (413, "request_too_large")
    assert "client_max_size" in said["error"]["message"]

    async def parts() -> AsyncIterator[bytes]:  # its length is not told beforehand
        for i in range(0, len(body), 2**20):
            yield body[i : i + 2**20]

    async with client.session.post(client.server.url + "/v1/chat/completions", data=parts()) as response:
        assert response.status == 413
        assert (await response.json())["error"]["code"] == "request_too_large"
    bomb = gzip.compress(body, 1)
    status, said = await raw(client, bomb, **{"Content-Encoding": "gzip"})
    assert (status, said["error"]["code"]) == (413, "request_too_large")
    assert not m.seen("request", request="huge")


async def test_a_packed_body_is_unpacked_and_no_longer_called_packed(client: Client, m: StandIn):
    body = json.dumps({"model": "m", "id": "packed"}).encode()
    status, _ = await raw(client, gzip.compress(body), **{"Content-Encoding": "gzip"})
    assert status == 200
    (seen,) = m.seen("request", request="packed")
    assert base64.b64decode(seen["body"]) == body
    assert "content-encoding" not in {k.lower() for k, _ in seen["headers"]}
    status, said = await raw(client, b"no gzip at all", **{"Content-Encoding": "gzip"})
    assert status == 400
    assert said["error"]["type"] == "invalid_request_error"


async def test_which_headers_travel(client: Client, m: StandIn):
    mine = {
        "Authorization": "Bearer secret-of-mine", "x-api-key": "secret-of-mine", "Cookie": "a=secret-of-mine",
        "Proxy-Authorization": "secret-of-mine", "Connection": "keep-alive, X-Hop", "X-Hop": "1", "TE": "trailers",
        "X-Own": "kept", "X-Umlaut": "nä", "User-Agent": "me/1", "Accept": "text/event-stream",
    }  # fmt: skip
    do = {
        "header": "X-Own: answered\r\nConnection: X-Hop2\r\nX-Hop2: 1\r\nServer: stand-in\r\nX-Umlaut: n\xc3\xa4"
    }
    async with client.chat("m", id="headers", headers=mine, do=do) as response:
        back = response.headers
    (seen,) = m.seen("request", request="headers")
    sent = {k.lower(): v for k, v in seen["headers"]}
    assert sent["x-own"] == "kept"
    assert sent["x-umlaut"].encode("latin-1").decode() == "nä"
    assert sent["user-agent"] == "me/1"
    assert sent["content-type"] == "application/json"
    assert sent["host"].startswith("127.0.0.1:")
    assert len([k for k, _ in seen["headers"] if k.lower() == "content-length"]) == 1
    assert "secret" not in json.dumps(seen["headers"])
    assert not {"x-hop", "te", "cookie", "authorization", "x-api-key", "accept-encoding"} & set(sent)
    assert (back["X-Own"], back["X-Umlaut"]) == ("answered", "nä")
    assert "X-Hop2" not in back
    assert "stand-in" not in back["Server"]


async def test_an_engines_header_that_is_no_text(client: Client):
    for stream in (True, False):
        status, _, _ = await client.answer("m", stream=stream, do={"header": "X-Odd: \xff\xfe"})
        assert status == 200


async def test_an_engine_cannot_speak_for_pilotlight(client: Client):
    header = "x-pilotlight-start: cold\r\nx-pilotlight-request-id: 1"
    for stream in (True, False):
        status, headers, _ = await client.answer("m", stream=stream, do={"header": header})
        assert status == 200
        assert headers.getall("x-pilotlight-start") == ["warm"]
        assert headers.getall("x-pilotlight-request-id") != ["1"]


async def test_other_paths_and_queries(client: Client, m: StandIn):
    body = b'{"model":"m","id":"embed","input":["a"]}'
    status, said = await raw(client, body, "/v1/embeddings")
    assert (status, said["object"]) == (200, "list")
    assert (await raw(client, b'{"model":"m","id":"query"}', "/v1/completions?a=%2Fb&c=x%20y+z"))[0] == 200
    assert m.seen("request", request="embed")[0]["target"] == "/v1/embeddings"
    assert m.seen("request", request="query")[0]["target"] == "/v1/completions?a=%2Fb&c=x%20y+z"


async def test_slow_chunks_are_passed_on_as_they_come(client: Client, tmp_path: Path):
    gate = tmp_path / "gate"
    async with client.chat("m", stream=True, do={"gate": str(gate)}) as response:
        first = await asyncio.wait_for(response.content.readuntil(b"\n\n"), 5)
        assert b"t0" in first
        gate.touch()
        assert b"[DONE]" in await response.read()


# -- what operators see --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        (b"", None, "not valid JSON"),
        (b"{", None, "not valid JSON"),
        (b'{"model":"m"', None, "not valid JSON"),
        (b"[]", None, "object"),
        (b'"m"', None, "object"),
        (b"{}", "model", "GET /v1/models"),
        (b'{"model":7}', "model", "`str`"),
        (b'{"model":null}', "model", "`str`"),
        (b'{"model":"m","stream":"yes"}', "stream", "`bool"),
        (b'{"model":"m","keep_alive":true}', "keep_alive", ""),
        (b'{"model":"m","keep_alive":"soon"}', "keep_alive", "soon"),
        (b'{"model":"m","x":' + b"[" * 100_000, None, "nested too deeply"),
        (b'{"model":"\xff"}', None, ""),
        (b'{"model":"\\ud800"}', None, ""),
    ],
)
async def test_a_wrong_body_is_told_what_is_wrong(client: Client, body: bytes, param: str | None, words: str):
    status, said = await raw(client, body)
    assert status == 400
    assert said["error"]["type"] == "invalid_request_error"
    assert said["error"]["param"] == param
    assert words in said["error"]["message"]


async def test_an_unknown_model(client: Client):
    for name in ("nobody", "", "M", "näme"):
        status, _, body = await client.answer(name)
        assert status == 404
        assert (body["error"]["code"], body["error"]["param"]) == ("model_not_found", "model")
        assert repr(name) in body["error"]["message"]


async def test_cold_models_are_listed(server: Server, client: Client):
    async with client.session.get(server.url + "/v1/models") as response:
        listed = await response.json()
    names = {card["id"] for card in listed["data"]}
    assert {"cold", "m", "gpt-4o-mini", "org/name:tag"} <= names
    assert not server.running("cold")
    for name, root in (("cold", None), ("gpt-4o-mini", "m"), ("org/name:tag", "m"), ("org%2Fname:tag", "m")):
        async with client.session.get(f"{server.url}/v1/models/{name}") as response:
            card = await response.json()
        assert card["object"] == "model"
        assert card.get("root") == root
    for name in ("nobody", "%ff", "a/b/c"):
        async with client.session.get(f"{server.url}/v1/models/{name}") as response:
            assert response.status == 404
            assert (await response.json())["error"]["code"] == "model_not_found"


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/nowhere", 404, None),
        ("POST", "/v1/nowhere", 404, None),
        ("GET", "/v1/chat/completions", 405, "POST"),
        ("DELETE", "/v1/chat/completions", 405, "POST"),
        ("OPTIONS", "/v1/chat/completions", 405, "POST"),
        ("PATCH", "/health", 405, "GET, HEAD"),
        ("DELETE", "/v1/models/m", 405, "GET, HEAD"),
        ("GET", "/models/m/warm", 405, "POST"),
        ("POST", "/models/nobody/warm", 404, None),
        ("GET", "/traces/nothing", 404, None),
        ("GET", "/%ff", 404, None),
    ],
)
async def test_every_error_has_an_openai_body(
    client: Client, method: str, path: str, status: int, allow: str | None
):
    async with client.session.request(method, client.server.url + path) as response:
        assert response.status == status
        assert response.headers.get("Allow") == allow
        error = (await response.json())["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]


async def test_head_and_health(server: Server, client: Client):
    for path in ("/", "/health", "/v1/models", "/metrics"):
        async with client.session.head(server.url + path) as response:
            assert response.status == 200
            assert await response.read() == b""
    assert server.get("/health") == {"status": "ok"}


async def test_what_runs(server: Server, client: Client, tmp_path: Path):
    gate = tmp_path / "gate"
    task = asyncio.create_task(client.answer("m", do={"gate": str(gate)}))
    await eventually(lambda: server.in_flight("m") == 1)
    (row,) = server.running("m")
    assert row["replica"] == "m-1"
    assert row["state"] == "ready"
    assert row["pid"] > 0
    assert row["since_s"] >= 0
    assert row["memory_bytes"] >= 64 * 2**20
    gate.touch()
    await task


async def test_metrics(server: Server, client: Client):
    before = server.metric("pilotlight_requests_total", model="m", code="200", start="warm") or 0
    await client.answer("m", stream=True)
    await client.answer("m")
    await client.answer("nobody")
    assert server.metric("pilotlight_requests_total", model="m", code="200", start="warm") == before + 2
    assert (server.metric("pilotlight_requests_total", model="-", code="404") or 0) >= 1
    assert server.metric("pilotlight_ttft_seconds_count", model="m", start="warm")
    assert server.metric("pilotlight_start_wait_seconds_count", model="m")
    assert server.metric("pilotlight_cold_start_seconds_count", model="m") == 1
    assert server.metric("pilotlight_cold_start_stage_seconds_count", model="m", stage="load") == 1
    assert server.metric("pilotlight_replicas", model="m", state="ready") == 1
    assert server.metric("pilotlight_held_requests", model="m") == 0
    assert (server.metric("pilotlight_replica_seconds_total", model="m", state="ready") or 0) > 0
    assert server.metric("pilotlight_cold_rate", model="m") is not None


async def test_warm_and_stop(server: Server, client: Client):
    assert server.post("/models/cold/warm")["model"] == "cold"
    await eventually(lambda: [r["state"] for r in server.running("cold")] == ["ready"])
    assert server.post("/models/cold/stop")["model"] == "cold"
    await eventually(lambda: not server.running("cold"))


async def test_a_line_for_each_request(server: Server, client: Client):
    await client.answer("m")  # so that it is up
    headers = {"x-session-id": "s-1"}
    async with client.chat(
        "m", stream=True, headers=headers, messages=[{"role": "user", "content": "tell-no-one"}]
    ) as r:
        id = r.headers["x-pilotlight-request-id"]
        await r.read()
    await eventually(lambda: any(line["request_id"] == id for line in server.requests()))
    (line,) = [line for line in server.requests() if line["request_id"] == id]
    assert line["model"] == "m"
    assert line["session"] == "s-1"
    assert line["path"] == "/v1/chat/completions"
    assert (line["status"], line["outcome"], line["start"], line["stream"]) == (200, "ok", "warm", True)
    assert (line["output_tokens"], line["tokens_from"]) == (3, "chunks")
    assert 0 < line["ttft"] <= line["duration"]
    assert "tell-no-one" not in (server.state / "requests.jsonl").read_text()
    async with client.chat("m") as r:
        id = r.headers["x-pilotlight-request-id"]
    await eventually(lambda: any(line["request_id"] == id for line in server.requests()))
    (line,) = [line for line in server.requests() if line["request_id"] == id]
    assert (line["prompt_tokens"], line["output_tokens"], line["tokens_from"]) == (5, 3, "usage")
