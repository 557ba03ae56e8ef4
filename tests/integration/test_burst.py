"""Requests that a provider answers while the model they ask for is cold: a real server, a real client."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest

from fault.provider_kit import KEY, KEY_ENV, Provider, Script, Seen, Wire, event, provider, well
from integration.kit import DEADLINE, Client, Server, StandIn, client_of, comments, events, eventually

USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
PRICE = {"request_usd": 0.001, "million_input_usd": 100.0, "million_output_usd": 1000.0}
COST = 0.001 + 5 * 100e-6 + 2 * 1000e-6


@pytest.fixture
async def far() -> AsyncIterator[Provider]:
    async with provider(well(usage=USAGE)) as it:
        yield it


@pytest.fixture
def cold(tmp_path: Path) -> StandIn:
    """A model that never comes up by itself."""
    return StandIn(tmp_path, "chat", gated=True, burst={"provider": "far"})


@pytest.fixture
async def server(tmp_path: Path, far: Provider, cold: StandIn) -> AsyncIterator[Server]:
    config = {
        "models": {"chat": cold.model, "home": {**cold.model, "leave_house": False}},
        "providers": {
            "far": far.declared(price=PRICE, models={"chat": "org/chat"}, headers={"x-extra": "yes"})
        },
    }
    quiet = (60, 60, 60)  # no sign of life before an answer's headers
    running = await asyncio.to_thread(
        Server(tmp_path / "server", config, env=KEY_ENV, patience=quiet).__enter__
    )
    try:
        yield running
    finally:
        await asyncio.to_thread(running.__exit__, None)


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    async with client_of(server) as it:
        yield it


async def logged(server: Server, id: str) -> dict[str, Any]:
    await eventually(lambda: any(line["request_id"] == id for line in server.requests()))
    return next(line for line in server.requests() if line["request_id"] == id)


async def test_a_whole_answer_says_who_gave_it_and_what_it_cost(
    server: Server, client: Client, far: Provider
):
    status, headers, body = await client.answer(
        "chat", headers={"Authorization": "Bearer sk-mine", "Cookie": "a=b"}
    )
    assert (status, body["model"]) == (200, "org/chat")
    assert headers["x-pilotlight-served-by"] == "far"
    assert headers["x-pilotlight-start"] == "burst"
    assert float(headers["x-pilotlight-cost-usd"]) == pytest.approx(COST)
    line = await logged(server, headers["x-pilotlight-request-id"])
    assert (line["provider"], line["start"], line["cost_usd"]) == ("far", "burst", pytest.approx(COST))
    assert (line["prompt_tokens"], line["output_tokens"], line["tokens_from"]) == (5, 2, "usage")
    (seen,) = far.seen
    assert seen.path == "/v1/chat/completions"
    assert seen.headers["authorization"] == f"Bearer {KEY}"
    assert seen.headers["x-extra"] == "yes"
    assert seen.headers["accept-encoding"] == "identity"
    assert b"sk-mine" not in seen.raw
    assert "cookie" not in seen.headers
    assert (seen.body["model"], seen.body["max_tokens"]) == ("org/chat", 4096)


async def test_a_stream_ends_with_what_it_cost(server: Server, client: Client, far: Provider):
    status, headers, text = await client.answer("chat", stream=True)
    assert status == 200
    assert headers["x-pilotlight-served-by"] == "far"
    assert events(text)[-1] == "[DONE]"
    (said,) = comments(text)
    assert said == f": x-pilotlight-served-by=far x-pilotlight-cost-usd={COST:.9f}"
    line = await logged(server, headers["x-pilotlight-request-id"])
    assert line["cost_usd"] == pytest.approx(COST)
    assert server.metric("pilotlight_provider_spend_usd_total", provider="far") == pytest.approx(COST)
    assert server.metric("pilotlight_provider_requests_total", provider="far", outcome="ok") == 1
    assert server.metric("pilotlight_cold_rate", model="chat") == 0
    (row,) = server.get("/providers")["providers"]
    assert (row["id"], row["in_flight"], row["requests"], row["reserved_usd"]) == ("far", 0, 1, 0)
    assert row["spent"]["month"] == pytest.approx(COST)


async def test_a_stream_is_passed_on_as_it_comes_byte_for_byte(server: Server, client: Client, far: Provider):
    """However the provider ends its lines, and wherever its bytes are parted: only our comment is added."""
    go = asyncio.Event()
    first = event(Seen(b"", "", {}, {"model": "org/chat"}), "naïve ✓") + b": its own word\r\n\r\n"
    rest = 'event: odd\r\nid: 7\r\ndata: {"x": "ü✓",\r\ndata:  "y" : 1}\r\n\r\nretry: 5\n\n'.encode()
    end = b"data: [DONE]\n\n"

    async def script(wire: Wire, seen: Seen) -> None:
        await wire.stream_head()
        await wire.part(first)
        await go.wait()
        for i in range(len(rest)):  # in the middle of a letter, too
            await wire.part(rest[i : i + 1])
        await wire.part(end)
        await wire.end()

    far.script = script
    async with asyncio.timeout(DEADLINE), client.chat("chat", stream=True) as response:
        begun = await response.content.readexactly(len(first))
        assert begun == first, "it is here while the rest is yet to come"
        go.set()
        over = await response.content.read()
    said, comment, end_too = over.partition(b": x-pilotlight-served-by=far x-pilotlight-cost-usd=")
    assert (said, comment != b"", end_too.partition(b"\n\n")[2]) == (rest, True, end)


async def test_an_openai_client_reads_both(server: Server, client: Client):
    async with openai.AsyncOpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0) as it:
        hi: Any = [{"role": "user", "content": "hi"}]
        whole = await it.chat.completions.create(model="chat", messages=hi)
        assert whole.choices[0].message.content == "from afar"
        stream = await it.chat.completions.create(model="chat", messages=hi, stream=True)
        said = [chunk.choices[0].delta.content async for chunk in stream]
        assert said == ["p0 ", "p1 ", "p2 "]


async def test_what_may_not_leave_waits(server: Server, client: Client, far: Provider, cold: StandIn):
    waiting = [
        asyncio.ensure_future(client.answer("home")),
        asyncio.ensure_future(client.answer("chat", headers={"x-pilotlight-leave-house": "deny"})),
    ]
    await eventually(lambda: server.held("home") == 1 and server.held("chat") == 1)
    cold.open()
    for status, headers, _ in await asyncio.gather(*waiting):
        assert (status, headers["x-pilotlight-start"]) == (200, "cold")
        assert headers["x-pilotlight-served-by"].rsplit("-", 1)[0] in ("home", "chat"), "a replica's name"
    assert far.bytes_in == 0


async def test_the_command_line_shows_providers(server: Server, client: Client):
    await client.answer("chat")
    command = [sys.executable, "-m", "pilotlight.cli.main", "providers", "--port", str(server.port)]
    for more, words in ((), ["far", "well", "$0.0035"]), (("--json",), ['"breaker": "closed"']):
        done = await asyncio.to_thread(
            subprocess.run, [*command, *more], env=server.env, capture_output=True, text=True, check=True
        )
        assert all(word in done.stdout for word in words), done.stdout


async def test_a_header_that_is_neither_is_refused(server: Server, client: Client):
    for header in ("x-pilotlight-leave-house", "x-pilotlight-hedge"):
        status, _, body = await client.answer("chat", headers={header: "maybe"})
        assert (status, body["error"]["param"]) == (400, header)


async def test_a_pilotlight_is_a_provider(tmp_path: Path):
    """One that is cold itself: its signs of life are no answer."""
    near, far = (StandIn(tmp_path / name, "chat", gated=name == "near") for name in ("near", "far"))
    with Server(tmp_path / "b", {"models": {"chat": {**far.model, "aliases": ["m"]}}}) as other:
        providers = {"other": {"base_url": f"{other.url}/v1", "models": {"chat": "m"}}}
        model = {**near.model, "burst": {"provider": "other"}}
        config = {"models": {"chat": model}, "providers": providers}
        with Server(tmp_path / "a", config) as server:
            async with client_of(server) as client:
                status, headers, text = await client.answer("chat", stream=True)
                assert (status, headers["x-pilotlight-start"]) == (200, "burst")
                assert len(events(text)) == 4


async def _responses(wire: Wire, seen: Seen) -> None:
    """As OpenAI does it: the whole answer in the last event."""
    answer = {"model": seen.body["model"], "usage": None}
    await wire.stream_head()
    await wire.part(b"event: a\ndata: " + json.dumps({"response": answer}).encode() + b"\n\n")
    await wire.part(b'event: b\ndata: {"delta":"hi"}\n\n')
    used = {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7}
    whole = {"response": {**answer, "usage": used, "output": "hi" * 8192}}
    await wire.part(b"event: c\ndata: " + json.dumps(whole).encode() + b"\n\n")
    await wire.part(b"data:[DONE]\n\n")
    await wire.end()


async def _messages(wire: Wire, seen: Seen) -> None:
    """As Anthropic does it, without the blank after the colon."""
    start = {"model": seen.body["model"], "usage": {"input_tokens": 5, "output_tokens": 1}}
    await wire.stream_head()
    await wire.part(b": hello\n\n")
    await wire.part(b"event: a\ndata:" + json.dumps({"message": start}).encode() + b"\n\n")
    await wire.part(b'event: b\ndata:{"delta":"hi"}\n\n')
    await wire.part(b'event: c\ndata:{"usage":{"output_tokens":2}}\n\n')
    await wire.part(b'event: d\ndata:{"type":"message_stop"}\n\n')
    await wire.end()


@pytest.mark.parametrize(("path", "script"), [("responses", _responses), ("messages", _messages)])
async def test_every_paths_stream_is_charged_by_what_it_says_it_used(
    server: Server, client: Client, far: Provider, path: str, script: Script
):
    far.script = script
    status, headers, text = await client.answer("chat", stream=True, path=f"/v1/{path}")
    line = await logged(server, headers["x-pilotlight-request-id"])
    assert (line["prompt_tokens"], line["output_tokens"], line["tokens_from"]) == (5, 2, "usage")
    assert (status, line["cost_usd"]) == (200, pytest.approx(COST))
    assert f"x-pilotlight-cost-usd={COST:.9f}" in text.partition("data:[DONE]")[0]


async def test_an_endpoint_with_a_version_in_its_address_and_the_newer_limit(
    tmp_path: Path, far: Provider, cold: StandIn
):
    declared = far.declared(
        limit_field="max_completion_tokens", keep_warm={"model": "chat", "every": "100ms"}
    )
    declared["base_url"] += "?api-version=2"
    config = {"models": {"chat": cold.model}, "providers": {"far": declared}}
    with Server(tmp_path / "server", config, env=KEY_ENV, patience=(60, 60, 60)) as server:
        async with client_of(server) as client:
            _, headers, _ = await client.answer("chat")
            assert headers["x-pilotlight-served-by"] == "far"
            await eventually(lambda: len(far.seen) > 1, "it is not pinged")
        assert {seen.path for seen in far.seen} == {"/v1/chat/completions?api-version=2"}
        assert {seen.body["max_completion_tokens"] for seen in far.seen} == {1, 4096}, (
            "a ping's, and the other's"
        )
        assert all("max_tokens" not in seen.body for seen in far.seen)
