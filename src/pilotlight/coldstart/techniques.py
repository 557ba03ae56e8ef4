"""What can make a start shorter, by name; one technique, one file. Each but `huge_pages` and `sleep` rewrites a plan.

The kernel says which of them a start may use, the worker which of those are at hand at that moment, and the record
of the start which were used. Waking a replica that is asleep is no rewritten start: its plan is its own, in sleep.py.
"""

from collections.abc import Callable, Collection, Iterable, Mapping

import msgspec

from pilotlight.coldstart import huge_pages, read_ahead, snapshot, stream, warm_pool, zygote
from pilotlight.fleet.plan import Plan


class Technique(msgspec.Struct, frozen=True):
    name: str
    what: str
    """One sentence for people."""
    rewrite: Callable[[Plan], Plan] | None = None
    """The plan with this technique; a plan that offers no hold for it comes back as it was."""


SNAPSHOT = Technique(
    snapshot.NAME, "restore a process that was dumped when it was ready, with CRIU", snapshot.rewrite
)
ZYGOTE = Technique("zygote", "fork a process that has imported the runtime already", zygote.rewrite)
WARM_POOL = Technique("warm_pool", "take a waiting process that has imported the runtime", warm_pool.rewrite)
STREAM = Technique(
    stream.NAME, "load while the weights arrive, where they have to be fetched", stream.rewrite
)
READ_AHEAD = Technique(
    read_ahead.NAME, "read weights that lie on the disk while the process comes up", read_ahead.rewrite
)
HUGE_PAGES = Technique(
    huge_pages.NAME, "lay weights in huge pages behind a stop, where they lie in small ones"
)
SLEEP = Technique("sleep", "put an idle replica aside and wake it, in place of stopping and starting it")

TECHNIQUES: Mapping[str, Technique] = {
    t.name: t for t in (SNAPSHOT, ZYGOTE, WARM_POOL, STREAM, READ_AHEAD, HUGE_PAGES, SLEEP)
}

ASKED_FOR = frozenset({SNAPSHOT.name, READ_AHEAD.name})
"""Only those who name them get them."""


def chosen(offered: Iterable[str], wanted: Collection[str] | None) -> tuple[str, ...]:
    """Of what an engine offers, what the operator wants: None, all that need not be asked for."""
    return tuple(n for n in offered if (n not in ASKED_FOR if wanted is None else n in wanted))


def rewritten(plan: Plan, names: Collection[str]) -> Plan:
    """By each of these techniques in turn, those with the greatest effect first. Pure."""
    for technique in (SNAPSHOT, WARM_POOL, ZYGOTE, STREAM, READ_AHEAD):
        if technique.name in names and technique.rewrite is not None:
            plan = technique.rewrite(plan)
    return plan
