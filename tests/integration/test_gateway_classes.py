"""Critical, standard and batch requests on a real server: headers, keys, order, a full queue."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from integration.kit import Client, Server, StandIn, client_of, eventually

SECRETS = {"BATCH_KEY": "sk-batch-0123456789", "VIP_KEY": "sk-vip-0123456789", "ANY_KEY": "sk-any-0123456789"}
MODELS = ("busy", "full", "cold", "due")


def bearer(name: str, request_class: str | None = None) -> dict[str, str]:
    headers = {"Authorization": f"Bearer {SECRETS[name]}"}
    return headers if request_class is None else {**headers, "x-pilotlight-class": request_class}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, StandIn]:
    folder = tmp_path_factory.mktemp("classes")
    special: dict[str, dict[str, Any]] = {
        "busy": {"max_requests": 1, "target_requests": 1},
        "full": {"gated": True, "max_pending_requests": 2},
        "cold": {"gated": True},
        "due": {"batch_deadline": 0.3},
    }
    return {name: StandIn(folder, name, **special[name]) for name in MODELS}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, models: dict[str, StandIn]) -> Iterator[Server]:
    config = {
        "models": {name: m.model for name, m in models.items()},
        "api_keys": [
            {"name": "batch", "key_env": "BATCH_KEY", "class": "batch"},
            {"name": "vip", "key_env": "VIP_KEY", "class": "critical"},
            {"name": "any", "key_env": "ANY_KEY"},
        ],
        "objective": {"wait": "50ms"},
    }
    with Server(tmp_path_factory.mktemp("server"), config, env=SECRETS, patience=(60, 60, 60)) as running:
        yield running


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    async with client_of(server) as it:
        yield it
    server.at_rest()


async def held(server: Server, model: str, count: int) -> None:
    await eventually(lambda: server.held(model) == count, f"not {count} held")


@pytest.mark.parametrize(
    ("header", "status", "code"),
    [
        ({"x-pilotlight-class": "urgent"}, 400, "invalid_class"),
        ({"x-pilotlight-class": "critical"}, 403, "class_not_allowed"),
        ({"x-pilotlight-stand-in": "maybe"}, 400, "invalid_stand_in"),
    ],
)
async def test_what_may_not_be_asked_is_refused_in_openais_words(
    client: Client, header: dict[str, str], status: int, code: str
):
    said = await client.answer("busy", headers={**bearer("ANY_KEY"), **header})
    assert (said[0], said[2]["error"]["code"]) == (status, code)
    assert said[1]["x-pilotlight-start"] == "none"
    assert said[2]["error"]["param"] in header
    assert set(said[2]["error"]) == {"message", "type", "param", "code"}


async def test_critical_goes_first_and_batch_last(
    server: Server, client: Client, models: dict[str, StandIn], tmp_path: Path
):
    busy = models["busy"]
    gate = tmp_path / "go"

    def ask(id: str, headers: dict[str, str], **more: Any) -> asyncio.Task[Any]:
        return asyncio.create_task(client.answer("busy", id=id, headers=headers, **more))

    tasks = [ask("first", bearer("ANY_KEY"), do={"gate": str(gate)})]
    await busy.sees("request", request="first")
    order = [
        ("b1", bearer("BATCH_KEY")),
        ("s1", bearer("ANY_KEY")),
        ("b2", bearer("ANY_KEY", "batch")),
        ("c1", bearer("VIP_KEY")),
        ("s2", bearer("VIP_KEY", "standard")),
        ("c2", bearer("VIP_KEY", "critical")),
    ]
    for n, (id, headers) in enumerate(order, 1):
        tasks.append(ask(id, headers))
        await held(server, "busy", n)
    assert server.metric("pilotlight_held_requests", model="busy") == 6
    gate.touch()
    assert {status for status, _, _ in await asyncio.gather(*tasks)} == {200}
    served = [e["request"] for e in busy.seen("request") if e["request"] is not None]
    assert served == ["first", "c1", "c2", "s1", "s2", "b1", "b2"]
    (entry,) = busy.seen("request", request="c2")
    assert not [k for k, _ in entry["headers"] if k.lower() == "x-pilotlight-class"], "it was said to us"


async def test_the_request_log_has_the_class_and_whether_a_stand_in_may_answer(
    server: Server, client: Client
):
    allow = {"x-pilotlight-stand-in": "allow"}
    asked = [{**bearer("VIP_KEY", "critical"), **allow}, bearer("VIP_KEY", "standard")]
    answers = [await client.answer("busy", headers=headers) for headers in asked]
    first, second = (headers["x-pilotlight-request-id"] for _, headers, _ in answers)
    await eventually(lambda: any(line["request_id"] == second for line in server.requests()))
    lines = {line["request_id"]: line for line in server.requests()}
    assert (lines[first]["request_class"], lines[first]["stand_in"]) == ("critical", "allow")
    assert not {"request_class", "stand_in"} & lines[second].keys()


async def test_in_a_full_queue_batch_makes_way(server: Server, client: Client, models: dict[str, StandIn]):
    batch = []
    for n in (1, 2):
        batch.append(asyncio.create_task(client.answer("full", headers=bearer("BATCH_KEY"))))
        await held(server, "full", n)
    assert not server.running("full"), "batch starts nothing"
    critical = asyncio.create_task(client.answer("full", headers=bearer("VIP_KEY")))
    status, headers, body = await batch[1]
    assert (status, body["error"]["code"]) == (429, "too_many_pending_requests")
    assert headers["Retry-After"] == "2"
    await held(server, "full", 2)
    assert (await client.answer("full", headers=bearer("BATCH_KEY")))[0] == 429
    models["full"].open()
    assert [(await task)[0] for task in (critical, batch[0])] == [200, 200]


async def test_a_batch_request_waits_for_others_and_is_never_cold(
    server: Server, client: Client, models: dict[str, StandIn]
):
    waits = asyncio.create_task(client.answer("cold", headers=bearer("BATCH_KEY")))
    await held(server, "cold", 1)
    other = asyncio.create_task(client.answer("cold", headers=bearer("ANY_KEY")))
    await held(server, "cold", 2)
    await asyncio.sleep(0.1)  # more than the objective, so that it counts as cold however fast a start is
    models["cold"].open()
    status, headers, _ = await other
    assert (status, headers["x-pilotlight-start"]) == (200, "cold")
    status, headers, _ = await waits
    assert (status, headers["x-pilotlight-start"]) == (200, "warm")
    trace = server.get(f"/traces/{headers['x-pilotlight-request-id']}")
    assert (trace["class"], trace["start_wait_s"]) == ("batch", 0.0)
    assert trace["queue_s"] > 0
    assert server.metric("pilotlight_cold_rate", model="cold") == 1.0, "the batch request is not in it"


async def test_past_its_deadline_it_has_a_replica_started(server: Server, client: Client):
    assert (await client.answer("due", headers=bearer("BATCH_KEY")))[0] == 200
    assert len(server.running("due")) == 1
