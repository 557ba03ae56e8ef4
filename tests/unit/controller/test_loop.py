"""The live loop on virtual time, with effects that only take notes."""

import logging

import pytest

from pilotlight.clock import VirtualClock
from pilotlight.controller.loop import Controller
from pilotlight.fleet.actions import (
    Action,
    Assign,
    Hold,
    Moved,
    Note,
    Ping,
    Probe,
    Refuse,
    Rented,
    Send,
    Sleep,
    Start,
    Stop,
    Trim,
    Wake,
)
from pilotlight.fleet.deployment import Deployment, Host
from pilotlight.fleet.events import Arrived, Configured, Event, Finished, Ready, Stopped
from pilotlight.fleet.states import State


class Notes:
    """Effects. `react` is called with each action, in the middle of its being carried out."""

    def __init__(self) -> None:
        self.actions: list[Action] = []

    def react(self, action: Action) -> None: ...

    def _take(self, action: Action) -> None:
        self.actions.append(action)
        self.react(action)

    def assign(self, action: Assign) -> None:
        self._take(action)

    def hold(self, action: Hold) -> None:
        self._take(action)

    def send(self, action: Send) -> None:
        self._take(action)

    def ping(self, action: Ping) -> None:
        self._take(action)

    def refuse(self, action: Refuse) -> None:
        self._take(action)

    def start(self, action: Start) -> None:
        self._take(action)

    def stop(self, action: Stop) -> None:
        self._take(action)

    def probe(self, action: Probe) -> None:
        self._take(action)

    def sleep(self, action: Sleep) -> None:
        self._take(action)

    def wake(self, action: Wake) -> None:
        self._take(action)

    def trim(self, action: Trim) -> None:
        self._take(action)

    def moved(self, action: Moved) -> None:
        self._take(action)

    def rented(self, action: Rented) -> None:
        self.actions.append(action)

    def note(self, action: Note) -> None:
        self._take(action)

    def of(self, kind: type) -> list[Action]:
        return [a for a in self.actions if isinstance(a, kind)]


def running(**more) -> tuple[Controller, Notes, VirtualClock, list[Event]]:
    clock, notes, seen = VirtualClock(), Notes(), list[Event]()
    controller = Controller(clock, notes, lambda event, actions: seen.append(event))
    controller.post(Configured(0.0, (Deployment(id="m", ttl=10.0, ttl_to_zero=10.0, **more),), (Host(),)))
    return controller, notes, clock, seen


def test_an_event_has_been_decided_on_when_post_returns():
    controller, notes, clock, _ = running()
    controller.post(Arrived(0.0, "r1", "m"))
    assert [type(a) for a in notes.actions if not isinstance(a, Note)] == [Hold, Moved, Start]
    clock.run_until(2.0)
    controller.post(Ready(2.0, "m-1"))
    assert [a.request for a in notes.of(Assign)] == ["r1"]  # type: ignore[attr-defined]


def test_what_an_effect_posts_waits_for_its_turn():
    controller, notes, _, seen = running()

    def react(action: Action) -> None:
        if isinstance(action, Start):
            controller.post(Ready(0.0, action.replica))
            assert not notes.of(Assign)  # not before the step that ordered the start is over
        elif isinstance(action, Assign):
            controller.post(Finished(0.0, action.request))

    notes.react = react  # type: ignore[method-assign]
    controller.post(Arrived(0.0, "r1", "m"))
    assert [type(e) for e in seen[1:]] == [Arrived, Ready, Finished]
    assert controller.fleet.replicas["m-1"].in_flight == 0


def test_an_effect_that_fails_does_not_keep_the_others_from_happening(caplog: pytest.LogCaptureFixture):
    controller, notes, _, _ = running()

    def react(action: Action) -> None:
        if isinstance(action, Hold):
            raise ValueError("no")

    notes.react = react  # type: ignore[method-assign]
    with caplog.at_level(logging.ERROR):
        controller.post(Arrived(0.0, "r1", "m"))
    assert "could not carry out" in caplog.text
    assert notes.of(Start)
    controller.post(Arrived(0.0, "r2", "m"))
    assert len(controller.fleet.holding) == 2


def test_a_deadline_wakes_it_and_only_then():
    controller, notes, clock, seen = running()
    controller.post(Arrived(0.0, "r1", "m"))
    controller.post(Ready(0.0, "m-1"))
    controller.post(Finished(0.0, "r1"))
    clock.run_until(9.99)
    assert not notes.of(Stop)
    clock.run_until(10.0)
    assert [a.replica for a in notes.of(Stop)] == ["m-1"]  # type: ignore[attr-defined]
    controller.post(Stopped(10.0, "m-1"))
    ticks = len(seen)
    clock.run_until(10_000.0)
    assert len(seen) - ticks <= 1  # nothing polls
    assert notes.of(Moved)[-1].state is State.GONE  # type: ignore[attr-defined]


def test_an_earlier_deadline_replaces_a_later_one():
    controller, notes, clock, _ = running(startup_timeout=600.0)
    controller.post(Arrived(0.0, "r1", "m"))  # wakes at 600
    controller.post(Ready(1.0, "m-1"))
    controller.post(Finished(1.0, "r1"))  # wakes at 11
    clock.run_until(11.0)
    assert notes.of(Stop)
