"""What a provider charged is on the bill, under who asked, and counts against the month's budget after a restart."""

import asyncio
import re
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fault.provider_kit import KEY_ENV, provider, well
from integration.kit import DEADLINE, Server, StandIn, client_of, eventually

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


async def test_a_ping_is_billed_under_its_rung_to_the_model_that_it_asks_for_and_to_nobody(tmp_path: Path):
    async with provider(well()) as far:
        cold = StandIn(tmp_path, "chat", gated=True, burst={"provider": "far"})
        keep = {"model": "chat", "requests": 2, "every": "10m"}
        config = {
            "models": {"chat": cold.model},
            "providers": {
                "far": far.declared(price=PRICE, cold_start="1s", idle_timeout="15m", keep_warm=keep)
            },
        }
        async with served(tmp_path / "server", config) as server, client_of(server) as client:
            await eventually(lambda: len(far.seen) == 2)  # nobody has asked it yet, so it is pinged at once
            assert {seen.body["max_tokens"] for seen in far.seen} == {1}
            async with asyncio.timeout(DEADLINE):
                while (rungs := usd(await bill(server, "rung"))).get("pings", 0.0) < 0.0015:
                    await asyncio.sleep(0.01)
            assert rungs == {"pings": pytest.approx(0.002)}
            assert (await client.answer("chat"))[0] == 200
            answer = await bill(server, "rung")
            assert usd(answer) == {"pings": pytest.approx(0.002), "burst": pytest.approx(0.001)}
            assert (answer["pings_usd"], answer["provider_usd"]) == (
                pytest.approx(0.002),
                pytest.approx(0.003),
            )
            assert answer["replica_seconds"] == 0
            assert usd(await bill(server, "model")) == {"chat": pytest.approx(0.003)}
            assert usd(await bill(server, "class")) == {
                "": pytest.approx(0.002),
                "standard": pytest.approx(0.001),
            }
            told = await asyncio.to_thread(server.metric, "pilotlight_cost_usd_total", rung="pings")
            assert told == pytest.approx(0.002)
            said = await asyncio.to_thread(command, server, "--by", "rung")
            assert re.search(r"^pings +\$0.002 ", said, re.MULTILINE), said
            assert len(far.seen) == 3, "the next pings are due in ten minutes"


def command(server: Server, *words: str) -> str:
    """What `pilotlight cost` prints to somebody beside the server."""
    line = [str(Path(sys.executable).with_name("pilotlight")), "cost", "--since", "1h", *words]
    return subprocess.run(line, env=server.env, check=True, capture_output=True, text=True).stdout


async def test_what_was_spent_is_not_known_while_the_bill_is_locked_and_nothing_is_spent_until_then(
    tmp_path: Path,
):
    async with provider(well()) as far:
        cold = StandIn(tmp_path, "chat", gated=True, burst={"provider": "far"})
        config = {
            "models": {"chat": cold.model},
            "providers": {"far": far.declared(price=PRICE, budget={"month_usd": 0.0025})},
        }
        async with served(tmp_path / "server", config) as server, client_of(server) as client:
            assert (await client.answer("chat"))[1]["x-pilotlight-served-by"] == "far"
            file = server.state / "bill.sqlite"
        locked = sqlite3.connect(file)
        locked.execute("BEGIN EXCLUSIVE")
        async with served(tmp_path / "server", config) as server, client_of(server) as client:
            asked = asyncio.ensure_future(client.answer("chat"))
            await eventually(lambda: server.held("chat") == 1, "it waits")
            row = (await asyncio.to_thread(server.get, "/providers"))["providers"][0]
            assert row["left"]["month"] == 0 and "cannot be read" in row["last_reason"]
            assert len(far.seen) == 1
            locked.rollback()
            locked.close()
            assert (await asked)[2]["choices"][0]["message"]["content"] == "from afar"
            row = (await asyncio.to_thread(server.get, "/providers"))["providers"][0]
            assert row["spent"]["month"] == pytest.approx(0.002), "with what was spent before"
            asked = asyncio.ensure_future(client.answer("chat"))
            await eventually(lambda: server.held("chat") == 1, "nothing is left of the month")
            asked.cancel()
            assert len(far.seen) == 2
