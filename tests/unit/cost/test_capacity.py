"""Bills added up by hand: a dedicated device is a dollar a second, one on demand 2.5."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotlight.cost.capacity import Devices, Price, bill, in_use, rentals

PRICE = Price(1.0, 2.5, commitment=100.0)


def test_what_is_on_demand_costs_the_premium_for_as_long_as_it_is_up():
    found = bill([(10.0, 30.0), (20.0, 50.0)], [], PRICE, until=1000.0)
    assert found.usd == pytest.approx(2.5 * (20 + 30))
    assert found.replica_seconds == pytest.approx(50)
    assert found.gpu_seconds == found.on_demand_seconds == pytest.approx(50)


def test_a_rental_costs_whether_a_replica_is_up_or_not():
    found = bill([(10.0, 30.0)], [(0.0, 200.0)], PRICE, until=1000.0)
    assert found.usd == pytest.approx(200)
    assert (found.dedicated_seconds, found.on_demand_seconds) == (pytest.approx(200), 0)
    assert found.replica_seconds == pytest.approx(20)


def test_only_what_is_up_beyond_the_rentals_is_on_demand():
    found = bill([(0.0, 100.0), (40.0, 60.0)], [(0.0, 100.0)], PRICE, until=100.0)
    assert found.usd == pytest.approx(100 + 2.5 * 20)


def test_only_what_lies_between_the_two_moments_counts():
    found = bill([(0.0, 100.0)], [(50.0, 70.0)], PRICE, since=60.0, until=90.0)
    assert found.usd == pytest.approx(10 + 2.5 * 20)
    assert found.replica_seconds == pytest.approx(30)


def test_several_devices_of_a_replica_are_all_paid():
    found = bill([(0.0, 10.0)], [], PRICE, Devices(full=4), until=10.0)
    assert found.usd == pytest.approx(4 * 2.5 * 10)
    assert found.replica_seconds == pytest.approx(10)
    assert bill([(0.0, 20.0)], [(0.0, 10.0)], PRICE, Devices(full=2), until=20.0).usd == pytest.approx(
        20 + 50
    )


def test_a_warmer_pays_its_own_devices():
    found = bill([(0.0, 10.0)], [], PRICE, Devices(full=4, small=1), until=30.0, small=[(10.0, 30.0)])
    assert found.usd == pytest.approx(2.5 * (4 * 10 + 20))
    assert found.replica_seconds == pytest.approx(30)


def test_nothing_costs_nothing():
    assert bill([], [], PRICE, until=10.0).usd == 0.0
    assert bill([(5.0, 5.0)], [], PRICE, until=10.0).usd == 0.0
    assert bill([(0.0, 9.0)], [(0.0, 9.0)], PRICE, since=5.0, until=5.0).usd == 0.0


def test_a_rental_lasts_for_its_commitment():
    assert rentals([(0.0, 1), (30.0, 0)], 100.0, 1000.0) == [(0.0, 100.0)]
    assert rentals([(0.0, 1), (130.0, 0)], 100.0, 1000.0) == [(0.0, 130.0)]
    assert rentals([(0.0, 1), (30.0, 0)], 100.0, 60.0) == [(0.0, 60.0)]
    assert rentals([(0.0, 2)], 100.0, 60.0) == [(0.0, 60.0), (0.0, 60.0)]


def test_a_rental_given_back_too_early_is_taken_over_by_the_next():
    assert rentals([(0.0, 1), (30.0, 0), (50.0, 1)], 100.0, 500.0) == [(0.0, 500.0)]
    found = rentals([(0.0, 1), (30.0, 0), (150.0, 1)], 100.0, 500.0)
    assert sorted(found) == [(0.0, 100.0), (150.0, 500.0)]


def test_of_several_rentals_the_oldest_ends_first():
    found = rentals([(0.0, 1), (80.0, 2), (120.0, 1)], 100.0, 500.0)
    assert sorted(found) == [(0.0, 120.0), (80.0, 500.0)]


spans = st.lists(
    st.tuples(st.floats(0, 1000), st.floats(0, 1000)).map(lambda pair: (min(pair), max(pair))), max_size=20
)


@given(up=spans, rented=spans, since=st.floats(0, 500), lasts=st.floats(0, 500))
def test_a_bill_is_never_negative_and_its_seconds_are_those_of_its_replicas(
    up: list[tuple[float, float]], rented: list[tuple[float, float]], since: float, lasts: float
) -> None:
    until = since + lasts
    found = bill(up, rented, PRICE, since=since, until=until)

    def inside(pieces: list[tuple[float, float]]) -> float:
        return sum(max(0.0, min(y, until) - max(x, since)) for x, y in pieces)

    assert found.replica_seconds == pytest.approx(inside(up), abs=1e-6)
    assert found.dedicated_seconds == pytest.approx(inside(rented), abs=1e-6)
    least = max(0.0, inside(up) - inside(rented))
    assert least - 1e-6 <= found.on_demand_seconds <= inside(up) + 1e-6
    assert found.usd >= 0.0


def test_how_many_are_up_on_average():
    edges = np.array([0.0, 10.0, 20.0, 30.0])
    assert in_use([(5.0, 20.0), (0.0, 10.0)], edges).tolist() == pytest.approx([1.5, 1.0, 0.0])
    assert in_use([], edges).tolist() == [0.0, 0.0, 0.0]


def test_it_is_never_less_than_none():
    spans = [(0.1 * k, 0.1 * k + 0.037) for k in range(100)]
    found = in_use(spans, np.linspace(0.0, 30.0, 50))
    assert (found >= 0.0).all() and found[-1] == pytest.approx(0.0)
