"""A wall clock that is set over the boundary of a budget, and back, while the server runs and while it does not."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fault.provider_ground import of, up
from fault.provider_kit import Provider, provider, well
from integration.kit import Client, StandIn, eventually

TOLD = """
import time
import pilotlight.clock, pilotlight.controller.wall
pilotlight.controller.wall.EVERY = 0.05
began = time.monotonic()
def wall(self):
    with open({file!r}) as file:
        return float(file.read()) + time.monotonic() - began
pilotlight.clock.SystemClock.wall = wall
"""
"""A clock that somebody sets: by writing Unix seconds into a file, whole, or a look might come in between."""

PRICE = {"request_usd": 1.0, "million_output_usd": 1e6}
USAGE = {"prompt_tokens": 5, "completion_tokens": 2}
TRUE, BUDGET = 3.0, 13.0
"""USD of a request, which could cost 11 at its dearest: of 13 only one is sent."""

BEFORE = {
    "hour": datetime(2028, 2, 10, 11, 30, tzinfo=UTC),
    "day": datetime(2028, 2, 10, 23, 30, tzinfo=UTC),
    "month": datetime(2028, 2, 29, 23, 30, tzinfo=UTC),
}
"""Half an hour before the end of each, and of nothing longer."""
AFTER = {
    "hour": datetime(2028, 2, 10, 12, 30, tzinfo=UTC),
    "day": datetime(2028, 2, 11, 0, 30, tzinfo=UTC),
    "month": datetime(2028, 3, 1, 0, 30, tzinfo=UTC),
}
WITHIN = {
    "hour": datetime(2028, 2, 10, 11, 5, tzinfo=UTC),
    "day": datetime(2028, 2, 10, 0, 5, tzinfo=UTC),
    "month": datetime(2028, 2, 1, 0, 5, tzinfo=UTC),
}
"""Another moment of the same."""


class Ground:
    def __init__(self, folder: Path, far: Provider, window: str) -> None:
        self.window, self.far, self.folder = window, far, folder
        self.clock = folder / "clock"
        self.model = StandIn(folder, "chat", gated=True, burst={"provider": "far"})
        declared = far.declared(price=PRICE, budget={f"{window}_usd": BUDGET})
        self.config: dict[str, Any] = {"models": {"chat": self.model.model}, "providers": {"far": declared}}

    def set(self, to: datetime) -> None:
        new = self.clock.with_suffix(".new")
        new.write_text(str(to.timestamp()))
        new.replace(self.clock)

    def up(self) -> Any:
        return up(self.folder / "s", self.config, first=TOLD.format(file=str(self.clock)))

    def spent(self, client: Client) -> float:
        return of(client)["spent"][self.window]

    async def is_answered_afar(self, client: Client) -> None:
        _, headers, _ = await client.answer("chat", max_tokens=10)
        assert headers["x-pilotlight-served-by"] == "far"
        assert self.spent(client) == TRUE

    async def waits(self, client: Client) -> "asyncio.Future[Any]":
        sent = len(self.far.seen)
        asked = asyncio.ensure_future(client.answer("chat", max_tokens=10))
        await eventually(lambda: client.server.held("chat") == 1)
        assert len(self.far.seen) == sent, "3 of 13 are spent, and 11 more could be"
        return asked


@pytest.mark.parametrize("window", BEFORE)
async def test_a_clock_that_jumps_over_a_boundary_and_back_finds_what_was_spent(tmp_path: Path, window: str):
    async with provider(well(usage=USAGE)) as far:
        it = Ground(tmp_path, far, window)
        it.set(BEFORE[window])
        async with it.up() as client:
            await it.is_answered_afar(client)
            asked = await it.waits(client)

            it.set(AFTER[window])
            _, headers, _ = await asked
            assert headers["x-pilotlight-served-by"] == "far", f"another {window}, another budget"
            assert it.spent(client) == TRUE
            assert client.server.get("/providers")["providers"][0]["left"][window] == BUDGET - TRUE
            (await it.waits(client)).cancel()
            await eventually(lambda: client.server.held("chat") == 0)

            it.set(BEFORE[window])
            asked = await it.waits(client)
            assert it.spent(client) == TRUE, f"the first {window} is remembered"
            it.model.open()
            _, headers, _ = await asked
            assert headers["x-pilotlight-start"] == "cold"
            assert len(far.seen) == 2


@pytest.mark.parametrize(("window", "shorter"), [("day", ["hour"]), ("month", ["hour", "day"])])
async def test_a_clock_that_jumps_within_its_window_brings_no_money(
    tmp_path: Path, window: str, shorter: list[str]
):
    """Backwards, to its beginning, and forwards again: over the boundaries of what is shorter."""
    async with provider(well(usage=USAGE)) as far:
        it = Ground(tmp_path, far, window)
        it.set(BEFORE[window])
        async with it.up() as client:

            async def spent_of_the_shorter(usd: float) -> None:
                await eventually(lambda: all(of(client)["spent"][w] == usd for w in shorter))
                assert it.spent(client) == TRUE
                assert (client.server.held("chat"), len(far.seen)) == (1, 1)

            await it.is_answered_afar(client)
            asked = await it.waits(client)
            it.set(WITHIN[window])
            await spent_of_the_shorter(0)
            it.set(BEFORE[window])
            await spent_of_the_shorter(TRUE)
            it.model.open()
            _, headers, _ = await asked
            assert headers["x-pilotlight-start"] == "cold"


async def test_a_server_that_comes_up_in_the_middle_of_a_month_counts_what_was_spent_until_its_end(
    tmp_path: Path,
):
    async with provider(well(usage=USAGE)) as far:
        it = Ground(tmp_path, far, "month")
        it.set(WITHIN["month"])
        async with it.up() as client:
            await it.is_answered_afar(client)
        it.set(BEFORE["hour"])
        async with it.up() as client:
            assert of(client)["spent"] == {"hour": 0, "day": 0, "month": TRUE}
            (await it.waits(client)).cancel()
            await eventually(lambda: client.server.held("chat") == 0)
        it.set(AFTER["month"])
        async with it.up() as client:
            assert it.spent(client) == 0
            await it.is_answered_afar(client)
        it.set(BEFORE["hour"])
        async with it.up() as client:
            assert it.spent(client) == TRUE, "the clock was set back while no server ran"
            (await it.waits(client)).cancel()
            assert len(far.seen) == 2
