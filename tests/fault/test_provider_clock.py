"""A wall clock that is set over the boundary of a budget, and back."""

import asyncio
from pathlib import Path

from fault.provider_kit import KEY_ENV, provider, well
from integration.kit import Client, Server, StandIn, client_of, eventually

JUMPS = """
import time
import pilotlight.clock, pilotlight.controller.wall
pilotlight.controller.wall.EVERY = 0.05
began = time.monotonic()
half_past = time.time() // 3600 * 3600 + 1800
def wall(self):
    with open({offset!r}) as file:
        return half_past + time.monotonic() - began + float(file.read())
pilotlight.clock.SystemClock.wall = wall
"""
HOUR = 3600.0
PRICE = {"request_usd": 1.0, "million_output_usd": 1e6}
USAGE = {"prompt_tokens": 5, "completion_tokens": 2}


def spent(client: Client) -> float:
    return client.server.get("/providers")["providers"][0]["spent"]["hour"]


async def test_a_clock_that_jumps_over_an_hour_and_back_finds_what_was_spent(tmp_path: Path):
    """A request costs 3 and could cost 11: of 13 an hour only one is sent, whichever hour it is said to be."""
    offset = tmp_path / "offset"
    offset.write_text("0")
    async with provider(well(usage=USAGE)) as far:
        model = StandIn(tmp_path, "chat", gated=True, burst={"provider": "far"})
        declared = far.declared(price=PRICE, budget={"hour_usd": 13.0})
        config = {"models": {"chat": model.model}, "providers": {"far": declared}}
        running = Server(tmp_path / "s", config, env=KEY_ENV, patience=(60, 60, 60))
        running._command[2] = JUMPS.format(offset=str(offset)) + running._command[2]
        await asyncio.to_thread(running.__enter__)
        try:
            async with client_of(running) as client:
                _, headers, _ = await client.answer("chat", max_tokens=10)
                assert headers["x-pilotlight-served-by"] == "far"
                assert spent(client) == 3

                waits = asyncio.ensure_future(client.answer("chat", max_tokens=10))
                await eventually(lambda: client.server.held("chat") == 1)
                assert len(far.seen) == 1, "3 of 13 are spent, and 11 more could be"

                offset.write_text(str(HOUR))
                _, headers, _ = await waits
                assert headers["x-pilotlight-served-by"] == "far", "another hour, another budget"
                assert spent(client) == 3

                offset.write_text("0")
                back = asyncio.ensure_future(client.answer("chat", max_tokens=10))
                await eventually(lambda: client.server.held("chat") == 1)
                assert spent(client) == 3, "the first hour is remembered"
                assert len(far.seen) == 2
                model.open()
                _, headers, _ = await back
                assert headers["x-pilotlight-start"] == "cold"
        finally:
            await asyncio.to_thread(running.__exit__, None)
