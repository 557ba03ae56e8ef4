"""Providers that mean harm, or whose makers did not read the standard: what they say stays without effect."""

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fault import provider_kit as kit
from fault.provider_ground import of, up
from fault.provider_kit import KEY, Provider, Script, Seen, Wire, completion, event, provider
from integration.kit import Client, StandIn, eventually

JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
MEGABYTE = b"y" * 2**20


TOKEN = "t0ken-of-a-header-of-its-own"


@contextlib.asynccontextmanager
async def ground(folder: Path, script: Script, **more: Any) -> AsyncIterator[tuple[Client, Provider]]:
    async with provider(script) as far:
        model = StandIn(folder, "chat", gated=True, burst={"provider": "far"})
        config = {"models": {"chat": model.model}, "providers": {"far": far.declared(**more)}}
        async with up(folder / "s", config, env={"FAR_TOKEN": TOKEN}) as client:
            yield client, far


async def declined(client: Client, stream: bool) -> str:
    """Why a request that is asked for now is not answered by the provider; what waits for a replica then leaves."""
    asked = asyncio.ensure_future(client.answer("chat", stream=stream))
    await eventually(lambda: of(client)["last_reason"] and client.server.held("chat") == 1)
    asked.cancel()
    await eventually(lambda: client.server.held("chat") == 0)
    assert of(client)["in_flight"] == 0
    return of(client)["last_reason"]


async def one_header(wire: Wire, seen: Seen) -> None:
    await wire.say(b"HTTP/1.1 200 OK\r\nX-A: ")
    for _ in range(300):
        await wire.say(MEGABYTE)


async def status_line(wire: Wire, seen: Seen) -> None:
    await wire.say(b"HTTP/1.1 200 ")
    for _ in range(300):
        await wire.say(MEGABYTE)


async def chunk_extension(wire: Wire, seen: Seen) -> None:
    await wire.say(JSON + b"Transfer-Encoding: chunked\r\n\r\n5;a=")
    for _ in range(300):
        await wire.say(MEGABYTE)


async def hints(wire: Wire, seen: Seen) -> None:
    while True:
        await wire.say(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000)


@pytest.mark.parametrize("script", [one_header, status_line, chunk_extension, hints])
async def test_a_head_that_never_ends_is_cut(tmp_path: Path, script: Script):
    """The parser would copy all of it with every piece: seconds in which nobody else is served."""
    async with ground(tmp_path, script) as (client, _):
        assert "its headers never end" in await declined(client, False)


