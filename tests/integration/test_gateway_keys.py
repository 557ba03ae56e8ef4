"""Who may ask for what, on a real server with keys."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from integration.kit import Client, Server, StandIn, client_of, eventually

SECRETS = {
    "TEAM_A_KEY": "sk-team-a-0123456789",
    "OPS_KEY": "sk-ops-0123456789",
    "SLOW_KEY": "sk-slow-0123456789",
    "UMLAUT_KEY": "sk-ü-0123456789",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("keys")
    chat = StandIn(folder, "chat", aliases=["gpt-4o-mini"])
    other = StandIn(folder, "other")
    config = {
        "models": {"chat": chat.model, "other": other.model},
        "api_keys": [
            {"name": "team-a", "key_env": "TEAM_A_KEY", "models": ["gpt-4o-mini"]},
            {"name": "ops", "key_env": "OPS_KEY", "admin": True},
            {"name": "slow", "key_env": "SLOW_KEY", "requests_per_minute": 2},
            {"name": "umlaut", "key_env": "UMLAUT_KEY"},
        ],
    }
    with Server(tmp_path_factory.mktemp("server"), config, env=SECRETS, patience=(60, 60, 60)) as running:
        yield running


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    async with client_of(server) as it:
        yield it
    server.at_rest()


def bearer(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {SECRETS[name]}"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer sk-wrong"},
        {"Authorization": "sk-team-a-0123456789"},
        {"Authorization": "Basic sk-team-a-0123456789"},
        {"Authorization": "Bearer " + SECRETS["TEAM_A_KEY"][:-1]},
        {"x-api-key": "sk-wrong"},
        {"Authorization": "Bearer \udcff"},
    ],
)
async def test_without_a_valid_key_nothing_is_told(server: Server, client: Client, headers: dict[str, str]):
    for path in ("/v1/chat/completions", "/v1/embeddings"):
        async with client.chat("chat", headers=headers, path=path) as response:
            assert response.status == 401
            assert response.headers["WWW-Authenticate"] == "Bearer"
            error = (await response.json())["error"]
            assert error["code"] == "invalid_api_key"
    for path in ("/v1/models", "/v1/models/chat", "/running", "/metrics", "/traces", "/traces/x"):
        async with client.session.get(server.url + path, headers=headers) as response:
            assert response.status == 401
    orders = ("warm", "stop", "sleep", "wake_up")
    for path in (*(f"/models/chat/{order}" for order in orders), "/reload"):
        async with client.session.post(server.url + path, headers=headers) as response:
            assert response.status == 401
    async with client.session.get(server.url + "/health", headers=headers) as response:
        assert response.status == 200


@pytest.mark.parametrize(
    "headers",
    [
        bearer("OPS_KEY"),
        {"Authorization": "bearer  " + SECRETS["OPS_KEY"] + " "},
        {"Authorization": "BEARER " + SECRETS["OPS_KEY"]},
        {"x-api-key": SECRETS["OPS_KEY"]},
        {"x-api-key": SECRETS["OPS_KEY"], "Authorization": "Basic b3RoZXI="},
        bearer("UMLAUT_KEY"),
    ],
)
async def test_a_valid_key_in_any_of_its_forms(client: Client, headers: dict[str, str]):
    assert (await client.answer("chat", headers=headers))[0] == 200


async def test_a_key_reaches_its_models_by_every_name_and_no_others(server: Server, client: Client):
    mine = bearer("TEAM_A_KEY")
    for name in ("chat", "gpt-4o-mini"):
        assert (await client.answer(name, headers=mine))[0] == 200
    status, _, body = await client.answer("other", headers=mine)
    assert (status, body["error"]["code"]) == (404, "model_not_found")
    async with client.session.get(server.url + "/v1/models", headers=mine) as response:
        assert {c["id"] for c in (await response.json())["data"]} == {"chat", "gpt-4o-mini"}
    async with client.session.get(server.url + "/v1/models/other", headers=mine) as response:
        assert response.status == 404
    async with client.session.get(server.url + "/v1/models", headers=bearer("OPS_KEY")) as response:
        assert {c["id"] for c in (await response.json())["data"]} == {"chat", "gpt-4o-mini", "other"}


async def test_admin_routes_need_an_admin_key(server: Server, client: Client):
    for method, path in (
        ("GET", "/running"), ("GET", "/metrics"), ("GET", "/traces"), ("GET", "/traces/x"),
        ("POST", "/models/chat/warm"), ("POST", "/models/chat/stop"), ("POST", "/reload"),
        ("POST", "/models/chat/sleep"), ("POST", "/models/chat/wake_up"), ("GET", "/models/chat/is_sleeping"),
        ("GET", "/models/chat/explain"),
    ):  # fmt: skip
        async with client.session.request(
            method, server.url + path, headers=bearer("TEAM_A_KEY")
        ) as response:
            assert response.status == 403
            assert (await response.json())["error"]["code"] == "admin_key_required"
    async with client.session.get(server.url + "/running", headers=bearer("OPS_KEY")) as response:
        assert response.status == 200


async def test_a_rate_limit_says_when_to_come_back(server: Server, client: Client):
    mine = bearer("SLOW_KEY")
    assert [(await client.answer("chat", headers=mine))[0] for _ in range(2)] == [200, 200]
    status, headers, body = await client.answer("chat", headers=mine)
    assert status == 429
    assert 1 <= int(headers["Retry-After"]) <= 30
    assert body["error"]["code"] == "rate_limit_exceeded"
    assert body["error"]["type"] == "rate_limit_error"
    assert "'slow'" in body["error"]["message"]
    assert server.metric("pilotlight_requests_total", code="429") == 1
    assert (await client.answer("chat", headers=bearer("OPS_KEY")))[0] == 200  # nobody else is limited


async def test_a_refusal_at_the_door_has_an_id_and_a_line(server: Server, client: Client):
    for headers, model, status, key in (
        ({}, "chat", 401, None),
        (bearer("TEAM_A_KEY"), "other", 404, "team-a"),
    ):
        before = server.metric("pilotlight_requests_total", model="-", code=str(status), start="none") or 0
        got, answered, _ = await client.answer(model, headers=headers)
        assert (got, answered["x-pilotlight-start"]) == (status, "none")
        id = answered["x-pilotlight-request-id"]
        await eventually(lambda id=id: any(r["request_id"] == id for r in server.requests()))
        (line,) = [r for r in server.requests() if r["request_id"] == id]
        assert (line["model"], line["status"], line["outcome"]) == ("-", status, "refused")
        assert line.get("key") == key
        after = server.metric("pilotlight_requests_total", model="-", code=str(status), start="none")
        assert after == before + 1


async def test_keys_are_named_and_never_shown(server: Server, client: Client):
    await client.answer("chat", headers=bearer("TEAM_A_KEY"))
    await eventually(lambda: any(r.get("key") == "team-a" for r in server.requests()))
    server.post("/reload")
    await asyncio.sleep(0)
    everything = server.log() + (server.state / "requests.jsonl").read_text() + server.get("/metrics")
    everything += str(server.get("/traces?model=chat"))
    for secret in (*SECRETS.values(), server.token):
        assert secret not in everything
