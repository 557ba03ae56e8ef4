"""Many requests, little money, providers that come and go, and a server that is restarted: over real HTTP."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from fault import provider_kit as kit
from fault.provider_ground import of, up
from fault.provider_kit import Seen, Wire, provider, well
from integration.kit import StandIn, eventually

PRICE = {"request_usd": 1.0, "million_output_usd": 1e6}
MOST = 10
"""Tokens of an answer: with the dollar for the request it costs 11 at its dearest, and 3 in truth."""
USAGE = {"prompt_tokens": 5, "completion_tokens": 2}


async def test_a_budget_that_ends_in_the_middle_of_a_burst_is_never_exceeded(tmp_path: Path):
    """200 at once. Each is set aside at its dearest before it is sent, so not even the ones in flight exceed it."""
    budget, seen_most = 200.0, 0.0
    async with provider(well(after=0.05, usage=USAGE)) as far:
        model = StandIn(tmp_path, "chat", gated=True, burst={"provider": "far"}, max_pending_requests=500)
        declared = far.declared(price=PRICE, budget={"month_usd": budget}, max_requests=64)
        config = {"models": {"chat": model.model}, "providers": {"far": declared}}
        async with up(tmp_path / "s", config) as client:
            waiting = [
                asyncio.ensure_future(client.answer("chat", stream=i % 2 == 0, max_tokens=MOST))
                for i in range(200)
            ]

            def spent_out() -> bool:
                nonlocal seen_most
                row = of(client)
                seen_most = max(seen_most, row["spent"]["month"] + row["reserved_usd"])
                return row["in_flight"] == 0 and row["left"]["month"] < 11

            await eventually(spent_out)
            row = of(client)
            assert seen_most <= budget
            assert row["spent"]["month"] == 3 * len(far.seen)
            assert budget - 11 < row["spent"]["month"] <= budget
            model.open()
            answers = await asyncio.gather(*waiting)
            assert [status for status, _, _ in answers] == [200] * 200
            burst = [h for _, h, _ in answers if h["x-pilotlight-start"] == "burst"]
            assert len(burst) == len(far.seen)
            await eventually(lambda: len(client.server.requests()) == 200)
            logged = sum(x["cost_usd"] for x in client.server.requests() if "provider" in x)
            assert logged == of(client)["spent"]["month"], "the log and the budget are one"
            metric = client.server.metric("pilotlight_provider_spend_usd_total", provider="far")
            assert metric == pytest.approx(logged)


async def test_what_was_spent_survives_a_restart(tmp_path: Path):
    async with provider(well(usage=USAGE)) as far:
        model = StandIn(tmp_path, "chat", gated=True, burst={"provider": "far"})
        declared = far.declared(price=PRICE, budget={"month_usd": 14.0})
        config = {"models": {"chat": model.model}, "providers": {"far": declared}}
        async with up(tmp_path / "s", config) as client:
            _, headers, _ = await client.answer("chat", max_tokens=MOST)
            assert headers["x-pilotlight-served-by"] == "far"
        async with up(tmp_path / "s", config) as client:
            assert of(client)["spent"]["month"] == 3
            assert of(client)["left"]["month"] == 11
            _, headers, _ = await client.answer("chat", max_tokens=MOST)
            assert headers["x-pilotlight-served-by"] == "far"
        async with up(tmp_path / "s", config) as client:
            asked = asyncio.ensure_future(client.answer("chat", max_tokens=MOST))
            await eventually(lambda: client.server.held("chat") == 1)
            model.open()
            _, headers, _ = await asked
            assert headers["x-pilotlight-start"] == "cold", "6 of 14 are spent, and 11 more could be"
        assert len(far.seen) == 2


async def test_a_provider_that_is_ill_by_turns_loses_no_request(tmp_path: Path):
    """The breaker opens, tries, closes and opens again; whoever it fails has another provider's answer."""
    ill = False

    async def by_turns(wire: Wire, seen: Seen) -> None:
        nonlocal ill
        ill = len(far.seen) // 7 % 2 == 1
        await (kit.answers(500) if ill else well())(wire, seen)

    async with provider(by_turns) as far, provider(well()) as spare:
        model = StandIn(tmp_path, "chat", gated=True, burst={"provider": ["far", "spare"]})
        config = {
            "models": {"chat": model.model},
            "providers": {"far": far.declared(), "spare": spare.declared(first_token="1s")},
        }
        async with up(tmp_path / "s", config) as client:
            for i in range(60):
                status, headers, _ = await client.answer("chat", stream=i % 2 == 0)
                assert status == 200
                assert headers["x-pilotlight-start"] == "burst"
            assert of(client)["failures"] == sum(1 for i in range(len(far.seen)) if (i + 1) // 7 % 2 == 1)
            assert spare.seen
            assert (of(client)["in_flight"], of(client, "spare")["in_flight"]) == (0, 0)


async def test_a_provider_that_a_reload_removes_ends_what_it_has(tmp_path: Path):
    async with provider(well(every=0.1, events=5)) as far:
        model = StandIn(tmp_path, "chat", gated=True, burst={"provider": "far"})
        with_it = {"models": {"chat": model.model}, "providers": {"far": far.declared()}}
        without: dict[str, Any] = {"models": {"chat": {k: v for k, v in model.model.items() if k != "burst"}}}
        async with up(tmp_path / "s", with_it) as client:
            asked = asyncio.ensure_future(client.answer("chat", stream=True))
            await eventually(lambda: len(far.seen) == 1)
            client.server.write(without)
            await asyncio.to_thread(client.server.post, "/reload")
            _, headers, text = await asked
            assert headers["x-pilotlight-served-by"] == "far"
            assert text.rstrip().endswith("[DONE]")
            assert client.server.get("/providers") == {"providers": []}
            later = asyncio.ensure_future(client.answer("chat"))
            await eventually(lambda: client.server.held("chat") == 1)
            model.open()
            assert (await later)[1]["x-pilotlight-start"] == "cold"


async def test_a_server_that_leaves_lets_a_providers_answer_end(tmp_path: Path):
    async with provider(well(every=0.1, events=10)) as far:
        model = StandIn(tmp_path, "chat", gated=True, burst={"provider": "far"})
        config = {"models": {"chat": model.model}, "providers": {"far": far.declared()}}
        async with up(tmp_path / "s", config) as client:
            asked = asyncio.ensure_future(client.answer("chat", stream=True))
            await eventually(lambda: len(far.seen) == 1)
            leaving = asyncio.ensure_future(asyncio.to_thread(client.server.process.terminate))
            _, _, text = await asked
            await leaving
            assert "[DONE]" in text


async def test_pings_keep_a_provider_warm_and_are_paid_for(tmp_path: Path):
    async with provider(well(usage=USAGE)) as far:
        model = StandIn(tmp_path, "chat", gated=True, burst={"provider": "far"})
        keep = {"model": "chat", "requests": 2, "every": "200ms"}
        declared = far.declared(price=PRICE, keep_warm=keep, idle_timeout="1s", budget={"day_usd": 13.0})
        config = {"models": {"chat": model.model}, "providers": {"far": declared}}
        async with up(tmp_path / "s", config) as client:
            await eventually(lambda: len(far.seen) >= 4)
            assert {seen.body["max_tokens"] for seen in far.seen} == {1}
            assert {seen.body["model"] for seen in far.seen} == {"chat"}
            await eventually(lambda: of(client)["in_flight"] == 0 and of(client)["left"]["day"] < 2)
            assert of(client)["spent"]["day"] <= 13
            assert of(client)["requests"] == 0, "a ping is no request"