async def test_a_trailer_that_never_ends_is_cut(tmp_path: Path):
    async def script(wire: Wire, seen: Seen) -> None:
        body = completion(seen)
        await wire.say(JSON + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\nX-T: " % (len(body), body))
        for _ in range(300):
            await wire.say(MEGABYTE)

    async with ground(tmp_path, script) as (client, _):
        status, _, body = await client.answer("chat")
        assert status == 502 and "its headers never end" in body["error"]["message"]


async def test_an_upgrade_that_nobody_asked_for_is_no_answer(tmp_path: Path):
    async def script(wire: Wire, seen: Seen) -> None:
        head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"
        await wire.say(head + b"\0" * 100)
        await asyncio.sleep(3600)

    async with ground(tmp_path, script) as (client, _):
        assert await declined(client, False) == "it wants to speak something else than HTTP"
        assert "exception" not in client.server.log().lower()


@pytest.mark.parametrize(
    ("begins", "reason"),
    [
        (b'data: {"id": "', "its stream's first event is larger than 1 MiB"),
        (b": ", "its stream has no event in"),
    ],
)
async def test_a_stream_that_begins_with_too_much_is_told_what_is_too_much(
    tmp_path: Path, begins: bytes, reason: str
):
    async def script(wire: Wire, seen: Seen) -> None:
        await wire.stream_head()
        await wire.part(begins)
        for _ in range(10):
            await wire.part(MEGABYTE)

    async with ground(tmp_path, script) as (client, _):
        assert (await declined(client, True)).startswith(reason)


SECRET = "what-the-client-wrote"


async def in_a_type(wire: Wire, seen: Seen) -> None:
    await wire.whole(200, completion(seen), f"text/{KEY}")


async def in_an_encoding(wire: Wire, seen: Seen) -> None:
    await wire.whole(200, completion(seen), "application/json", f"Content-Encoding: {KEY} {SECRET}")


async def in_a_redirect(wire: Wire, seen: Seen) -> None:
    await wire.whole(302, b"", "text/html", f"Location: http://{KEY}.example/{SECRET}")


async def in_a_model(wire: Wire, seen: Seen) -> None:
    await wire.whole(200, completion(seen, model=f"{KEY} {SECRET}\n\x1b[31m"))


@pytest.mark.parametrize("script", [in_a_type, in_an_encoding, in_a_redirect, in_a_model])
async def test_no_word_of_a_provider_brings_its_key_or_a_prompt_into_what_we_say(
    tmp_path: Path, script: Script
):
    async with ground(tmp_path, script) as (client, _):
        reason = await declined(client, False)
        server = client.server
        logs = "".join(path.read_text() for path in server.state.glob("*.jsonl"))
        said = reason + server.log() + json.dumps(server.get("/providers")) + server.get("/metrics") + logs
        for secret in (KEY, SECRET, "\x1b"):
            assert secret.lower() not in said.lower()


async def test_nor_does_a_token_that_a_header_of_its_own_has(tmp_path: Path):
    async def script(wire: Wire, seen: Seen) -> None:
        body = json.dumps({"error": seen.headers}).encode()
        await wire.whole(400, body, "application/json", f"x-request-id: {TOKEN}")

    async with ground(tmp_path, script, headers={"x-token": "Token ${FAR_TOKEN}"}) as (client, _):
        status, headers, body = await client.answer("chat")
        assert status == 400 and "x-token" in str(body)
        assert TOKEN not in str(headers) + str(body) + client.server.log()


async def test_a_key_that_is_repeated_does_not_reach_a_client(tmp_path: Path):
    async def script(wire: Wire, seen: Seen) -> None:
        if not seen.body.get("stream"):
            await wire.whole(
                400, json.dumps({"error": seen.headers}).encode(), "application/json", f"x-request-id: {KEY}"
            )
            return
        await wire.stream_head()
        await wire.part(event(seen, "a"))
        await wire.part(b'data: {"error": {"message": "wrong key %b"}}\n\n' % KEY.encode())
        await wire.part(b"data: [DONE]\n\n")
        await wire.end()

    async with ground(tmp_path, script) as (client, _):
        status, headers, body = await client.answer("chat")
        assert status == 400 and KEY not in str(headers) + str(body)
        status, headers, text = await client.answer("chat", stream=True)
        assert "wrong key ..." in text and KEY not in text


async def test_nor_does_one_that_comes_in_pieces(tmp_path: Path):
    """As it does where it lies over the end of a packet."""

    async def script(wire: Wire, seen: Seen) -> None:
        await wire.stream_head()
        await wire.part(event(seen, "a"))
        for piece in (f"data: {KEY[:7]}", f"{KEY[7:]}\n\n: {KEY[:3]}", KEY[3:]):
            await wire.part(piece.encode())
            await asyncio.sleep(0.1)  # or all is read at once
        await wire.end()

    async with ground(tmp_path, script) as (client, _):
        _, _, text = await client.answer("chat", stream=True)
        assert "data: ...\n\n" in text and text.endswith("\n\n: ...") and KEY not in text


async def test_a_stream_that_puts_all_into_one_event_is_paid_for_as_text(tmp_path: Path):
    """Who does not say `usage` is not cheaper for it."""

    async def script(wire: Wire, seen: Seen) -> None:
        await wire.stream_head()
        await wire.part(event(seen, "word " * 6000))
        await wire.part(b"data: [DONE]\n\n")
        await wire.end()

    price = {"million_output_usd": 1.0}
    async with ground(tmp_path, script, price=price) as (client, _):
        await client.answer("chat", stream=True, max_tokens=20_000)
        await eventually(lambda: of(client)["spent"]["month"] > 0)
        assert 0.009 < of(client)["spent"]["month"] < 0.011


async def test_of_a_ping_whose_answer_stops_coming_it_is_said_which_limit_ended_it(tmp_path: Path):
    async def script(wire: Wire, seen: Seen) -> None:
        await wire.say(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{")
        await asyncio.sleep(3600)

    keep = {"model": "chat", "every": "1s"}
    limits = {"idle_timeout": "2s", "request_timeout": "300ms"}
    async with ground(tmp_path, script, keep_warm=keep, **limits) as (client, _):
        await eventually(lambda: of(client)["last_reason"] != "")
        said = "its answer went without a byte for 0.3 s (request_timeout)"
        assert of(client)["last_reason"] == said


async def test_a_ping_that_gets_no_answer_keeps_no_server_from_leaving(tmp_path: Path):
    keep = {"model": "chat", "requests": 2, "every": "1s"}
    async with ground(tmp_path, kit.hangs, idle_timeout="2s", keep_warm=keep) as (client, far):
        await eventually(lambda: len(far.seen) == 2)
        client.server.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(client.server.process.wait, 10) == 0
