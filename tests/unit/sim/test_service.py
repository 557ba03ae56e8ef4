"""How long requests run, by hand: a GPU costs a dollar a second, a token takes one, and a start ten."""

import numpy as np
import pytest

from pilotlight.advise.sizing import sizes
from pilotlight.sim.oracle import oracle, peak_levels
from pilotlight.sim.result import Result
from pilotlight.sim.service import first_tokens, service
from pilotlight.sim.simulate import simulate
from pilotlight.sim.starts import constant
from pilotlight.sim.trace import Trace
from pilotlight.spec.load import parse
from pilotlight.spec.model import Config

MONTH = 730 * 3600
PREFILL = "per_prompt_token: 100ms"
SLOWER = "slowdown: 50%"

Asked = tuple[float, int, int]
"""When, and tokens of prompt and answer."""


def config(said: str, slots: int = 1, policy: str = "max_replicas: 1", more: str = "") -> Config:
    return parse(
        f"defaults: {{ttl: 60s, target_requests: {slots}, max_requests: {slots}, {policy}}}\n"
        f"prices: {{gpu_month_usd: {MONTH}, serverless_premium: 2.5, commitment: 100s}}\n"
        f"simulation: {{first_token: 0s, per_token: 1s, warm_up: 0%, {said}}}\n{more}",
        "test", {}, simulated=True,
    )  # fmt: skip


def trace(*asked: Asked) -> Trace:
    return Trace.from_rows("x", [(t, "m", prompt, output) for t, prompt, output in asked])


def play(given: Config, *asked: Asked, bill: bool = False) -> Result:
    return simulate(trace(*asked), given, constant(10.0), bill=bill)


def ttft(found: Result) -> tuple[float | None, float | None, float]:
    """The middle one, the longest, and the sum."""
    return found.ttft_p50, found.ttft_p99, pytest.approx((found.ttft_mean or 0.0) * found.evaluated)


def test_a_prompt_delays_the_first_token_and_all_after_it():
    given = config(PREFILL).simulation
    made = trace((0, 20, 5), (1, 0, 7), (2, 1000, 0))
    assert first_tokens(made, given).tolist() == [2.0, 0.0, 100.0]
    assert service(made, given).tolist() == [7.0, 7.0, 100.0]


def test_who_waits_for_a_slot_waits_for_prompts_too():
    # The first begins at 10, has its first token at 12 and ends at 17; the second's first token comes 3 later.
    found = play(config(PREFILL), (0, 20, 5), (1, 30, 5))
    assert ttft(found) == (12.0, 20.0 - 1.0, 12.0 + 19.0)


def test_a_prompt_can_make_a_request_cold():
    alone = config(PREFILL, policy="min_replicas: 1", more="objective: {wait: 4s}")
    assert play(alone, (0, 0, 0), (100, 40, 1), (200, 41, 1)).cold_rate == pytest.approx(2 / 3)


def test_the_oracle_pays_for_prompts():
    made = trace((0, 0, 0), (100, 50, 20), (1000, 0, 0))
    given = config(PREFILL).simulation
    found = oracle(
        made, start=10.0, slots=1, first_token=first_tokens(made, given), per_token=1.0, dedicated=1.0,
        premium=2.5, warm_up=0.0,
    )  # fmt: skip
    assert found.cost_usd == pytest.approx(2.5 * (5 + 20))
    result = play(config(PREFILL), (0, 0, 0), (100, 50, 20), (1000, 0, 0))
    assert result.oracle_cost_usd == pytest.approx(found.cost_usd)
    # Ordered at 0 and gone at 70; ordered at 100, up at 110, done at 135 and gone at 195; ordered at 1000.
    assert result.replica_hours * 3600 == pytest.approx(70 + 95)


def test_the_busiest_moment_and_the_advice_count_prompts():
    asked = ((0, 100, 0), (9, 0, 5), (1000, 0, 0))
    assert peak_levels(trace(*asked), slots=1, first_token=0.0, per_token=1.0) == {"m": 1}
    assert play(config(PREFILL), *asked).always_on_usd == pytest.approx(2 * 1000)
    found = sizes(trace(*asked), config(PREFILL), constant(10.0))
    assert (found.peak, found.needed) == ({"m": 2}, 2)
    # 0 to 14 is one busy period of the first level, 9 to 10 one of the second.
    assert found.busy["m"] == pytest.approx((14 / 1000, 1 / 1000))


