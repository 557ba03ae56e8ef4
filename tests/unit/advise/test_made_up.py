import numpy as np
import pytest

from pilotlight.advise.made_up import burst, made_up, rate
from pilotlight.errors import TraceError


def test_a_burst_is_so_many_requests_or_a_rate() -> None:
    b = burst("2000@15m/d")
    assert (b.requests, b.lasts, b.every) == (2000.0, 900.0, 86400.0)
    assert burst("2/s@10m/w").requests == 1200.0


def test_bursts_come_once_in_each_period() -> None:
    trace = made_up(0.0, [burst("500@10m/d")], 5 * 86400.0, seed=1)
    of_day = np.bincount((trace.t // 86400).astype(int), minlength=5)
    assert all(400 < n < 600 for n in of_day)
    for day in range(5):
        t = trace.t[(trace.t // 86400) == day]
        assert t[-1] - t[0] <= 600


def test_the_rate_is_kept_and_the_seed_decides() -> None:
    one, again, other = (made_up(rate("100/h"), [], 7 * 86400.0, seed) for seed in (1, 1, 2))
    assert len(one) == pytest.approx(16800, rel=0.05)
    assert np.array_equal(one.t, again.t) and not np.array_equal(one.t[:10], other.t[:10])


def test_how_long_is_chosen_such_that_it_can_be_simulated() -> None:
    assert len(made_up(rate("5/s"), [], None, 0)) < 200_000
    assert made_up(rate("3/d"), [], None, 0).span > 20 * 86400


@pytest.mark.parametrize(
    "text", ["", "2000", "2000@15m", "2000@2d/d", "0@1m/h", "x@1m/h", "5@x/h", "nan@1m/h", "1e9@1m/h"]
)
def test_what_is_no_burst_is_told_with_the_form(text: str) -> None:
    with pytest.raises(TraceError, match="2000@15m/d"):
        burst(text)


@pytest.mark.parametrize("text", ["", "200", "0/h", "-1/h", "x/h", "1/y"])
def test_what_is_no_rate_is_told(text: str) -> None:
    with pytest.raises(TraceError, match="--rate"):
        rate(text)


def test_too_little_is_told() -> None:
    with pytest.raises(TraceError, match=r"hardly anybody|nobody asks"):
        made_up(rate("1/d"), [], 864.0, 0)
