"""Small traces reckoned by hand: a GPU costs a dollar a second, a token takes one, and a start ten."""

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotlight.sim import loop
from pilotlight.sim.defaults import TEXT, default_config
from pilotlight.sim.load import load
from pilotlight.sim.result import TIMINGS, Result
from pilotlight.sim.simulate import PATIENCE, simulate
from pilotlight.sim.starts import constant, empirical
from pilotlight.sim.trace import Trace
from pilotlight.spec.load import parse
from pilotlight.spec.model import Config

MONTH = 730 * 3600
FIXED = "ttl: 60s, target_requests: 1, max_requests: 1, max_replicas: 10"


def config(defaults: str = FIXED, more: str = "", hosts: str = "") -> Config:
    text = f"""
defaults: {{{defaults}}}
prices: {{gpu_month_usd: {MONTH}, serverless_premium: 2.5, commitment: 100s}}
simulation: {{first_token: 0s, per_token: 1s, warm_up: 0%{hosts}}}
{more}
"""
    return parse(text, "test", {}, simulated=True)


def play(
    *requests: tuple[float, int] | tuple[float, int, str], given: Config | None = None, **more: Any
) -> Result:
    rows = [(r[0], r[2] if len(r) > 2 else "m", 1, r[1]) for r in requests]
    return simulate(Trace.from_rows("x", rows), given or config(), constant(10.0), **more)


LONELY = ((0.0, 20), (200.0, 5), (1000.0, 0))


def test_replicas_that_come_and_go_cost_the_premium_from_order_to_end():
    found = play(*LONELY)
    # Up from 0 to 10 + 20 + 60, and from 200 to 210 + 5 + 60; the third is ordered as the trace ends.
    assert found.cost_usd == pytest.approx(2.5 * (90 + 75))
    assert found.replica_hours * 3600 == pytest.approx(165)
    assert found.gpu_hours == pytest.approx(found.replica_hours)
    assert (found.cold_rate, found.ttft_p50, found.starts) == (1.0, 10.0, 3)


def test_the_oracle_pays_work_and_the_shorter_of_gap_and_start():
    found = play(*LONELY)
    assert found.oracle_cost_usd == pytest.approx(2.5 * (20 + 10 + 5))
    assert found.cost_over_oracle == pytest.approx(165 / 35)
    assert found.oracle_gpu_hours * 3600 == pytest.approx(35)
    assert found.always_on_usd == pytest.approx(1000)


def test_a_base_costs_the_dedicated_price_all_the_time():
    found = play(*LONELY, given=config(f"{FIXED}, base: 1"))
    assert found.cost_usd == pytest.approx(1000)
    assert found.dedicated_gpu_hours * 3600 == pytest.approx(1000)
    assert found.cold_rate == pytest.approx(1 / 3), "the first comes while it starts"
    assert found.ttft_p50 == 0.0


def test_what_exceeds_the_base_is_paid_on_demand():
    given = config(f"{FIXED}, min_replicas: 1")
    found = play((0.0, 1), (100.0, 30), (110.0, 5), (1000.0, 0), given=given)
    # A second one from 110 to 120 + 5 + 60.
    assert found.cost_usd == pytest.approx(1000 + 2.5 * 75)


def test_the_warm_up_counts_in_neither():
    given = parse(
        f"defaults: {{{FIXED}}}\nprices: {{gpu_month_usd: {MONTH}}}\n"
        "simulation: {first_token: 0s, per_token: 1s, warm_up: 10%}\n", "test", {}, simulated=True,
    )  # fmt: skip
    found = play(*LONELY, given=given)
    assert (found.requests, found.evaluated) == (3, 2)
    assert found.cost_usd == pytest.approx(2.5 * 75)
    assert found.oracle_cost_usd == pytest.approx(2.5 * (10 + 5))


def test_requests_beyond_the_slots_wait_their_turn():
    given = config("ttl: 60s, target_requests: 1, max_requests: 1, max_replicas: 1")
    found = play((0.0, 5), (1.0, 5), (2.0, 5), given=given)
    assert found.ttft_p99 == pytest.approx(10 + 5 + 5 - 2)
    assert found.starts == 1
    assert found.unserved == 0


def test_a_first_token_in_time_is_no_cold_one():
    given = config(more="objective: {wait: 10s}")
    assert play((0.0, 5), given=given).cold_rate == 0.0
    given = config(more="objective: {wait: 9.9s}")
    assert play((0.0, 5), given=given).cold_rate == 1.0


