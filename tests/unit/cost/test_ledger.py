"""The ledger beside sums by hand: a dedicated device is a dollar a second, one on demand 2.5."""

import pytest

from pilotlight.cost.capacity import ONE, Devices, Price
from pilotlight.cost.ledger import Ledger
from pilotlight.cost.rows import Row, Rows, replica_seconds, usd
from pilotlight.fleet.actions import Moved, Rented
from pilotlight.fleet.states import Cause, State

PRICE = Price(1.0, 2.5, commitment=100.0)


def made(devices: Devices = ONE) -> Ledger:
    return Ledger(PRICE, lambda name: devices)


def moved(at: float, was: State | None, state: State, *, replica: str = "m-1", small: bool = False) -> Moved:
    return Moved(at, replica, "m", was, state, Cause.CAME_UP, "", small)


def up(ledger: Ledger, ordered: float, ready: float, *, replica: str = "m-1", small: bool = False) -> None:
    ledger.moved(moved(ordered, None, State.STARTING, replica=replica, small=small))
    ledger.moved(moved(ready, State.STARTING, State.READY, replica=replica, small=small))


def taken(ledger: Ledger, at: float) -> dict[tuple[str, str], tuple[float, float]]:
    """By rung and key: seconds and USD."""
    ledger.settle(at)
    return {(r.rung, r.key): (a.seconds, a.usd) for r, a in ledger.take().items()}


def test_a_replica_goes_through_its_rungs_one_at_a_time():
    ledger = made()
    up(ledger, 0.0, 10.0)
    ledger.began("r", "m-1", 15.0, "k", "standard")
    ledger.ended("r", 18.0)
    ledger.moved(moved(20.0, State.READY, State.GOING_TO_SLEEP))
    ledger.moved(moved(21.0, State.GOING_TO_SLEEP, State.ASLEEP))
    ledger.moved(moved(30.0, State.ASLEEP, State.WAKING))
    ledger.moved(moved(34.0, State.WAKING, State.READY))
    ledger.moved(moved(36.0, State.READY, State.STOPPING))
    ledger.moved(moved(37.0, State.STOPPING, State.GONE))
    found = taken(ledger, 50.0)
    assert {rung: seconds for (rung, _), (seconds, _) in found.items()} == pytest.approx(
        {"starting": 14, "idle": 9, "serving": 3, "asleep": 10, "stopping": 1}
    )
    assert sum(cost for _, cost in found.values()) == pytest.approx(2.5 * 37)


def test_requests_that_share_a_replica_share_its_seconds():
    ledger = made()
    up(ledger, 0.0, 0.0)
    ledger.began("a", "m-1", 0.0, "alice", "standard")
    ledger.began("b", "m-1", 4.0, "bob", "batch")
    ledger.ended("a", 10.0)
    ledger.ended("b", 13.0)
    found = taken(ledger, 13.0)
    assert found["serving", "alice"] == pytest.approx((4 + 3, 2.5 * 7))
    assert found["serving", "bob"] == pytest.approx((3 + 3, 2.5 * 6))
    assert ("idle", "") not in found


def test_what_is_still_in_flight_is_accounted_for_up_to_now_and_once():
    ledger = made()
    up(ledger, 0.0, 0.0)
    ledger.began("a", "m-1", 0.0, "alice")
    assert taken(ledger, 5.0)["serving", "alice"][0] == pytest.approx(5)
    ledger.ended("a", 8.0)
    assert taken(ledger, 9.0) == {
        ("serving", "alice"): pytest.approx((3, 7.5)),
        ("idle", ""): pytest.approx((1, 2.5)),
    }


def test_a_request_that_is_sent_to_another_replica_leaves_the_first():
    ledger = made()
    up(ledger, 0.0, 0.0)
    up(ledger, 0.0, 0.0, replica="m-2")
    ledger.began("a", "m-1", 0.0, "alice")
    ledger.began("a", "m-2", 2.0, "alice")
    ledger.ended("a", 5.0)
    found = taken(ledger, 5.0)
    assert found["serving", "alice"][0] == pytest.approx(2 + 3)
    assert found["idle", ""][0] == pytest.approx(3 + 2)


