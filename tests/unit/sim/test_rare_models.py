"""A model that is seldom asked for beside a busy one, with and without `objective.per_model_max`."""

import numpy as np
import pytest

from pilotlight.sim.defaults import TEXT
from pilotlight.sim.result import Result
from pilotlight.sim.simulate import simulate
from pilotlight.sim.starts import constant
from pilotlight.sim.trace import Trace
from pilotlight.spec.load import parse

HOUR, DAY = 3600.0, 86400.0
RENTED = 2500.0 / 730
"""USD of an hour of a replica that is always up."""


def beside_a_busy_one(gap: float, days: float = 14.0) -> Trace:
    """Both by chance: one every 10 s, the other after `gap` seconds on average."""
    dice = np.random.default_rng(3)
    found = [np.cumsum(dice.exponential(each, int(2 * days * DAY / each) + 20)) for each in (10.0, gap)]
    t = [times[times < days * DAY] for times in found]
    rows = [
        (float(x), name, 400, 100) for name, times in zip(("busy", "rare"), t, strict=True) for x in times
    ]
    return Trace.from_rows("by hand", rows)


def played(trace: Trace, limit: str, start: float) -> Result:
    text = TEXT.replace("[2%, 5%]}", f"[2%, 5%], {limit}}}")
    return simulate(trace, parse(text, "x", {}, simulated=True), constant(start))


@pytest.mark.parametrize("start", [5.0, 40.0])
@pytest.mark.parametrize("gap", [HOUR / 4, HOUR, 3 * HOUR])
def test_no_model_is_worse_than_it_may_be_and_that_costs_one_replica_at_most(
    gap: float, start: float
) -> None:
    trace = beside_a_busy_one(gap)
    without, guarded = played(trace, "", start), played(trace, "per_model_max: 20%", start)
    assert without.cold_rate_by_model["rare"] > 0.9
    assert guarded.cold_rate_by_model["rare"] < 0.2
    assert guarded.cost_usd - without.cost_usd < 1.2 * RENTED * 0.9 * trace.span / HOUR


def test_a_limit_that_allows_all_is_none() -> None:
    trace = beside_a_busy_one(HOUR, 2.0)
    without, all_may = played(trace, "", 5.0), played(trace, "per_model_max: 100%", 5.0)
    assert all_may.cost_usd == without.cost_usd and all_may.cold_rate_by_model == without.cold_rate_by_model
