"""An engine that does not report: is its address free, and does it answer yet?"""

from collections.abc import Callable

from pilotlight.worker import health
from pilotlight.worker.context import Context
from pilotlight.worker.failed import Failed
from pilotlight.worker.waiting import sleep

_ANSWER_WITHIN = 5.0
"""Seconds after which a server that listens, and does not answer while it loads, is asked anew."""


def check_free(url: str, port: int) -> None:
    """A fixed address that somebody serves already would be taken for our engine; `port` is the one that it was given.
    Raises Failed."""
    try:
        where = health.address(url)
    except ValueError as error:
        raise Failed(f"proxy cannot be used: {error}") from None
    knock = health.Knock(where)
    if knock.loopback and where.port != port and not knock.refused():
        raise Failed(f"port {where.port} is in use by another process; end that one, or use ${{PORT}} in cmd")


async def answers(context: Context, url: str, path: str, saw: Callable[[str], None]) -> None:
    """Until health answers 200: tried at short fixed intervals, since a held request waits for it."""
    clock, settings = context.clock, context.settings
    where = health.address(url)
    knock, listens, nobody = health.Knock(where), False, f"nothing listens on port {where.port}"
    while True:
        if not listens and knock.refused():
            saw(nobody)
            await sleep(clock, settings.probe_before_listening)
            continue
        try:
            status = await context.ask(url, path, _ANSWER_WITHIN)
            if status == 200:
                return
            listens = True
            saw(f"health last answered {status}")
        except (OSError, TimeoutError) as error:
            listens = not isinstance(error, ConnectionRefusedError)
            saw("health gave no answer" if listens else nobody)
        await sleep(clock, settings.probe_loading)
