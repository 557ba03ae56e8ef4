"""What those who wait are told, and what the declaration knows of starts."""

from typing import Any

import pytest

from pilotlight.cli.forecast import Forecast, StartBook, said
from pilotlight.clock import VirtualClock
from pilotlight.coldstart import plans
from pilotlight.coldstart.learned import Learned, Who
from pilotlight.coldstart.remaining import Left
from pilotlight.fleet.deployment import Deployment
from pilotlight.fleet.fleet import DeploymentState, Fleet, Replica
from pilotlight.fleet.plan import Span
from pilotlight.fleet.records import StartRecord
from pilotlight.fleet.states import State
from pilotlight.spec.diff import fingerprint
from pilotlight.spec.model import Model
from pilotlight.worker.report import StartReport

MODEL = Model(source="demo://50m")
MARK = fingerprint(MODEL)
CHAT = Who("chat", MARK, "llamacpp")


class Bench:
    """One replica of `chat` that began to start at 100 s."""

    def __init__(self, state: State = State.STARTING) -> None:
        self.clock = VirtualClock(100.0)
        self.learned = Learned()
        self.report: StartReport | None = StartReport(
            "chat-1", "chat", "llamacpp", 100.0, None, (), "load", None, None, None
        )
        replica = Replica("chat-1", "chat", MARK, state, 100.0, "local", (), 0, (), 100.0)
        spec = Deployment("chat", MARK, plans.embedded())
        self.fleet = Fleet({"chat": DeploymentState(spec, {"chat-1": replica})}, {"chat-1": replica})
        self.forecast = Forecast(
            self.clock, lambda: self.fleet, lambda replica: self.report, lambda: self.learned
        )

    def teach(self, **more: Any) -> StartRecord:
        spans = (Span("spawn", 0.0, 1.0), Span("import", 1.0, 3.0), Span("load", 3.0, 10.0))
        record = StartRecord("chat-1", "chat", 0.0, 10.0, spans, **more)
        found = self.forecast.of(record)
        assert found is not None
        self.learned.learn(*found, record, 0.0)
        return record

    def usual(self, name: str, model: Model, host: str, kind: str = "start") -> float | None:
        row = self.forecast.usual(name, model, host, kind)
        return None if row is None else row.whole.mean


def test_without_experience_it_says_how_long_it_has_been() -> None:
    bench = Bench()
    bench.clock.run_until(102.0)
    assert bench.forecast.words("chat") == "chat is starting: load, 2.0 s so far"
    assert bench.forecast.left("chat-1") is None


def test_with_experience_it_says_how_long_it_will_be() -> None:
    bench = Bench()
    bench.teach()
    bench.clock.run_until(102.0)
    assert bench.forecast.words("chat") == "chat is starting: load, 2.0 s so far, about 10 s to go"
    assert bench.forecast.left("chat-1") == Left(10.0), "it has not even been spawned"


def test_a_model_that_nothing_comes_up_for_is_waited_for() -> None:
    for words in (Bench(State.READY).forecast.words("chat"), Bench().forecast.words("chat")):
        assert words.startswith("chat is")
    assert Bench(State.READY).forecast.words("chat") == "chat is waited for"
    assert Bench().forecast.words("gone") == "gone is waited for"


def test_of_what_is_gone_or_up_nothing_is_left() -> None:
    bench = Bench(State.READY)
    bench.teach()
    assert bench.forecast.left("chat-1") is None
    assert bench.forecast.left("gone-1") is None
    bench.report = None
    assert bench.forecast.left("chat-1") is None


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (None, ""),
        (Left(0.0), ", about 1 s to go"),
        (Left(11.6), ", about 12 s to go"),
        (Left(3.0, "fetch"), ", about 3 s to go after the download"),
        (Left(3.0, "load"), ", load takes longer than usual"),
    ],
)
def test_a_promise_that_is_kept_or_none(left: Left | None, words: str) -> None:
    assert said(left) == words


def test_what_a_start_usually_takes_is_known_by_the_model_as_declared() -> None:
    bench = Bench()
    assert bench.usual("chat", MODEL, "local") is None
    bench.teach()
    assert bench.usual("chat", MODEL, "local") == 10.0
    assert bench.usual("other", MODEL, "local") == 10.0, "as the engine's others do"
    assert bench.usual("chat", MODEL, "local", "wake") is None


def test_nobody_can_say_whose_start_it_was_once_the_deployment_is_gone() -> None:
    bench = Bench()
    record = bench.teach()
    bench.fleet = Fleet()
    assert bench.forecast.of(record) is None


def test_both_the_metrics_and_the_table_are_told() -> None:
    heard: list[Any] = []

    class Ear:
        def started(self, report: StartRecord) -> None:
            heard.append(report)

        told = died = moved = started

    book = StartBook(Ear(), Ear())  # type: ignore[arg-type]
    for tell in (book.started, book.died, book.moved):
        tell("x")  # type: ignore[arg-type]
    assert heard == ["x"] * 4


def test_a_wake_is_expected_to_take_what_wakes_take() -> None:
    bench = Bench(State.WAKING)
    bench.clock.run_until(100.5)
    assert bench.forecast.words("chat") == "chat is waking: load, 0.5 s so far"
    wake = StartRecord("chat-1", "chat", 0.0, 3.0, (Span("wake", 0.0, 3.0),), kind="wake")
    found = bench.forecast.of(wake)
    assert found is not None
    bench.learned.learn(*found, wake, 0.0)
    assert bench.forecast.left("chat-1") == Left(2.5)
    assert bench.usual("chat", MODEL, "local", "wake") == 3.0
