"""Another model answers while the one that was asked for starts, on a real server."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from integration.kit import Client, Server, StandIn, client_of, events, eventually

SECRETS = {"ANY_KEY": "sk-any-0123456789", "MAY_KEY": "sk-may-0123456789", "BIG_KEY": "sk-big-0123456789"}
ALLOW = {"x-pilotlight-stand-in": "allow"}
NAMES = ("whole", "stream", "keyed", "single", "dies", "slow")


def bearer(name: str = "ANY_KEY") -> dict[str, str]:
    return {"Authorization": f"Bearer {SECRETS[name]}"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, StandIn]:
    folder = tmp_path_factory.mktemp("standing-in")
    big = {name: StandIn(folder, name, gated=True, stand_in="small") for name in NAMES}
    small = StandIn(folder, "small", served_name="org/small", request_timeout="2s", min_replicas=1)
    return {**big, "small": small}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, models: dict[str, StandIn]) -> Iterator[Server]:
    config = {
        "models": {name: m.model for name, m in models.items()},
        "api_keys": [
            {"name": "any", "key_env": "ANY_KEY"},
            {"name": "may", "key_env": "MAY_KEY", "stand_in": True},
            {"name": "big", "key_env": "BIG_KEY", "models": list(NAMES), "stand_in": True},
        ],
    }
    with Server(tmp_path_factory.mktemp("server"), config, env=SECRETS, patience=(60, 60, 60)) as running:
        yield running


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    async with client_of(server) as it:
        await eventually(lambda: [r["state"] for r in server.running("small")] == ["ready"])
        yield it
    server.at_rest()


async def test_a_whole_answer_names_who_gave_it(server: Server, client: Client, models: dict[str, StandIn]):
    status, headers, body = await client.answer("whole", headers={**bearer(), **ALLOW}, id="w1", keep_alive=0)
    assert (status, body["model"]) == (200, "org/small")
    assert headers["x-pilotlight-served-model"] == "small"
    assert headers["x-pilotlight-start"] == "warm"
    (entry,) = models["small"].seen("request", request="w1")
    assert not [k for k, _ in entry["headers"] if k.lower() == "x-pilotlight-stand-in"]
    assert [r["state"] for r in server.running("whole")] == ["starting"], "its own start goes ahead"
    models["whole"].open()
    await eventually(lambda: [r["state"] for r in server.running("whole")] == ["ready"])
    _, headers, body = await client.answer("whole", headers={**bearer(), **ALLOW})
    assert body["model"] == "whole"
    assert "x-pilotlight-served-model" not in headers


async def test_the_log_the_trace_and_the_metrics_say_both_names(server: Server, client: Client):
    before = server.metric("pilotlight_stood_in_total", model="slow", served_model="small") or 0
    _, headers, _ = await client.answer("slow", headers={**bearer(), **ALLOW})
    id = headers["x-pilotlight-request-id"]
    trace = server.get(f"/traces/{id}")
    assert (trace["model"], trace["served_model"], trace["start"]) == ("slow", "small", "warm")
    await eventually(lambda: any(line["request_id"] == id for line in server.requests()))
    (line,) = (line for line in server.requests() if line["request_id"] == id)
    assert (line["model"], line["served_model"], line["start"]) == ("slow", "small", "warm")
    assert line["replica"].startswith("small-")
    after = server.metric("pilotlight_stood_in_total", model="slow", served_model="small")
    assert after == before + 1
    assert server.metric("pilotlight_requests_total", model="slow", start="warm")


async def test_a_stream_begins_at_once(client: Client):
    status, headers, text = await client.answer("stream", headers={**bearer(), **ALLOW}, stream=True)
    assert (status, headers["x-pilotlight-served-model"]) == (200, "small")
    assert events(text)[-1] == "[DONE]"


async def test_a_key_may_allow_it_and_a_request_deny_it(
    server: Server, client: Client, models: dict[str, StandIn]
):
    _, headers, _ = await client.answer("keyed", headers=bearer("MAY_KEY"))
    assert headers["x-pilotlight-served-model"] == "small"
    denied = {**bearer("MAY_KEY"), "x-pilotlight-stand-in": "deny"}
    others = [denied, bearer(), {**bearer("BIG_KEY"), **ALLOW}]
    waits = [asyncio.create_task(client.answer("keyed", headers=headers)) for headers in others]
    await eventually(lambda: server.held("keyed") == 3)
    models["keyed"].open()
    for status, headers, body in await asyncio.gather(*waits):
        assert (status, body["model"]) == (200, "keyed")
        assert "x-pilotlight-served-model" not in headers


async def test_a_stand_in_that_fails_the_request_leaves_it_to_the_model_that_was_asked_for(
    server: Server, client: Client, models: dict[str, StandIn], tmp_path: Path
):
    asked = asyncio.create_task(
        client.answer(
            "dies", headers={**bearer(), **ALLOW}, do={"drop": "now", "only": str(tmp_path / "one")}
        )
    )
    await eventually(lambda: server.held("dies") == 1)
    models["dies"].open()
    status, headers, body = await asked
    assert (status, body["model"]) == (200, "dies")
    assert "x-pilotlight-served-model" not in headers
    assert headers["x-pilotlight-start"] == "cold"


async def test_a_stand_in_that_is_silent_is_given_up_in_its_own_time(client: Client):
    status, headers, body = await client.answer("slow", headers={**bearer(), **ALLOW}, do={"hang": True})
    assert (status, body["error"]["code"]) == (504, "engine_timeout")
    assert "2 s" in body["error"]["message"]
    assert headers["x-pilotlight-served-model"] == "small"
