"""Opening the port."""

import os

from aiohttp import web

from pilotlight.errors import ServerError
from pilotlight.http.door import Door

BACKLOG = 4096
"""Connections that the system takes while we are busy."""
LEAVE_WITHIN = 2.0
"""Seconds that connections have to end when the server goes."""


async def listen(door: Door, host: str, port: int) -> tuple[web.ServerRunner, int]:
    """What is to be cleaned up in the end, and the port. ServerError when it cannot be had."""
    runner = web.ServerRunner(door, shutdown_timeout=LEAVE_WITHIN)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=BACKLOG, reuse_address=True).start()
    except (OSError, ValueError) as e:  # ValueError: a host that is no name
        await runner.cleanup()
        text = f"cannot listen on {host}:{port}: {_fault(e)}; choose another with --port or --host"
        raise ServerError(text) from None
    return runner, runner.addresses[0][1]


def _fault(error: Exception) -> str:
    """Without the address, which asyncio says again at length."""
    number = getattr(error, "errno", None)
    if isinstance(number, int) and number > 0:
        return os.strerror(number).lower()
    return getattr(error, "strerror", None) or str(error)