def test_cold_rates_are_told_by_model():
    found = play((0.0, 1, "a"), (20.0, 1, "a"), (30.0, 1, "b"), (100.0, 0, "a"))
    assert found.cold_rate_by_model == {"a": pytest.approx(2 / 3), "b": 1.0}
    assert found.cold_rate_worst_model == 1.0
    assert found.cold_rate == pytest.approx(3 / 4)


def test_what_is_refused_counts_as_cold():
    given = config(f"{FIXED}, max_pending_requests: 1")
    found = play((0.0, 1), (1.0, 1), (100.0, 0), given=given)
    assert (found.refused, found.unserved) == (1, 1)
    assert found.cold_rate == pytest.approx(1.0)
    assert found.ttft_p99 == pytest.approx(100 + PATIENCE - 1)


def test_what_waits_still_when_patience_is_over_was_never_served():
    given = config("ttl: 60s, target_requests: 1, max_requests: 1, max_replicas: 1")
    found = play((0.0, 10_000), (1.0, 5), given=given)
    assert found.unserved == 1
    assert found.cold_rate == 1.0


def test_a_parked_model_wakes_in_place_of_starting():
    hosts = ", wake_time: 1.5s, hosts: {gpus: 1, models_per_gpu: 1}"
    found = play(
        (0.0, 1, "a"), (100.0, 1, "b"), (200.0, 1, "a"), (1000.0, 0, "b"),
        given=config("ttl: -1, target_requests: 8, max_requests: 8", hosts=hosts),
    )  # fmt: skip
    assert found.starts == 2
    assert found.ttft_p50 == pytest.approx(1.5)
    assert found.cold_rate == pytest.approx(2 / 4)
    assert found.cost_usd == pytest.approx(1000), "the pool costs what it costs, whatever is in it"


def test_models_share_a_gpu_of_a_pool_as_many_as_may():
    hosts = ", hosts: {gpus: 1, models_per_gpu: 2}"
    given = config("ttl: auto, base: auto, target_requests: 8, max_requests: 8", hosts=hosts)
    found = play((0.0, 1, "a"), (100.0, 1, "b"), (200.0, 1, "a"), (300.0, 1, "b"), given=given)
    assert (found.starts, found.ttft_p50, found.ttft_p99) == (2, 0.0, 10.0)
    assert found.ttft_mean == pytest.approx(5.0)


def test_more_devices_cost_more_and_so_do_the_oracles():
    given = config(f"{FIXED}, gpus: 4")
    one, four = play(*LONELY), play(*LONELY, given=given)
    assert four.cost_usd == pytest.approx(4 * one.cost_usd)
    assert four.oracle_cost_usd == pytest.approx(4 * one.oracle_cost_usd)
    assert four.always_on_usd == pytest.approx(4 * one.always_on_usd)
    assert four.replica_hours == pytest.approx(one.replica_hours)


def test_a_model_goes_by_its_aliases():
    given = config(more="models: {m: {min_replicas: 1, ttl: 60s, max_replicas: 10, aliases: [other]}}")
    found = play((50.0, 1, "m"), (100.0, 1, "other"), given=given)
    assert (found.starts, found.models) == (1, 2)


def test_a_declared_model_that_nobody_asks_for_costs_what_it_keeps_up():
    given = config(more="models: {idle: {min_replicas: 1}}")
    assert play(*LONELY, given=given).cost_usd == pytest.approx(2.5 * 165 + 1000)


def test_the_default_config_is_what_its_text_says():
    text = TEXT.replace("max_replicas: 100000 ", "max_replicas: 7 ")
    assert text != TEXT
    assert parse(text, "x", {}, simulated=True).default_model.max_replicas == 7
    assert default_config().default_model.slots == 8
    assert default_config().objective.cold_rate == (0.02, 0.05)


def without_timings(result: Result) -> str:
    return json.dumps({k: v for k, v in result.figures().items() if k not in TIMINGS})


def test_runs_repeat_to_the_byte():
    trace = load("synthetic://bursty?rate=300/h&hours=6&models=5&seed=3")
    starts = empirical([1.0, 5.0, 40.0], "file")
    one, again, other = (simulate(trace, default_config(), starts, seed) for seed in (1, 1, 2))
    assert without_timings(one) == without_timings(again)
    assert one.cost_usd != other.cost_usd, "another seed draws other start times"


