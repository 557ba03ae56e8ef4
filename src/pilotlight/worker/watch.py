"""Whether a replica that is up still answers."""

from collections.abc import Callable

from pilotlight.units import format_duration
from pilotlight.worker.context import Context
from pilotlight.worker.start import Starting
from pilotlight.worker.waiting import sleep

_SUSPECT_ASK = 5.0
"""Seconds after which a suspect replica that has not answered is asked anew: requests wait for the verdict."""
_SUSPECT_PAUSE = 1.0
"""Seconds between two such questions."""


class HealthWatch:
    """`condemn` is told why the replica is to go; nothing is asked after that."""

    def __init__(self, context: Context, starting: Starting, condemn: Callable[[str], None]) -> None:
        self._context = context
        self._starting = starting
        self._condemn = condemn

    async def watch(self) -> None:
        """One question that is not answered in time is enough: it hangs. Answers that are no are borne for as long."""
        interval, patience = self._starting.model.probe_interval, self._starting.model.probe_timeout
        if interval <= 0:
            return
        clock, failing_since = self._context.clock, None
        while True:
            await sleep(clock, interval if failing_since is None else min(interval, 1.0))
            asked = clock.now()
            wrong = await self._wrong(patience)
            if wrong is None:
                failing_since = None
                continue
            failing_since = asked if failing_since is None else failing_since
            if isinstance(wrong, TimeoutError) or clock.now() - failing_since >= patience:
                self._condemn(f"hung: health {_words(wrong)} for {format_duration(patience)}")
                return

    async def _wrong(self, timeout: float) -> Exception | int | None:
        """What is wrong with its health: no answer, a status that is not 200, or nothing."""
        assert self._starting.launch is not None
        try:
            status = await self._context.ask(self._starting.place.url, self._starting.launch.health, timeout)
        except Exception as error:  # whatever it says or does, the verdict is due
            return error
        return None if status == 200 else status

    async def recovers(self) -> bool:
        """Whether one that a request could not reach answers; else it is condemned.

        A refused connection is enough to end it; for anything else there may be streams in it that go on.
        """
        clock, patience = self._context.clock, self._starting.model.probe_timeout
        began = clock.now()
        while (wrong := await self._wrong(min(patience, _SUSPECT_ASK))) is not None:
            refused, waited = isinstance(wrong, ConnectionRefusedError), clock.now() - began
            if refused or waited >= patience:
                lasted = "" if refused else f" for {format_duration(waited)}"
                self._condemn(f"a request could not reach it, and health {_words(wrong)}{lasted}")
                return False
            await sleep(clock, _SUSPECT_PAUSE)
        return True


def _words(wrong: Exception | int) -> str:
    if isinstance(wrong, int):
        return f"answered {wrong}"
    if isinstance(wrong, TimeoutError):
        return "did not answer"
    return "refused the connection" if isinstance(wrong, ConnectionRefusedError) else f"failed ({wrong})"
