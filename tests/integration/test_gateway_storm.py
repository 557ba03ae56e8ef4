"""Many clients of every kind at once, and then: nothing left behind, and each told of once."""

import asyncio
import json
import random
import urllib.request
from collections import Counter
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from integration.kit import Server, StandIn, client_of, eventually

N = 300


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("storm")
    models = {
        "a": StandIn(folder, "a", max_replicas=2, max_requests=8, request_timeout="500ms", ttl=0),
        "b": StandIn(
            folder, "b", max_replicas=2, target_requests=16, request_timeout="500ms", max_pending_requests=20
        ),
    }
    config = {"models": {name: m.model for name, m in models.items()}}
    with Server(tmp_path_factory.mktemp("server"), config, patience=(0.05, 0.05, 0.05)) as running:
        yield running


async def test_a_storm(server: Server):
    dice = random.Random(7)  # the same storm each time, as far as its seeds go
    does: list[dict[str, Any]] = [
        {}, {}, {"every": 0.02}, {"drop": "now"}, {"drop": "head"}, {"drop": "middle"}, {"hang": True}, {"close": True},
        {"status": 500, "said": "no"}, {"status": 400, "said": '{"error":{"message":"x"}}'}, {"flood": 2_000_000},
    ]  # fmt: skip
    outcomes: Counter[str] = Counter()

    async def one(i: int) -> None:
        do = {"die": "middle"} if i % 60 == 30 else dice.choice(does)
        stream = dice.random() < 0.5 or "flood" in do
        stays = dice.choice([10, 10, 10, 0.3, 0.05, 0.001])
        await asyncio.sleep(dice.random())
        try:
            async with (
                asyncio.timeout(stays),
                client.chat(dice.choice("ab"), stream=stream, do=do, id=i) as response,
            ):
                text = await response.text()
        except TimeoutError:
            outcomes["left"] += 1
            assert stays < 10, f"request {i} got no answer: {do}"
            return
        except aiohttp.ClientError as e:
            raise AssertionError(f"request {i} met {e!r}: {do}") from e
        if stream and response.status == 200:
            assert text.endswith("\n\n")
            data = [line[6:] for line in text.splitlines() if line.startswith("data: ")]
            assert ("error" in data[-1]) != (data[-1] == "[DONE]"), (
                f"request {i} did not end once and well: {text}"
            )
            assert data.count("[DONE]") <= 1
            for event in data[:-1]:
                assert "choices" in json.loads(event)
        else:
            json.loads(text) if do.get("status") != 500 or "error" in text else text
        outcomes[str(response.status)] += 1

    async with client_of(server) as client:
        await asyncio.gather(*(one(i) for i in range(N)))
        await eventually(lambda: server.in_flight() == 0 and not server.get("/running")["held"])
        answered = sum(outcomes.values()) - outcomes["left"]
        await eventually(
            lambda: answered <= len(server.requests()) == server.metric("pilotlight_requests_total")
        )
        ids = [r["request_id"] for r in server.requests()]
        assert len(ids) == len(set(ids)) <= N, "a request was told of twice"
        for model in "ab":
            await eventually(lambda model=model: ok(client, model))
    assert outcomes["200"] > 50
    assert outcomes["left"] > 20


def ok(client: Any, model: str) -> bool:
    request = json.dumps({"model": model}).encode()
    asked = urllib.request.Request(client.server.url + "/v1/chat/completions", data=request)
    with urllib.request.urlopen(asked, timeout=20) as answer:
        return answer.status == 200
