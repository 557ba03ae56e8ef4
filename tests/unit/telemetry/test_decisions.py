"""What is remembered of decisions: the last ones, of each model, with the price that is common to all."""

from pilotlight.clock import VirtualClock
from pilotlight.fleet.actions import Moved, Note, Rented
from pilotlight.fleet.fleet import Fleet
from pilotlight.fleet.records import RequestRecord
from pilotlight.fleet.states import Cause, State
from pilotlight.telemetry.decisions import MOST, Decisions


def book() -> tuple[Decisions, VirtualClock, Fleet]:
    clock, fleet = VirtualClock(), Fleet()
    return Decisions(clock, lambda: fleet), clock, fleet


def moved(state: State, cause: Cause | None = None, because: str = "x") -> Moved:
    return Moved(0.0, "m-1", "m", None, state, cause, because)


def request(model: str = "m", outcome: str = "ok", status: int = 200) -> RequestRecord:
    return RequestRecord("r", model, "/", False, 0.0, 0.0, 0.0, status, outcome)


def test_moves_notes_and_rents_are_kept_in_order_and_the_last_breath_is_not():
    told, clock, _ = book()
    told.decided(moved(State.STARTING, because="1 held"))
    clock.run_until(5.0)
    told.decided(moved(State.GOING_TO_SLEEP, Cause.TO_SLEEP))
    told.decided(Note("m", "waits for room"))
    told.decided(Rented(5.0, "m", 2, "cheaper"))
    told.decided(moved(State.GONE, Cause.ENDED))
    told.decided(moved(State.GONE, Cause.START_FAILED, "exit 1"))
    whats = [(d["what"], d["because"], d["ago_s"]) for d in told.of("m")]
    assert whats == [
        ("m-1 is starting", "1 held", 5.0),
        ("m-1 is going to sleep", "x", 0.0),
        ("note", "waits for room", 0.0),
        ("2 always up", "cheaper", 0.0),
        ("m-1 is gone", "exit 1", 0.0),
    ]
    assert told.of("other") == []


def test_only_the_last_hundred_are_kept():
    told, _clock, _ = book()
    for i in range(3 * MOST):
        told.decided(Note("m", f"note {i}"))
    assert [d["because"] for d in told.of("m")] == [f"note {i}" for i in range(2 * MOST, 3 * MOST)]


def test_a_thousand_refusals_do_not_push_out_the_rest():
    told, _clock, _ = book()
    told.decided(moved(State.STARTING))
    for _ in range(1000):
        told.told(request(outcome="refused", status=429))
    first, second = told.of("m")
    assert first["what"] == "m-1 is starting"
    assert (second["what"], second["times"]) == ("refused with 429", 1000)


def test_the_price_of_a_cold_request_is_told_when_it_has_moved():
    told, _clock, fleet = book()
    for usd in (1.0, 1.05, 1.09, 1.11, 1.15, 0.9):
        fleet.prices.usd = usd
        told.told(request())
    whats = [d["what"] for d in told.of("any")]
    assert whats == [
        "a cold request counts for $1.11, before it did for $1",
        "a cold request counts for $0.9, before it did for $1.11",
    ]


def test_models_that_are_gone_are_forgotten():
    told, _, _ = book()
    told.decided(Note("m", "x"))
    told.keep(["other"])
    assert told.of("m") == []
