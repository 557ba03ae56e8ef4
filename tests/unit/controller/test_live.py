"""What the kernel orders, as it reaches those who carry it out and those who record it."""

import logging
from typing import Any

import pytest

from pilotlight.controller.live import GRACE, LiveEffects
from pilotlight.fleet.actions import Assign, Hold, Moved, Note, Probe, Refuse, Sleep, Start, Stop, Trim, Wake
from pilotlight.fleet.plan import Plan
from pilotlight.fleet.records import StartRecord
from pilotlight.fleet.states import TABLE, Cause, State
from pilotlight.spec.model import Model, Warmer


class Calls:
    """Takes any call."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *args: self.calls.append((name, *args))


MODEL = Model(source="demo://50m")
RECORD = StartRecord("m-1", "m", 0.0, 1.0)


class Bench:
    def __init__(self) -> None:
        self.replicas, self.told, self.requests = Calls(), Calls(), Calls()
        self.record: StartRecord | None = RECORD
        self.effects = LiveEffects(self.replicas, lambda name: MODEL, lambda replica: self.record, self.told)
        self.effects.requests = self.requests

    def moves(self, *states: State) -> list[str]:
        """What was told of a replica that went through these states, besides the moves."""
        was = None
        for state in states:
            cause = next((c for (a, c), b in TABLE.items() if (a, b) == (was, state)), None)
            self.effects.moved(Moved(0.0, "m-1", "m", was, state, cause, "because"))
            was = state
        return [name for name, *_ in self.told.calls if name != "moved"]


def test_a_warmer_is_started_with_its_own_arguments():
    replicas, model = Calls(), Model(source="demo://50m", warmer=Warmer({"n_ctx": 64}))
    effects = LiveEffects(replicas, lambda name: model, lambda replica: None, Calls())
    for small in (True, False):
        effects.start(Start("m-1", "m", "local", (), Plan(()), "x", small=small))
    assert [call[2].engine_args for call in replicas.calls] == [{"n_ctx": 64}, {}]


def test_orders_reach_the_right_hands():
    bench = Bench()
    start = Start("m-1", "m", "local", (), Plan(()), "x")
    bench.effects.start(start)
    bench.effects.stop(Stop("m-1", "x"))
    bench.effects.probe(Probe("m-1", "x"))
    bench.effects.sleep(Sleep("m-1", 2, "x"))
    bench.effects.wake(Wake("m-1", "x"))
    bench.effects.trim(Trim("local", "x"))
    assert bench.replicas.calls == [
        ("start", start, MODEL),
        ("stop", "m-1", GRACE),
        ("probe", "m-1"),
        ("sleep", "m-1", 2),
        ("wake", "m-1"),
        ("trim", "local"),
    ]
    spoken = [Assign("r", "m-1", "x"), Hold("r", "x"), Refuse("r", 503, "c", "x")]
    bench.effects.assign(spoken[0])  # type: ignore[arg-type]
    bench.effects.hold(spoken[1])  # type: ignore[arg-type]
    bench.effects.refuse(spoken[2])  # type: ignore[arg-type]
    assert [call[1] for call in bench.requests.calls] == spoken


@pytest.mark.parametrize(
    ("states", "told"),
    [
        ((State.STARTING, State.READY), ["started"]),
        ((State.STARTING, State.GONE), ["started"]),  # a start that failed
        ((State.STARTING, State.STOPPING, State.GONE), ["started"]),  # called off, or not ready in time
        ((State.STARTING, State.READY, State.FAILING, State.GONE), ["started", "died"]),
        ((State.STARTING, State.READY, State.SUSPECT, State.FAILING, State.GONE), ["started", "died"]),
        ((State.STARTING, State.READY, State.SUSPECT, State.READY), ["started"]),
        ((State.STARTING, State.READY, State.STOPPING, State.GONE), ["started"]),
        ((State.STARTING, State.READY, State.DRAINING, State.STOPPING, State.GONE), ["started"]),
        ((State.STARTING, State.READY, State.DRAINING, State.FAILING, State.GONE), ["started", "died"]),
    ],
)
def test_what_a_replicas_way_means(states: tuple[State, ...], told: list[str]):
    assert Bench().moves(*states) == told


def test_a_wake_is_told_as_such():
    bench = Bench()
    bench.record = StartRecord("m-1", "m", 5.0, 6.0, kind="wake")
    assert bench.moves(State.READY, State.GOING_TO_SLEEP, State.ASLEEP, State.WAKING, State.READY) == [
        "started"
    ]
    bench.record = RECORD
    assert bench.moves(State.READY, State.GOING_TO_SLEEP, State.ASLEEP, State.WAKING, State.READY) == [
        "started"
    ]


def test_a_start_of_which_nothing_is_known():
    bench = Bench()
    bench.record = None
    assert bench.moves(State.STARTING, State.READY) == []


@pytest.mark.parametrize("cause", Cause)
def test_what_nobody_ordered_is_a_warning(cause: Cause, caplog: pytest.LogCaptureFixture):
    """A start that was called off is none; neither is the end of a process that was told to go."""
    unwanted = {Cause.START_FAILED, Cause.TIMED_OUT, Cause.TOO_LARGE, Cause.DIED, Cause.SLEEP_FAILED}
    was, state = next((a, b) for (a, c), b in TABLE.items() if c is cause)
    with caplog.at_level(logging.INFO):
        Bench().effects.moved(Moved(0.0, "m-1", "m", was, state, cause, "because"))
    assert (caplog.records[0].levelno == logging.WARNING) == (cause in unwanted)


def test_what_went_wrong_is_a_warning(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO):
        Bench().moves(State.STARTING, State.READY, State.FAILING, State.GONE)
        Bench().effects.note(Note("m", "does not fit"))
    assert [r.levelno for r in caplog.records] == [
        logging.INFO,
        logging.INFO,
        logging.WARNING,
        logging.INFO,
        logging.WARNING,
    ]
    assert "m-1 is failing: because" in caplog.text
