import math

import pytest

from pilotlight.cost.break_even import requests_per_hour, tokens_per_month, utilisation


def test_six_seconds_at_two_and_a_half_times_the_price_break_even_at_240_an_hour():
    found = requests_per_hour(2.5, 6)
    assert found.value == pytest.approx(240)
    assert found.with_numbers == "240/h = 3600 / (2.5 x 6 s)"


def test_idle_time_and_a_start_that_are_billed_bring_it_to_14_an_hour():
    assert requests_per_hour(2.5, 6 + 60 + 40).value == pytest.approx(13.58, abs=0.01)


def test_200_an_hour_mean_7_2_seconds_of_a_device_for_each_request():
    assert requests_per_hour(2.5, 7.2).value == pytest.approx(200)


def test_utilisation_is_one_over_the_premium():
    assert utilisation(2.5).value == pytest.approx(0.4)
    assert utilisation(2.0).with_numbers == "50 % = 1 / 2"


def test_what_is_cheaper_on_demand_is_never_worth_renting():
    assert math.isinf(utilisation(0.8).value)
    assert utilisation(0.8).with_numbers.startswith("never")


def test_a_70b_at_88_cents_breaks_even_at_billions_of_tokens():
    assert tokens_per_month(5000, 0.88).value == pytest.approx(5.68e9, rel=0.01)


@pytest.mark.parametrize(("premium", "seconds"), [(0, 1), (1, 0), (-1, 5)])
def test_numbers_that_mean_nothing_are_refused(premium: float, seconds: float):
    with pytest.raises(ValueError, match="above 0"):
        requests_per_hour(premium, seconds)
