"""What a provider charged is on the bill, under who asked, and counts against the month's budget after a restart."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fault.provider_kit import KEY_ENV, provider, well
from integration.kit import Server, StandIn, client_of, eventually

PRICE = {"request_usd": 0.001}


@asynccontextmanager
async def served(folder: Path, config: dict[str, Any]) -> AsyncIterator[Server]:
    server = await asyncio.to_thread(Server(folder, config, env=KEY_ENV).__enter__)
    try:
        yield server
    finally:
        await asyncio.to_thread(server.__exit__, None)


async def bill(server: Server, by: str) -> dict[str, Any]:
    async with client_of(server) as client:
        headers = {"Authorization": f"Bearer {server.token}"}
        async with client.session.get(f"{server.url}/cost?by={by}", headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()


def usd(answer: dict[str, Any]) -> dict[str, float]:
    return {line["name"]: line["usd"] for line in answer["lines"]}


async def test_what_was_spent_is_billed_once_and_remembered(tmp_path: Path):
    async with provider(well()) as far:
        cold = StandIn(tmp_path, "chat", gated=True, burst={"provider": "far"})
        budget = {"month_usd": 0.0015}
        config = {
            "models": {"chat": cold.model},
            "providers": {"far": far.declared(price=PRICE, budget=budget)},
        }
        async with served(tmp_path / "server", config) as server, client_of(server) as client:
            status, headers, _ = await client.answer("chat")
            assert (status, headers["x-pilotlight-served-by"]) == (200, "far")
            assert usd(await bill(server, "provider"))["far"] == pytest.approx(0.001)
            assert usd(await bill(server, "rung"))["burst"] == pytest.approx(0.001)
            assert (await bill(server, "class"))["provider_usd"] == pytest.approx(0.001)
            assert "standard" in usd(await bill(server, "class"))
        async with served(tmp_path / "server", config) as server, client_of(server) as client:
            asked = asyncio.ensure_future(client.answer("chat"))
            await eventually(lambda: server.held("chat") == 1, "nothing is left of the month: it waits")
            assert len(far.seen) == 1
            asked.cancel()
            assert usd(await bill(server, "provider"))["far"] == pytest.approx(0.001)
