"""Which techniques one start uses: those that it may use and that are at hand when it begins, less those that come to
nothing on the way."""

from pilotlight.coldstart.techniques import READ_AHEAD, SNAPSHOT, STREAM, WARM_POOL, ZYGOTE, rewritten
from pilotlight.fleet.actions import Start
from pilotlight.fleet.plan import Plan
from pilotlight.ports import Launch
from pilotlight.worker.context import Context
from pilotlight.worker.incoming import Incoming
from pilotlight.worker.priming import Primed


class Ways:
    def __init__(self, context: Context, action: Start, incoming: Incoming) -> None:
        self.used: tuple[str, ...] = ()
        self.fell_back = ""
        """Why one that was to be used was not."""
        self.early = False
        """The plan loads before the weights are whole, where that turns out to be possible."""
        self.primed: Primed | None = None
        """The process of the warm pool that is used."""
        self._context = context
        self._action = action
        self._incoming = incoming

    def plan(self, launch: Launch) -> Plan:
        """The plain one, rewritten by those of the techniques it may use that are at hand now."""
        plan = rewritten(self._action.plan, self._at_hand(launch))
        self.used = plan.techniques
        self.early = STREAM.name in plan.techniques
        if WARM_POOL.name not in plan.techniques:
            self.put_back()
        return plan

    def do_without(self, technique: str, why: str) -> None:
        self.fell_back += f"; {technique}: {why}" if self.fell_back else f"{technique}: {why}"
        self.used = tuple(name for name in self.used if name != technique)

    def put_back(self) -> None:
        """The process of the warm pool, where there is one; it ends if it is of no use any more."""
        primed, self.primed = self.primed, None
        if primed is not None:
            self._context.pool.put_back(primed)

    def _at_hand(self, launch: Launch) -> list[str]:
        """Whether a zygote can fork now is seen when it is asked to, and why not."""
        offered, streams = self._action.techniques, self._incoming.will_stream(launch)
        if SNAPSHOT.name in offered and not streams:
            action = self._action
            why_not = self._context.snapshots.why_not(action.deployment, action.small, len(action.devices))
            if not why_not:
                return [SNAPSHOT.name]
            self.do_without(SNAPSHOT.name, why_not)
        of_weights = [STREAM.name] if streams and STREAM.name in offered else []
        if READ_AHEAD.name in offered:
            of_weights += self._read_ahead()
        if launch.preload is None:
            return of_weights
        if WARM_POOL.name in offered:
            self.primed = self._context.pool.take(launch.preload)
            if self.primed is not None:
                return [WARM_POOL.name, *of_weights]
        return [ZYGOTE.name, *of_weights] if ZYGOTE.name in offered else of_weights

    def _read_ahead(self) -> list[str]:
        worth_it, why_not = self._incoming.is_worth_reading()
        if why_not:
            self.do_without(READ_AHEAD.name, why_not)
        return [READ_AHEAD.name] if worth_it else []
