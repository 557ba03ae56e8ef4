"""A server that is killed in the middle of a burst, over and over: its budget holds all the same."""

import asyncio
import random
import sqlite3
from pathlib import Path

import pytest

from fault.provider_ground import kill, of, up
from fault.provider_kit import Seen, Wire, provider, well
from integration.kit import Server, StandIn, eventually

PRICE = {"request_usd": 1.0, "million_output_usd": 1e6}
MOST, DEAREST, TRUE = 10, 11.0, 3.0
"""Tokens of an answer; USD that one costs at its dearest, and in truth."""
USAGE = {"prompt_tokens": 5, "completion_tokens": 2}


def leases(server: Server) -> list[tuple[str, float]]:
    with sqlite3.connect(server.state / "bill.sqlite") as db:
        found = db.execute("SELECT provider, usd FROM lease").fetchall()
    db.close()
    return found


async def test_no_budget_is_exceeded_by_a_server_that_is_killed_over_and_over(tmp_path: Path):
    """Twice as many requests as it has money for, and none of its lives is long enough to write the bill."""
    budget, dice = 400.0, random.Random(3)
    async with provider(well(after=0.03, every=0.03, usage=USAGE)) as far:
        model = StandIn(tmp_path, "chat", gated=True, burst={"provider": "far"}, max_pending_requests=500)
        declared = far.declared(price=PRICE, budget={"month_usd": budget}, max_requests=16)
        config = {"models": {"chat": model.model}, "providers": {"far": declared}}
        for _ in range(5):
            async with up(tmp_path / "s", config) as client:
                counted = of(client)["spent"]["month"]
                assert TRUE * len(far.seen) <= counted <= budget, (
                    "what was sent is known, and no more than could be"
                )
                before = len(far.seen)
                asked = [
                    asyncio.ensure_future(client.answer("chat", stream=i % 2 == 0, max_tokens=MOST))
                    for i in range(60)
                ]
                if counted + DEAREST <= budget:  # else it has no money for another one
                    await eventually(lambda before=before: len(far.seen) > before)
                await asyncio.sleep(dice.uniform(0.0, 0.3))
                await kill(client)
                await asyncio.gather(*asked, return_exceptions=True)
        async with up(tmp_path / "s", config) as client:
            counted = of(client)["spent"]["month"]
            assert TRUE * len(far.seen) <= counted <= budget
            rungs = {line["name"]: line["usd"] for line in client.server.get("/cost?by=rung")["lines"]}
            assert rungs["unsettled"] > 0
            assert rungs["unsettled"] + rungs.get("burst", 0.0) == pytest.approx(counted)
            assert "the server was killed while requests were at far" in client.server.log()


async def test_a_server_that_ends_well_leaves_no_lease_and_nothing_is_counted_twice(tmp_path: Path):
    go = asyncio.Event()

    async def waits(wire: Wire, seen: Seen) -> None:
        await go.wait()
        await well(usage=USAGE)(wire, seen)

    async with provider(waits) as far:
        model = StandIn(tmp_path, "chat", gated=True, burst={"provider": "far"})
        declared = far.declared(price=PRICE, budget={"day_usd": 500.0})
        config = {"models": {"chat": model.model}, "providers": {"far": declared}}
        async with up(tmp_path / "s", config) as client:
            asked = [asyncio.ensure_future(client.answer("chat", max_tokens=MOST)) for _ in range(20)]
            await eventually(lambda: len(far.seen) == 20)
            assert sum(usd for _, usd in leases(client.server)) >= 20 * DEAREST, (
                "they were on the disk before they went"
            )
            go.set()
            await asyncio.gather(*asked)
        assert not leases(client.server)
        async with up(tmp_path / "s", config) as client:
            assert of(client)["spent"]["day"] == TRUE * len(far.seen) == 60.0


async def test_a_lease_that_is_used_no_more_is_given_back_without_an_end(tmp_path: Path):
    """So that a kill in a quiet hour costs nothing of the budget."""
    async with provider(well(usage=USAGE)) as far:
        model = StandIn(tmp_path, "chat", gated=True, burst={"provider": "far"})
        declared = far.declared(price=PRICE, budget={"day_usd": 500.0})
        config = {"models": {"chat": model.model}, "providers": {"far": declared}}
        async with up(tmp_path / "s", config) as client:
            await asyncio.gather(*(client.answer("chat", max_tokens=MOST) for _ in range(20)))
            await eventually(lambda: not leases(client.server))
            await kill(client)
        async with up(tmp_path / "s", config) as client:
            assert of(client)["spent"]["day"] == 60.0


async def test_a_bill_that_cannot_be_written_is_said_once_and_keeps_nobody(tmp_path: Path):
    async with provider(well(usage=USAGE)) as far:
        model = StandIn(tmp_path, "chat", gated=True, burst={"provider": "far"})
        declared = far.declared(price=PRICE, budget={"day_usd": 500.0})
        config = {"models": {"chat": model.model}, "providers": {"far": declared}}
        async with up(tmp_path / "s", config) as client:
            locked = sqlite3.connect(tmp_path / "s" / "state" / "bill.sqlite")
            locked.execute("BEGIN EXCLUSIVE")
            found = await asyncio.gather(*(client.answer("chat", max_tokens=MOST) for _ in range(20)))
            assert {headers["x-pilotlight-served-by"] for _, headers, _ in found} == {"far"}
            assert of(client)["spent"]["day"] == 60.0
            locked.rollback()
            locked.close()
        assert client.server.log().count("bill.sqlite cannot be used") == 1
