"""What a replay tells is kept, and billed: a dedicated device is a dollar a second, one on demand 2.5."""

import pytest

from pilotlight.cost.capacity import Price
from pilotlight.fleet.actions import Moved, Note, Refuse, Rented
from pilotlight.fleet.states import Cause, State
from pilotlight.sim.ledger import Ledger

PRICE = Price(1.0, 2.5, commitment=100.0)


def moved(at: float, replica: str, was: State | None, state: State, *, small: bool = False) -> Moved:
    return Moved(at, replica, "m", was, state, Cause.CAME_UP, "", small)


def test_a_replica_is_up_from_its_order_to_its_end():
    ledger = Ledger()
    ledger.told(moved(10.0, "m-1", None, State.STARTING), 10.0)
    ledger.told(moved(15.0, "m-1", State.STARTING, State.READY), 15.0)
    ledger.told(moved(20.0, "m-2", None, State.STARTING), 20.0)
    ledger.told(moved(25.0, "m-1", State.STOPPING, State.GONE), 25.0)
    assert ledger.up(50.0) == {("m", False): [(10.0, 25.0), (20.0, 50.0)]}
    assert ledger.starts == 2
    assert ledger.bills(PRICE, {}, 0.0, 50.0)["m"].replica_seconds == pytest.approx(45)


def test_what_is_told_of_rentals_refusals_and_notes_is_kept():
    ledger = Ledger()
    ledger.told(Rented(5.0, "m", 2, "declared"), 5.0)
    ledger.told(Refuse("7", 429, "too_many", "full"), 6.0)
    for _ in range(3):
        ledger.told(Note("m", "m waits for room"), 7.0)
    assert ledger.rented == {"m": [(5.0, 2)]}
    assert ledger.refused == ["7"]
    assert ledger.notes() == ("waits for room: 3 times",)
    assert ledger.bills(PRICE, {}, 0.0, 10.0)["m"].usd == pytest.approx(2 * 5)


def test_where_nobody_asks_what_became_of_replicas_only_the_bill_is_kept():
    kept, billed = Ledger(), Ledger(logs=False)
    for ledger in (kept, billed):
        ledger.told(moved(10.0, "m-1", None, State.STARTING), 10.0)
        ledger.told(Rented(12.0, "m", 1, "declared"), 12.0)
        ledger.told(moved(25.0, "m-1", State.STOPPING, State.GONE), 25.0)
    assert (len(kept.log), billed.log) == (3, [])
    assert billed.bills(PRICE, {}, 0.0, 50.0) == kept.bills(PRICE, {}, 0.0, 50.0)
