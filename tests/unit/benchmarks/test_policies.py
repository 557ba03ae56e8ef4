"""The policies that the defaults are compared with and pilotlight has not, by hand, in the loop of their own."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pilotlight.sim.defaults import default_config
from pilotlight.sim.simulate import simulate
from pilotlight.sim.starts import constant
from pilotlight.sim.trace import Trace
from pilotlight.sim.traffic import bursty

POLICIES = Path(__file__).parents[3] / "benchmarks" / "policies"
NAMES = ("rows", "rivals", "fixed", "histogram", "knative", "configs", "goals")
LONG = 633
"""Tokens of an answer that takes some 19 s."""


@pytest.fixture(scope="module")
def policies() -> Iterator[SimpleNamespace]:
    """They import each other by bare names."""
    kept = {name: sys.modules.pop(name) for name in NAMES if name in sys.modules}
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(POLICIES))
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in NAMES})
    for name in NAMES:
        del sys.modules[name]
    sys.modules.update(kept)


def world(policies: SimpleNamespace, rival: Any, *requests: tuple[float, int], until: float) -> Any:
    rows = [(t, "m", 1, tokens) for t, tokens in requests]
    found = policies.rivals.World(Trace.from_rows("x", rows), default_config(), 10.0, rival)
    found.play(until)
    return found


def test_both_loops_agree_on_a_fixed_keep_alive(policies: SimpleNamespace) -> None:
    trace = bursty(0.02, 48 * 3600, seed=1)
    config = policies.configs.keep_alive(600.0)
    ours = simulate(trace, config, constant(40.0))
    row = policies.rivals.play(
        "x",
        trace,
        config,
        40.0,
        policies.fixed.Fixed(600.0),
        SimpleNamespace(cost_usd=ours.oracle_cost_usd, gpu_hours=ours.oracle_gpu_hours),
    )
    assert ours.cold_rate is not None and 0.02 < ours.cold_rate < 0.5
    assert row.cold == pytest.approx(ours.cold_rate, abs=0.005)
    assert row.usd == pytest.approx(ours.cost_usd, rel=0.02)


def test_knative_goes_to_zero_after_its_window_and_its_grace(policies: SimpleNamespace) -> None:
    found = world(policies, policies.knative.Knative(), (0.0, 0), until=1000.0)
    ((began, end),) = found.spans
    assert (began, found.wait[0]) == (0.0, 10.0)
    assert 10 + 60 + 30 <= end <= 10 + 60 + 30 + 3 * policies.knative.TICK


def test_knative_panics_when_many_come_at_once(policies: SimpleNamespace) -> None:
    """64 of 70 % of 8 slots each ask for 12; the mean over the window of a minute is not yet there by then."""
    quiet = [(float(t), LONG) for t in range(0, 200, 18)]
    burst = [(200.0, LONG)] * 64
    found = world(policies, policies.knative.Knative(), *quiet, *burst, until=1000.0)
    ordered = [began for began, _ in found.spans if 200 <= began <= 208]
    assert len(ordered) >= 10


def test_the_histogram_is_there_when_an_hourly_request_comes_and_not_in_between(
    policies: SimpleNamespace,
) -> None:
    hourly = [(3600.0 * i, 0) for i in range(30)]
    found = world(policies, policies.histogram.Histogram(), *hourly, until=29 * 3600.0)
    assert found.wait[0] == 10.0 and not found.wait[20:].any()
    late = [(began, end) for began, end in found.spans if began > 15 * 3600]
    assert len(late) >= 13 and np.mean([end - began for began, end in late]) < 1800


@pytest.mark.parametrize(
    ("trace", "start", "measured", "verdict"),
    [
        ("azure_code_2023", 5.0, 1.10, "met"),
        ("azure_code_2023", 5.0, 1.25, "floor"),
        ("azure_code_2023", 5.0, 1.26, "**missed**"),
        ("azure_code_2023", 40.0, 2.5, "floor"),
        ("burstgpt_other", 40.0, 1.4, "floor"),
        ("servegen_mmimage_x", 40.0, 2.01, "**missed**"),
        ("servegen_mlarge_x", 5.0, 1.35, "met"),
        ("servegen_mlarge_x", 40.0, 4.5, "floor"),
    ],
)
def test_the_goals_are_those_of_the_class_of_trace(
    policies: SimpleNamespace, trace: str, start: float, measured: float, verdict: str
) -> None:
    def row(name: str, usd: float) -> Any:
        return policies.rows.Row(name, "x", 0.03, 0.03, 0.05, 2.0, usd, usd, 1.0, 60, 0.04, 0.5, None)

    rows = [row(name, measured) for name in ("default", "best keep-alive (1m)", "always on, peak")]
    cell = policies.rows.Cell(trace, start, 60_000, 1, 10.0, 1.0, tuple(rows))
    found = {v.goal: v.verdict for v in policies.goals.judge(cell)}
    assert found["cost / oracle"] == verdict
    assert found["windows above"] == found["cost / cheapest fixed"] == "met"
