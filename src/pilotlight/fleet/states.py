"""What a replica can be, and the one table of how it gets from one to the next.

The diagram in docs/architecture.md is drawn from TABLE.
"""

from enum import StrEnum


class State(StrEnum):
    STARTING = "starting"
    """A start plan is being carried out; it takes no requests yet, and its memory is already spoken for."""
    READY = "ready"
    """Up at full capacity; takes requests."""
    SUSPECT = "suspect"
    """A request could not reach it: no new requests until a probe has said whether it lives."""
    DRAINING = "draining"
    """To go, but still finishing requests; takes no new ones."""
    GOING_TO_SLEEP = "going_to_sleep"
    """Idle and being put aside; takes no requests, and one that comes wakes it once it sleeps."""
    ASLEEP = "asleep"
    """Its process is there and its model put aside: takes no requests, and is woken sooner than another is started."""
    WAKING = "waking"
    """Coming back from sleep; its memory is already spoken for again."""
    FAILING = "failing"
    """Its process has ended, or it was given up: takes nothing any more. What it started is being cleared up, and its
    memory is not free until that is done."""
    STOPPING = "stopping"
    """Told to stop; its memory is not free until it is gone."""
    GONE = "gone"
    """No process, no memory; forgotten at once."""


READY, ASLEEP, DRAINING, GONE = State.READY, State.ASLEEP, State.DRAINING, State.GONE
"""For what runs with every request: to look a member up in its enum takes ten times as long as a name."""


class Cause(StrEnum):
    CAME_UP = "came up"
    START_FAILED = "start failed"
    TIMED_OUT = "not ready in time"
    TOO_LARGE = "turned out not to fit"
    BOUNCED = "a request could not reach it"
    RECOVERED = "a probe was answered"
    DIED = "died"
    TO_SLEEP = "idle, put aside"
    SLEPT = "sleeps"
    SLEEP_FAILED = "could not sleep"
    TO_WAKE = "wanted again"
    TO_GO = "to go, busy"
    TO_STOP = "to go, idle"
    DRAINED = "last request finished"
    ENDED = "process gone"


FAILED = frozenset({Cause.START_FAILED, Cause.TIMED_OUT, Cause.TOO_LARGE})
"""A start, or a wake, that came to nothing; one that was called off did not fail."""

TABLE: dict[tuple[State, Cause], State] = {
    (State.STARTING, Cause.CAME_UP): State.READY,
    (State.STARTING, Cause.START_FAILED): State.GONE,
    (State.STARTING, Cause.TIMED_OUT): State.STOPPING,
    (State.STARTING, Cause.TOO_LARGE): State.STOPPING,
    (State.STARTING, Cause.TO_STOP): State.STOPPING,
    (State.READY, Cause.BOUNCED): State.SUSPECT,
    (State.READY, Cause.DIED): State.FAILING,
    (State.READY, Cause.TO_GO): State.DRAINING,
    (State.READY, Cause.TO_STOP): State.STOPPING,
    (State.READY, Cause.TO_SLEEP): State.GOING_TO_SLEEP,
    (State.GOING_TO_SLEEP, Cause.SLEPT): State.ASLEEP,
    (State.GOING_TO_SLEEP, Cause.SLEEP_FAILED): State.STOPPING,
    (State.GOING_TO_SLEEP, Cause.DIED): State.FAILING,
    (State.GOING_TO_SLEEP, Cause.TO_STOP): State.STOPPING,
    (State.ASLEEP, Cause.TO_WAKE): State.WAKING,
    (State.ASLEEP, Cause.DIED): State.FAILING,
    (State.ASLEEP, Cause.TO_STOP): State.STOPPING,
    (State.WAKING, Cause.CAME_UP): State.READY,
    (State.WAKING, Cause.TIMED_OUT): State.STOPPING,
    (State.WAKING, Cause.DIED): State.FAILING,
    (State.WAKING, Cause.TO_STOP): State.STOPPING,
    (State.SUSPECT, Cause.RECOVERED): State.READY,
    (State.SUSPECT, Cause.DIED): State.FAILING,
    (State.SUSPECT, Cause.TO_GO): State.DRAINING,
    (State.SUSPECT, Cause.TO_STOP): State.STOPPING,
    (State.DRAINING, Cause.DRAINED): State.STOPPING,
    (State.DRAINING, Cause.TO_STOP): State.STOPPING,
    (State.DRAINING, Cause.DIED): State.FAILING,
    (State.FAILING, Cause.ENDED): State.GONE,
    (State.STOPPING, Cause.ENDED): State.GONE,
}
"""Every transition there is. Anything else is a bug, and `after` raises."""

COMING = frozenset({State.STARTING, State.WAKING})
"""On its way up, in the time that `startup_timeout` gives it."""

SERVING = COMING | {State.READY, State.SUSPECT}
"""States that count as capacity, present or coming."""

RESTING = frozenset({State.GOING_TO_SLEEP, State.ASLEEP})
"""No capacity now, and to be woken before another is started."""

GOING = frozenset({State.FAILING, State.STOPPING})
"""Nothing keeps it: its room is on its way."""

UP = frozenset({State.READY, State.SUSPECT})
"""Its start is over, and requests for it wait behind others."""


def after(state: State, cause: Cause) -> State:
    """The next state. Raises LookupError for a transition that the table does not have."""
    try:
        return TABLE[state, cause]
    except KeyError:
        raise LookupError(f"no transition from {state.value!r} because {cause.value!r}") from None


def mermaid() -> str:
    """The table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", "    [*] --> starting: a start is ordered"]
    lines += [f"    {a.value} --> {b.value}: {cause.value}" for (a, cause), b in TABLE.items()]
    return "\n".join([*lines, "    gone --> [*]"])
