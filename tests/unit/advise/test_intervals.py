import numpy as np
import pytest

from pilotlight.advise.intervals import pieces_of_a_block, share, total, wilson


def test_wilson_is_what_tables_say() -> None:
    i = wilson(0.1, 100)  # 5.52 % to 17.44 %
    assert (i.low, i.high) == (pytest.approx(0.0552, abs=2e-4), pytest.approx(0.1744, abs=2e-4))
    assert wilson(0.0, 10).low == 0.0 and wilson(0.0, 10).high == pytest.approx(0.2775, abs=1e-3)


def test_what_never_changes_is_known() -> None:
    i = total(np.full(240, 2.0), 10)
    assert (i.low, i.high) == (pytest.approx(480), pytest.approx(480))


def test_one_block_says_nothing_of_another() -> None:
    assert total(np.ones(3), 3).low == 0.0


def test_fewer_blocks_give_a_wider_interval() -> None:
    values = np.random.default_rng(0).exponential(1.0, 240)
    wide, narrow = total(values, 60), total(values, 4)
    assert wide.high - wide.low > 0
    assert narrow.low < values.sum() < narrow.high


def test_cold_requests_in_clusters_count_for_less() -> None:
    asked = np.full(240, 100.0)
    even, lumped = np.full(240, 5.0), np.zeros(240)
    lumped[100:112] = 100.0
    assert even.sum() == lumped.sum()
    one, other = share(even, asked, 10), share(lumped, asked, 10)
    assert other.high - other.low > 3 * (one.high - one.low)


def test_the_interval_holds_the_truth_most_of_the_time() -> None:
    dice = np.random.default_rng(5)
    held = 0
    for _ in range(200):
        i = total(dice.exponential(1.0, 48), 4)
        held += i.low <= 48 <= i.high
    assert held >= 170


def test_blocks_are_days_where_there_are_enough_of_them() -> None:
    assert pieces_of_a_block(216, 28 * 86400 / 216) == 8
    assert pieces_of_a_block(216, 86400 / 216) == 9  # hours
    assert pieces_of_a_block(216, 1000 / 216) == 18