def test_figures_are_json_and_have_all_that_is_promised():
    found = json.loads(json.dumps(play(*LONELY).figures()))
    assert found.keys() >= {
        "requests", "cold_rate", "cold_rate_worst_model", "cold_rate_by_model", "ttft_p50", "ttft_p95", "ttft_p99",
        "replica_hours", "gpu_hours", "cost_usd", "oracle_cost_usd", "cost_over_oracle", "windows_in_band",
        "windows_above_band", "wall_s", "cpu_s", "requests_per_s", "trace", "config", "oracle_gpu_hours",
        "gpu_hours_over_oracle", "always_on_usd", "span_s", "start_time", "refused", "faults",
    }  # fmt: skip
    assert found["windows_in_band"] is None


def test_an_empty_trace_is_no_error():
    found = simulate(Trace.from_rows("x", []), default_config())
    assert (found.requests, found.cold_rate, found.cost_usd, found.cost_over_oracle) == (0, None, 0.0, None)


def test_requests_of_one_moment_only_cost_nothing_yet():
    found = play((5.0, 1), (5.0, 1), (5.0, 1, "b"))
    assert (found.cost_usd, found.oracle_cost_usd, found.cost_over_oracle) == (0.0, 0.0, None)
    assert found.unserved == 0


def test_a_thousand_models():
    trace = load("synthetic://poisson?rate=1000/h&hours=1&models=1000&zipf=0")
    found = simulate(trace, default_config(), constant(5.0))
    assert found.models == len(trace.models) and found.unserved == 0
    assert set(found.cold_rate_by_model) <= set(trace.models)


def test_a_longer_trace_takes_columns_of_memory_and_nothing_else(monkeypatch: pytest.MonkeyPatch):
    """The replay keeps nothing of a request that is over; of a trace as short as this some 100 bytes
    of each are columns in memory."""
    run, peaks = loop.run, list[int]()

    def measured(*words: Any) -> Any:
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        fleet = run(*words)
        peaks.append(tracemalloc.get_traced_memory()[1] - before)
        return fleet

    monkeypatch.setattr(loop, "run", measured)
    given = config("ttl: 10m, min_replicas: 2, max_replicas: 50, target_requests: 8, max_requests: 8")
    for hours in (6, 36):
        trace = load(f"synthetic://bursty?rate=1000/h&hours={hours}&models=5&output=5")
        tracemalloc.start()
        try:
            simulate(trace, given, constant(5.0))
            whole = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    short, long = peaks
    assert long < 1.5 * short
    assert max(whole, long) < 150 * len(trace)


requests = st.lists(
    st.tuples(st.floats(0, 2000), st.integers(0, 300), st.sampled_from(["a", "b", "c"])),
    min_size=1,
    max_size=60,
)
policies = st.sampled_from(
    [
        FIXED,
        "ttl: 0, max_replicas: 3, target_requests: 2, max_requests: 4",
        "ttl: auto, base: auto, max_replicas: 100, target_requests: 2, max_requests: 2",
        "ttl: 5m, min_replicas: 1, max_replicas: 5, target_requests: 1, max_requests: 1",
        "ttl: -1, base: 2, max_replicas: 5, target_requests: 3, max_requests: 3",
    ]
)


@settings(max_examples=60, deadline=None)
@given(asked=requests, policy=policies, pooled=st.booleans(), start=st.floats(0.1, 100))
def test_whatever_comes_is_served_and_the_figures_hold_together(
    asked: list[tuple[float, int, str]], policy: str, pooled: bool, start: float
) -> None:
    given = config(policy, hosts=", hosts: {gpus: 3, models_per_gpu: 2}" if pooled else "")
    trace = Trace.from_rows("x", [(t, m, 1, n) for t, n, m in asked])
    found = simulate(trace, given, constant(start))
    assert found.cost_usd >= 0.0 and found.oracle_cost_usd >= 0.0
    assert found.cold_rate is not None and 0.0 <= found.cold_rate <= 1.0
    assert all(0.0 <= rate <= 1.0 for rate in found.cold_rate_by_model.values())
    if not pooled:
        assert found.unserved == 0
        assert found.gpu_hours >= found.replica_hours - 1e-9
    assert found.refused <= found.unserved
    assert sum(found.series.requests) in (0, len(trace))
    assert found.ttft_p50 is not None and found.ttft_p99 is not None
    assert 0.0 <= found.ttft_p50 <= found.ttft_p99