def test_each_that_is_there_when_a_request_begins_slows_it_down():
    always = config(SLOWER, slots=2, policy="min_replicas: 1, max_replicas: 1")
    # From 100 to 110 alone; from 105 beside one other, 15 s, to 120. The third begins at 110 beside the second: to 125.
    # The fourth begins at 120, beside the third.
    found = play(always, (0, 0, 0), (100, 0, 10), (105, 0, 10), (106, 0, 10), (107, 0, 10), (1000, 0, 0))
    assert ttft(found) == (0.0, 13.0, 10.0 + 4.0 + 13.0), "the first waits for the start"


def test_those_that_begin_together_slow_each_other_down():
    # Two are held until 10 and run to 25; prompts are not slowed down. The third begins then.
    asked = ((0, 0, 10), (1, 0, 10), (2, 0, 10))
    assert ttft(play(config(SLOWER, slots=2), *asked)) == (10.0, 23.0, 10.0 + 9.0 + 23.0)
    asked = ((0, 50, 10), (1, 50, 10), (2, 50, 10))
    assert ttft(play(config(f"{SLOWER}, {PREFILL}", slots=2), *asked)) == (15.0, 33.0, 15.0 + 14.0 + 33.0)


def test_replicas_apart_do_not_slow_each_other_down():
    asked = ((0, 0, 10), (1, 0, 10), (500, 0, 0))
    # Up from 0 to 10 + 10 + 60, and from 1 to 11 + 10 + 60; the third is ordered as the trace ends.
    found = play(config(SLOWER, policy="max_replicas: 2"), *asked)
    assert found.replica_hours * 3600 == pytest.approx(80 + 80)


def test_a_bill_has_the_seconds_that_requests_ran_in_the_end():
    asked = ((0, 0, 10), (1, 0, 10), (500, 0, 0))
    found = play(config(SLOWER, slots=2), *asked, bill=True)
    assert found.bill is not None
    assert found.bill.lines[0].by_rung == pytest.approx(
        {"starting": 2.5 * 10, "serving": 2.5 * 15, "idle": 2.5 * 60}
    )


def test_the_oracle_and_the_alternatives_are_not_slowed_down():
    asked = ((0, 0, 10), (1, 0, 10), (500, 0, 0))
    found = play(config(SLOWER, slots=2), *asked, bill=True)
    assert found.oracle_cost_usd == pytest.approx(2.5 * 11)
    assert found.bill is not None and found.bill.otherwise.scale_to_zero_usd == pytest.approx(2.5 * (11 + 10))


@pytest.mark.parametrize("bill", [False, True])
def test_none_that_is_slowed_down_is_lost_and_figures_do_not_depend_on_the_bill(bill: bool):
    rng = np.random.default_rng(3)
    asked = [
        (float(t), 50, int(n))
        for t, n in zip(rng.uniform(0, 3000, 400), rng.integers(0, 60, 400), strict=True)
    ]
    policy = "ttl_to_zero: 30s, max_replicas: 5"
    slowed, plain = (
        play(config(said, slots=4, policy=policy), *sorted(asked), bill=bill)
        for said in (f"{PREFILL}, {SLOWER}", PREFILL)
    )
    assert slowed.unserved == plain.unserved == 0
    assert slowed.replica_hours > plain.replica_hours
    assert slowed.cost_usd == pytest.approx(
        play(config(f"{PREFILL}, {SLOWER}", slots=4, policy=policy), *sorted(asked)).cost_usd
    )


def test_a_hedged_request_has_its_prompt_before_a_replica_gives_the_first_token():
    far = (
        "providers: {p: {base_url: 'https://p.example.com/v1', price: {second_usd: 0.001}, first_token: 14s}}"
    )
    burst = "max_replicas: 1, burst: {provider: p}"
    # A replica is up at 10 and would give the first token at 10 + prompt; the provider gives its own at 14.
    for prompt, cut, first in ((39, 1, 13.9), (41, 0, 14.0)):
        found = play(config(f"{PREFILL}, hedged: 100%", policy=burst, more=far), (0, prompt, 5))
        assert (found.burst_hedged, found.burst_cut) == (1, cut)
        assert found.ttft_p50 == pytest.approx(first)