def test_a_replica_that_dies_with_requests_in_it_serves_nobody_from_then_on():
    ledger = made()
    up(ledger, 0.0, 0.0)
    ledger.began("a", "m-1", 0.0, "alice")
    ledger.moved(moved(4.0, State.READY, State.FAILING))
    ledger.moved(moved(6.0, State.FAILING, State.GONE))
    ledger.ended("a", 7.0)
    found = taken(ledger, 7.0)
    assert found["serving", "alice"][0] == pytest.approx(4)
    assert found["stopping", ""][0] == pytest.approx(2)
    assert sum(seconds for seconds, _ in found.values()) == pytest.approx(6)


def test_an_idle_warmer_is_a_rung_of_its_own_and_pays_its_own_devices():
    ledger = made(Devices(full=4, small=1))
    up(ledger, 0.0, 5.0, small=True)
    ledger.began("a", "m-1", 10.0)
    ledger.ended("a", 12.0)
    found = taken(ledger, 20.0)
    assert found["warmer", ""] == pytest.approx((13, 2.5 * 13))
    assert found["serving", ""] == pytest.approx((2, 5))


def test_a_rental_without_a_replica_is_paid_and_has_no_replica_seconds():
    ledger = made()
    ledger.rented(Rented(0.0, "m", 1, "declared"))
    up(ledger, 10.0, 10.0)
    ledger.settle(30.0)
    rows = ledger.take()
    assert rows[Row("m", rung="rented")].usd == pytest.approx(10)
    assert rows[Row("m", rung="idle")].usd == pytest.approx(20)
    assert replica_seconds(rows) == pytest.approx(20)


def test_replicas_beyond_the_rentals_raise_the_price_of_all_that_are_up():
    ledger = made()
    ledger.rented(Rented(0.0, "m", 1, "declared"))
    up(ledger, 0.0, 0.0)
    up(ledger, 0.0, 0.0, replica="m-2")
    ledger.began("a", "m-2", 0.0)
    found = taken(ledger, 10.0)
    assert found["idle", ""] == found["serving", ""] == pytest.approx((10, (1 + 2.5) / 2 * 10))


def test_a_rental_that_is_given_back_too_early_is_paid_to_the_end_of_its_commitment():
    ledger = made()
    ledger.rented(Rented(0.0, "m", 1, ""))
    ledger.rented(Rented(30.0, "m", 0, ""))
    assert taken(ledger, 500.0) == {("rented", ""): pytest.approx((100, 100))}


def test_a_price_holds_from_when_it_is_said():
    ledger = made()
    up(ledger, 0.0, 0.0)
    ledger.reprice(Price(2.0, 4.0, 100.0), 10.0)
    assert taken(ledger, 20.0)["idle", ""] == pytest.approx((20, 25 + 40))


def test_what_a_provider_charges_is_a_row_of_its_own():
    ledger = made()
    ledger.charged("cloud", "m", 0.5, key="alice", request_class="standard", seconds=3.0)
    ledger.charged("cloud", "m", 0.1, rung="pings")
    rows = ledger.take()
    assert rows[Row("m", "alice", "standard", "burst", "cloud")].usd == 0.5
    assert rows[Row("m", rung="pings", provider="cloud")].usd == 0.1
    assert replica_seconds(rows) == 0.0
    assert usd(rows) == pytest.approx(0.6)


def test_what_nobody_knows_changes_nothing():
    ledger = made()
    ledger.began("a", "nobody", 1.0)
    ledger.ended("a", 2.0)
    ledger.moved(moved(3.0, State.READY, State.GONE))
    ledger.settle(10.0)
    found: Rows = ledger.take()
    assert found == {}


def test_a_moment_before_the_last_counts_as_the_last():
    ledger = made()
    up(ledger, 0.0, 10.0)
    ledger.began("a", "m-1", 9.0)
    ledger.ended("a", 12.0)
    assert sum(s for s, _ in taken(ledger, 11.0).values()) == pytest.approx(12)
