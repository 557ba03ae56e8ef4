"""The policies that the defaults are compared with and pilotlight has not, by hand."""

import importlib
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pilotlight.fleet.actions import Action, Assign, Moved
from pilotlight.fleet.events import Event
from pilotlight.fleet.fleet import Fleet
from pilotlight.fleet.states import State
from pilotlight.sim.result import TIMINGS
from pilotlight.sim.simulate import simulate
from pilotlight.sim.starts import constant
from pilotlight.sim.trace import Trace
from pilotlight.sim.traffic import bursty

POLICIES = Path(__file__).parents[3] / "benchmarks" / "policies"
NAMES = ("rows", "configs", "rivals", "histogram", "knative", "goals")
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


class Watched:
    """A rival, and what came of what it ordered."""

    def __init__(self, policies: SimpleNamespace, rival: Any, *requests: tuple[float, int]) -> None:
        """Each with its moment and the tokens of its answer. A start takes ten seconds."""
        self.wait: dict[int, float] = {}
        self._orders = policies.rivals.Orders(rival)
        self._began: dict[str, float] = {}
        self._ended: dict[str, float] = {}
        self._t = [t for t, _ in requests]
        rows = [(t, "m", 1, tokens) for t, tokens in requests]
        simulate(Trace.from_rows("x", rows), rival.config, constant(10.0), beside=self)

    def __call__(self, fleet: Fleet, event: Event, out: list[Action]) -> None:
        self._orders(fleet, event, out)
        for a in out:
            if isinstance(a, Assign):
                self.wait[int(a.request)] = event.at - self._t[int(a.request)]
            elif isinstance(a, Moved) and a.was is None:
                self._began[a.replica] = event.at
            elif isinstance(a, Moved) and a.state is State.GONE:
                self._ended[a.replica] = event.at

    @property
    def spans(self) -> list[tuple[float, float]]:
        return [(began, self._ended.get(r, math.inf)) for r, began in self._began.items()]


def test_a_keep_alive_that_a_rival_says_is_one_that_the_config_says(policies: SimpleNamespace) -> None:
    class Fixed(policies.rivals.Rival):
        config = policies.configs.silent()

        def over(self, orders: Any, d: Any, r: Any) -> None:
            if not r.in_flight:
                orders.keep(d, r, 600.0)

        def ready(self, orders: Any, d: Any, r: Any) -> None:
            self.over(orders, d, r)

    trace, starts = bursty(0.02, 48 * 3600, seed=1), constant(40.0)
    said = policies.rivals.play(trace, Fixed(), starts).figures()
    declared = simulate(trace, policies.configs.keep_alive(600.0), starts).figures()
    assert 0.02 < declared["cold_rate"] < 0.5
    assert {n: x for n, x in said.items() if n not in TIMINGS} == {
        n: x for n, x in declared.items() if n not in TIMINGS
    }


def test_knative_goes_to_zero_after_its_window_and_its_grace(policies: SimpleNamespace) -> None:
    found = Watched(policies, policies.knative.Knative(), (0.0, 0))
    ((began, end),) = found.spans
    assert (began, found.wait[0]) == (0.0, 10.0)
    assert 10 + 60 + 30 <= end <= 10 + 60 + 30 + 3 * policies.knative.TICK


def test_knative_panics_when_many_come_at_once(policies: SimpleNamespace) -> None:
    """64 of 70 % of 8 slots each ask for 12; the mean over the window of a minute is not yet there by then. The kernel
    itself orders none when they come."""
    quiet = [(float(t), LONG) for t in range(0, 200, 18)]
    burst = [(200.0, LONG)] * 64
    found = Watched(policies, policies.knative.Knative(), *quiet, *burst)
    ordered = [began for began, _ in found.spans if 198 < began <= 208]
    assert len(ordered) >= 10 and 200.0 not in ordered


def test_knative_lets_half_go_at_a_time_and_the_latest_first(policies: SimpleNamespace) -> None:
    """At 10 s one of 12 is ready: the last panic, for a minute. Of 64 that ran for 19 of the 60 s before its end the
    window asks for 4."""
    found = Watched(policies, policies.knative.Knative(), *[(0.0, LONG)] * 64)
    left = {t: sum(end > t for _, end in found.spans) for t in (68.0, 70.0, 72.0)}
    assert left == {68.0: 12, 70.0: 6, 72.0: 4}
    assert max(found.spans, key=lambda span: span[1])[0] == 0.0


def test_the_histogram_is_there_when_an_hourly_request_comes_and_not_in_between(
    policies: SimpleNamespace,
) -> None:
    hourly = [(3600.0 * i, 0) for i in range(30)]
    found = Watched(policies, policies.histogram.Histogram(10.0), *hourly)
    assert found.wait[0] == 10.0 and not any(found.wait[i] for i in range(20, 30))
    late = [(began, end) for began, end in found.spans if 15 * 3600 < began < 29 * 3600]
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
        return policies.rows.Row(name, 0.03, 0.03, 0.05, 2.0, usd, usd, 1.0, 60, 0.04, 0.5, None)

    rows = [row(name, measured) for name in ("default", "best keep-alive (1m)", "always on, peak")]
    cell = policies.rows.Cell(trace, start, 60_000, 1, 10.0, 1.0, tuple(rows))
    found = {v.goal: v.verdict for v in policies.goals.judge(cell)}
    assert found["cost / oracle"] == verdict
    assert found["windows above"] == found["cost / cheapest fixed"] == "met"
