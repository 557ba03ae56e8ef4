import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotlight.sim import columns
from pilotlight.sim.percentiles import percentiles

PERCENTS = (0, 0.1, 50, 95, 99, 100)


def as_numpy(values: np.ndarray) -> list[float]:
    return np.percentile(values, PERCENTS, method="inverted_cdf").tolist()


@given(
    st.lists(
        st.one_of(st.floats(allow_nan=False), st.sampled_from([0.0, -0.0, 0.05, 0.05 + 2**-56, 2.0, 3600.0])),
        min_size=1,
        max_size=60,
    )
)
def test_of_a_column_of_many_pieces_they_are_numpys(values: list[float]):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "PIECE", 4)
        assert percentiles(np.array(values), PERCENTS) == as_numpy(np.array(values))


def test_of_many_values_that_are_nearly_all_the_same(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(columns, "PIECE", 10_000)
    dice = np.random.default_rng(1)
    values = np.where(dice.random(100_003) < 0.96, 0.05, 0.05 + dice.exponential(3.0, 100_003))
    long = columns.column(np.float64, [values])
    assert percentiles(long, PERCENTS) == as_numpy(values)
