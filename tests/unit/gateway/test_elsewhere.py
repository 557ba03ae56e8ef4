"""What waits for a replica beside a provider."""

import asyncio
from contextlib import suppress

from pilotlight.gateway.desk import Ticket
from pilotlight.gateway.elsewhere import _end_of  # pyright: ignore[reportPrivateUsage]
from pilotlight.gateway.upstream import Answer


async def test_who_leaves_while_it_waits_leaves_nothing_that_waits_for_ever():
    async def at_home() -> Answer | None:
        await asyncio.sleep(3600)

    home = asyncio.ensure_future(at_home())
    client = asyncio.ensure_future(_end_of(home, Ticket("r", "m", 0.0))(None))
    await asyncio.sleep(0)
    client.cancel()
    with suppress(asyncio.CancelledError):
        await client
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task(), home}
    home.cancel()
