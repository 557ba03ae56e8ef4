"""What each keep-alive costs and saves: against hulls by hand and against every bin's edge."""

from math import inf, isfinite

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotlight.fleet.demand import BINS, EDGES, SHORTEST, Gaps, empty_gaps, nothing_known
from pilotlight.policy import gaps

LENGTHS = st.lists(st.floats(0.0, 1e9), max_size=60)
WORTH = st.floats(0.0, 1e7)


def known(*lengths: float) -> Gaps:
    found = empty_gaps()
    for seconds in lengths:
        gaps.learn(found, seconds)
    return found


def edge(seconds: float) -> float:
    return EDGES[gaps.bin_of(seconds)]


@pytest.fixture
def no_prior(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gaps, "PRIOR", 1e-12)


# -- bins ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "bin_"), [(0.0, 0), (1e-9, 0), (SHORTEST, 0), (1e12, BINS - 1), (1e300, BINS - 1)]
)
def test_the_shortest_and_the_longest_have_a_bin(seconds: float, bin_: int):
    assert gaps.bin_of(seconds) == bin_


@given(st.floats(SHORTEST, EDGES[-2] * 0.999))
def test_a_gap_lies_under_its_bins_edge_and_above_the_one_before(seconds: float):
    i = gaps.bin_of(seconds)
    assert EDGES[i] * (1 + 1e-9) >= seconds
    assert i == 0 or EDGES[i - 1] * (1 - 1e-9) <= seconds


def test_with_too_many_the_older_ones_count_for_half():
    found = known(*[10.0] * int(2 * gaps.MEMORY))
    assert found.total == 2 * gaps.MEMORY
    gaps.learn(found, 10.0)
    assert found.total == gaps.MEMORY + 0.5
    assert sum(found.counts) == found.total
    assert sum(found.seconds) == 10.0 * found.total


# -- the hull --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_prior")
def test_the_hull_of_three_gaps_by_hand():
    """Gaps of 1, 10 and 100 s: kept for all of none, one, two or three of them."""
    f = gaps.frontier(known(1.0, 10.0, 100.0), nothing_known())
    a, b, c = edge(1.0), edge(10.0), edge(100.0)
    idle = [(1 + a * 2) / 3, (1 + 10 + b) / 3, (1 + 10 + 100) / 3]
    assert f.stays == (0.0, a, b, c)
    assert f.missed == pytest.approx((1.0, 2 / 3, 1 / 3, 0.0), abs=1e-9)
    assert f.idle == pytest.approx((0.0, *idle))
    assert f.worth == pytest.approx((3 * idle[0], 3 * (idle[1] - idle[0]), 3 * (idle[2] - idle[1])))


@pytest.mark.usefixtures("no_prior")
def test_a_keep_alive_that_never_pays_is_left_out():
    """Who keeps for 10 s does better to keep for the gap of 11 s too."""
    f = gaps.frontier(known(10.0, 10.0, 10.0, 11.0, 1e5), nothing_known())
    assert f.stays == (0.0, edge(11.0), edge(1e5))


@pytest.mark.usefixtures("no_prior")
def test_who_is_asked_every_ten_seconds_is_kept_for_as_long():
    f = gaps.frontier(known(*[10.0] * 50), nothing_known())
    assert f.stays[gaps.best(f, 11.0)] == edge(10.0)
    assert f.stays[gaps.best(f, 9.0)] == 0.0
    assert gaps.cost(f, 11.0) == pytest.approx(10.0)
    assert gaps.cost(f, 9.0) == pytest.approx(9.0)


@given(LENGTHS)
def test_the_hull_is_in_order_and_finite(lengths: list[float]):
    f = gaps.frontier(known(*lengths), nothing_known())
    assert len(f.stays) == len(f.idle) == len(f.missed) == len(f.worth) + 1
    assert list(f.stays) == sorted(set(f.stays)) and f.stays[0] == 0.0
    assert list(f.worth) == sorted(f.worth)
    assert list(f.idle) == sorted(f.idle)
    assert list(f.missed) == sorted(f.missed, reverse=True) and f.missed[0] == 1.0
    assert f.missed[-1] == pytest.approx(0.0, abs=1e-9) and f.missed[-1] >= 0.0
    assert all(isfinite(x) and x >= 0.0 for x in (*f.stays, *f.worth, *f.idle, *f.missed))


@given(LENGTHS, WORTH)
def test_no_edge_of_any_bin_is_better(lengths: list[float], worth: float):
    found, prior = known(*lengths), nothing_known()
    f = gaps.frontier(found, prior)
    chosen = gaps.cost(f, worth)
    tolerance = 1e-6 * (1.0 + chosen)
    assert chosen <= min(i + m * worth for i, m in zip(f.idle, f.missed, strict=True)) + tolerance
    assert chosen <= min(all_edges(found, prior, worth)) + tolerance


def all_edges(found: Gaps, prior: Gaps, worth: float) -> list[float]:
    scale = gaps.PRIOR / prior.total
    counts = [n + scale * m for n, m in zip(found.counts, prior.counts, strict=True)]
    seconds = [n + scale * m for n, m in zip(found.seconds, prior.seconds, strict=True)]
    total = sum(counts)
    return [worth] + [
        (sum(seconds[: i + 1]) + (EDGES[i] + worth) * sum(counts[i + 1 :])) / total for i in range(BINS)
    ]


@given(LENGTHS, WORTH, WORTH)
def test_who_pays_more_keeps_for_no_less_long(lengths: list[float], a: float, b: float):
    f = gaps.frontier(known(*lengths), nothing_known())
    assert f.stays[gaps.best(f, min(a, b))] <= f.stays[gaps.best(f, max(a, b))]


@given(LENGTHS, st.floats(0.0, 1e8))
def test_a_gap_is_outlasted_from_its_price_on(lengths: list[float], gap: float):
    f = gaps.frontier(known(*lengths), nothing_known())
    price = gaps.price_of(f, gap)
    if price == inf:
        assert gap >= f.stays[-1]
        return
    assert f.stays[gaps.best(f, price)] > gap
    assert price == 0.0 or f.stays[gaps.best(f, price * (1 - 1e-9))] <= gap
