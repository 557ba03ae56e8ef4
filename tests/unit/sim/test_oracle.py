"""Hand-made traces: a token is a second, the first token takes none, and a GPU costs a dollar a second."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotlight.sim.oracle import Oracle, evaluated, oracle, peak_levels
from pilotlight.sim.trace import Trace


def trace(*requests: tuple[float, int], until: float = 1000.0, model: str = "m") -> Trace:
    """Of (arrival, seconds of service). Another model's requests of no length mark the trace's ends."""
    rows = [(t, model, 1, seconds) for t, seconds in requests]
    return Trace.from_rows("x", [(0.0, "ends", 1, 0), *rows, (until, "ends", 1, 0)])


def ask(trace: Trace, **changed: Any) -> Oracle:
    given = {
        "start": 10.0,
        "slots": 1,
        "first_token": 0.0,
        "per_token": 1.0,
        "dedicated": 1.0,
        "premium": 2.5,
    }
    return oracle(trace, **{**given, "warm_up": 0.0, **changed})


def seconds(found: Oracle, model: str = "m") -> list[float]:
    return [pytest.approx(level.gpu_hours * 3600) for level in found.levels if level.model == model]


def usd(*requests: tuple[float, int], until: float = 1000.0, **changed: Any) -> float:
    return ask(trace(*requests, until=until), **changed).by_model["m"]


def test_one_request_pays_the_premium_while_it_is_in_flight():
    found = ask(trace((100, 20)))
    assert seconds(found) == [20]
    assert found.by_model["m"] == pytest.approx(2.5 * 20)


def test_first_token_and_each_further_one_take_their_time():
    found = ask(trace((100, 20)), first_token=0.5, per_token=0.1)
    assert seconds(found) == [2.5]


def test_two_that_overlap_share_a_replica_that_has_a_slot_for_both():
    assert seconds(ask(trace((100, 20), (110, 20)), slots=2)) == [30]


def test_two_that_overlap_need_two_levels_of_one_slot_each():
    found = ask(trace((100, 20), (110, 20)))
    assert seconds(found) == [30, 10]
    assert [level.level for level in found.levels] == [1, 2]


def test_a_gap_shorter_than_a_start_is_paid_whole():
    assert seconds(ask(trace((100, 20), (127, 20)))) == [47]


def test_of_a_gap_longer_than_a_start_one_start_is_paid():
    assert seconds(ask(trace((100, 20), (400, 20)))) == [20 + 10 + 20]


def test_one_that_arrives_as_another_ends_takes_its_slot():
    assert seconds(ask(trace((100, 20), (120, 20)))) == [40]


def test_nine_at_once_with_eight_slots_need_a_second_replica_while_they_are_nine():
    found = ask(trace(*((100, 20 + i) for i in range(9))), slots=8)
    assert seconds(found) == [28, 20]
    assert found.gpu_hours == pytest.approx(48 / 3600)


def test_always_on_is_taken_where_it_is_cheaper_and_costs_the_whole_span():
    found = ask(trace((100, 500), until=1000))
    assert (found.by_model["m"], found.levels[0].always_on) == (1000, True)
    assert seconds(found) == [500]
    found = ask(trace((100, 300), until=1000))
    assert (found.by_model["m"], found.levels[0].always_on) == (750, False)


def test_each_level_chooses_for_itself():
    found = ask(trace((0, 900), (500, 20), until=1000))
    assert [(level.cost_usd, level.always_on) for level in found.levels] == [(1000, True), (50, False)]
    assert found.cost_usd == pytest.approx(1050)


def test_prices_scale_as_they_should():
    assert usd((100, 20), premium=4.0) == pytest.approx(80)
    assert usd((100, 20), dedicated=0.5) == pytest.approx(25)
    assert usd((100, 20), premium=1.0) == pytest.approx(20)


def test_what_is_before_the_end_of_warm_up_is_free():
    assert usd((20, 30), warm_up=0.1) == 0
    assert usd((80, 50), warm_up=0.1) == pytest.approx(2.5 * 30)
    assert usd((500, 500), until=1000, warm_up=0.1) == 900  # the span is shorter too


def test_a_gap_that_touches_the_warm_up_counts_from_there():
    assert seconds(ask(trace((80, 15), (103, 10)), warm_up=0.1)) == [3 + 10]
    assert seconds(ask(trace((20, 10), (300, 10)), warm_up=0.1)) == [10 + 10]
    assert seconds(ask(trace((90, 20), (115, 10)), warm_up=0.1)) == [10 + 5 + 10]


def test_nothing_is_paid_after_the_last_arrival():
    assert seconds(ask(trace((990, 500), until=1000))) == [10]


def test_models_do_not_share_replicas():
    both = Trace.from_rows("x", [(0, "a", 1, 10), (0, "b", 1, 10), (100, "a", 1, 5)])
    found = ask(both, slots=8)
    assert found.by_model == {"a": pytest.approx(2.5 * 20), "b": pytest.approx(2.5 * 10)}
    assert found.cost_usd == pytest.approx(75)


@pytest.mark.parametrize("rows", [[], [(5.0, "m", 1, 100)], [(5.0, "m", 1, 100)] * 3])
def test_without_a_span_nothing_is_paid(rows: list[tuple[float, str, int, int]]):
    found = ask(Trace.from_rows("x", rows))
    assert (found.cost_usd, found.gpu_hours, found.levels) == (0, 0, ())
    assert set(found.by_model) == {row[1] for row in rows}


def test_requests_that_take_no_time_need_nothing():
    assert ask(trace((100, 0), (200, 0))).cost_usd == 0


def test_the_warm_up_is_a_tenth_of_the_span_unless_said_otherwise():
    late = Trace.from_rows("x", [(100.0, "m", 1, 1), (300.0, "m", 1, 1)])
    assert evaluated(late) == (120.0, 300.0)


def test_peak_levels_are_of_the_whole_trace_and_of_every_model():
    times = {"slots": 2, "first_token": 0.0, "per_token": 1.0}
    assert peak_levels(trace((1, 5), (2, 5), (3, 5), (500, 5)), **times) == {"ends": 0, "m": 2}
    assert peak_levels(Trace.from_rows("x", []), **times) == {}


# -- against a simple sweep that knows nothing of arrays -------------------------------------------------------


def slowly(requests: list[tuple[int, int]], slots: int, start: int, since: float, until: float) -> float:
    """Billed seconds in [since, until], second by second. All times are whole."""
    total = 0.0
    end = max(t + s for t, s in requests)
    in_flight = [sum(t <= second < t + s for t, s in requests) for second in range(end)]
    for level in range(max(in_flight, default=0)):
        busy = [n > slots * level for n in in_flight]
        total += sum(b and since <= second < until for second, b in enumerate(busy))
        ended = None
        for second, b in enumerate(busy):
            if b and ended is not None and second > ended:
                total += min(max(0.0, second - max(ended, since)), start)
            if b:
                ended = second + 1
    return total


@given(
    requests=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 12)), min_size=1, max_size=25),
    slots=st.integers(1, 4),
    start=st.integers(0, 15),
    warm=st.sampled_from([0.0, 0.1, 0.5]),
)
def test_it_bills_what_a_count_second_by_second_bills(
    requests: list[tuple[int, int]], slots: int, start: int, warm: float
):
    made = trace(*requests, until=60)
    found = ask(made, slots=slots, start=start, warm_up=warm)
    assert found.gpu_hours * 3600 == pytest.approx(slowly(requests, slots, start, 60 * warm, 60))
    span = 60 * (1 - warm)
    for level in found.levels:
        assert level.cost_usd == pytest.approx(min(2.5 * level.gpu_hours * 3600, span))


@given(
    st.lists(st.tuples(st.floats(0, 1e4), st.integers(0, 300)), min_size=2, max_size=40), st.integers(1, 8)
)
def test_it_is_never_dearer_than_always_on_at_peak_and_longer_starts_are_never_cheaper(
    requests: list[tuple[float, int]], slots: int
):
    made = Trace.from_rows("x", [(t, f"m{i % 3}", 1, n) for i, (t, n) in enumerate(requests)])
    since, until = evaluated(made)
    peak = peak_levels(made, slots=slots, first_token=0.0, per_token=1.0)
    costs = [ask(made, slots=slots, start=s, warm_up=0.1).cost_usd for s in (0.0, 5.0, 40.0)]
    assert costs == sorted(costs)
    assert costs[-1] <= sum(peak.values()) * (until - since) * (1 + 1e-9)


def test_many_models_and_levels_take_one_sweep():
    dice = np.random.default_rng(1)
    n = 200_000
    rows = Trace(
        "x", [f"m{i}" for i in range(1000)], np.sort(dice.random(n) * 1000), dice.integers(0, 1000, n, np.int32),
        np.ones(n, np.int32), dice.integers(1, 60, n, np.int32),
    )  # fmt: skip
    found = ask(rows)
    assert len(found.by_model) == 1000
    assert (
        sum(peak_levels(rows, slots=1, first_token=0.0, per_token=1.0).values()) >= len(found.levels) > 5000
    )


def test_models_may_differ_in_slots_starts_and_devices():
    rows = [(100.0, "a", 1, 20), (110.0, "a", 1, 20), (200.0, "a", 1, 10), (100.0, "b", 1, 20), (110.0, "b", 1, 20),
            (200.0, "b", 1, 10), (0.0, "ends", 1, 0), (1000.0, "ends", 1, 0)]  # fmt: skip
    found = ask(Trace.from_rows("x", rows), slots=[2, 1, 1], start=[20.0, 1.0, 1.0], devices=[3, 1, 1])
    assert Trace.from_rows("x", rows).models == ("a", "b", "ends")
    assert found.by_model["a"] == pytest.approx(3 * 2.5 * (30 + 20 + 10)), (
        "one level, a gap of 20, three devices"
    )
    assert found.by_model["b"] == pytest.approx(2.5 * (30 + 1 + 10) + 2.5 * 10), "two levels, a gap of 1"
    assert found.gpu_hours * 3600 == pytest.approx(3 * 60 + 41 + 10)
