"""What goes wrong at simulated providers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotlight.fleet.events import Declined
from pilotlight.sim.troubles import Limit, Troubles, drawn
from pilotlight.spec.simulation import Outage, RemoteTroubles

RATES = st.sampled_from([100 / 60, 30 / 3600, 0.5, 7.3 / 60, 5.0])


@given(RATES, st.lists(st.floats(0.0, 40.0), max_size=60))
def test_no_minute_has_more_requests_than_its_limit_and_whoever_waits_as_told_is_let_in(
    rate: float, gaps: list[float]
):
    limit, now, taken = Limit(rate), 0.0, list[float]()
    most = max(1, round(60.0 * rate))
    for gap in gaps:
        now += gap
        wait = limit.takes(now)
        if wait is not None:
            assert wait >= 1.0
            now += wait
            assert limit.takes(now) is None
        taken.append(now)
    for early, late in zip(taken, taken[most:], strict=False):
        assert late - early >= most / rate - 1e-6


def test_a_hundred_a_minute_may_come_at_once():
    limit = Limit(100 / 60)
    assert [limit.takes(0.0) for _ in range(101)] == [None] * 100 + [60.0]
    assert Limit(1e300).takes(0.0) is None


def test_it_cannot_be_reached_in_an_outage_which_begins_with_the_trace():
    said = RemoteTroubles(outages=(Outage(60.0, 30.0), Outage(200.0, 1.0)))
    troubles = Troubles("p", said, 1000.0, seed=0)
    down = [t for t in (1059.9, 1060.0, 1089.9, 1090.0, 1200.5) if troubles.at_once("r", t) is not None]
    assert down == [1060.0, 1089.9, 1200.5]
    found = troubles.at_once("r", 1060.0)
    assert isinstance(found, Declined)
    assert found.kind == "unreachable"


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0, 0), (0.1, 70, 130), (1.0, 1000, 1000)])
def test_a_share_of_the_requests_fails_and_the_same_ones_with_the_same_seed(
    share: float, least: int, most: int
):
    def failed(seed: int) -> set[int]:
        troubles = Troubles("p", RemoteTroubles(fails=share), 0.0, seed)
        return {i for i in range(1000) if troubles.later(str(i), 0.0) is not None}

    assert least <= len(failed(1)) <= most
    assert failed(1) == failed(1)
    assert (failed(1) == failed(2)) == (share in (0.0, 1.0))


def test_what_is_drawn_is_a_share():
    assert 0.0 <= min(drawn(0, str(i)) for i in range(1000)) < 0.01
    assert 0.99 < max(drawn(0, str(i)) for i in range(1000)) < 1.0
