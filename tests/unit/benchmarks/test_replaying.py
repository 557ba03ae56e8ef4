"""The pure parts of the comparison of a simulation with a replay."""

import random

import pytest
import replaying
from replaying import Answered, Asked, Figures

ASKED = Asked(1.0, "m", 8, 10)


def answer(request: str, ttft: float, start: str = "warm", duration: float | None = None) -> Answered:
    return Answered(ASKED, request, start, ttft, ttft + 0.1 if duration is None else duration)


def of(**other: float) -> Figures:
    same = {
        "cold_rate": 0.05,
        "held_rate": 0.04,
        "replica_seconds": 1000.0,
        "ttft_p50": 0.05,
        "ttft_p99": 1.0,
    }
    return Figures(**{**same, "starts": 10, **other})


def test_what_is_learned_is_of_warm_requests_alone():
    answers = [answer("a", 0.02), answer("b", 0.03), answer("c", 0.04), answer("d", 9.0, start="cold")]
    first, per_token = replaying.service_times(answers)
    assert first == 0.03
    assert per_token == pytest.approx(0.01)


def test_nothing_is_learned_without_a_warm_request():
    with pytest.raises(ValueError, match="no warm request"):
        replaying.service_times([answer("a", 1.0, start="cold")])


def test_cold_is_what_came_later_than_the_limit_and_held_what_waited_longer():
    answers = [answer("a", 0.5), answer("b", 0.3), answer("c", 0.1), answer("d", 0.2)]
    waits = {"a": (0.3, 0.1), "b": (0.0, 0.0), "c": (0.0, 0.0), "d": (0.1, 0.0)}
    found = replaying.figures(answers, waits, 0.2, 42.0, 3)
    assert found == Figures(0.5, 0.25, 42.0, 0.2, 0.5, 3)


def test_waits_are_read_from_the_request_log_by_request():
    line = '{"request_id": "r-1", "start_wait": 0.25, "queue": 0.5, "model": "m"}'
    assert replaying.logged([line]) == {"r-1": (0.25, 0.5)}


def test_a_metric_is_the_sum_of_the_samples_with_these_labels():
    text = "# HELP x y\n" + "\n".join(
        [
            'seconds_total{model="a",state="ready"} 10.5',
            'seconds_total{model="a",state="stopping"} 0.5',
            'seconds_total{model="b",state="ready"} 1e1',
            'seconds_total_more{model="a",state="ready"} 99',
            "bare 7",
        ]
    )
    assert replaying.metric(text, "seconds_total") == 21.0
    assert replaying.metric(text, "seconds_total", state="ready") == 20.5
    assert replaying.metric(text, "seconds_total", model="a", state="stopping") == 0.5
    assert replaying.metric(text, "bare") == 7.0
    assert replaying.metric(text, "none") == 0.0


def test_a_rate_is_judged_in_points_and_all_else_by_its_share_of_what_was_measured():
    measured = [of(cold_rate=c, replica_seconds=s) for c, s in [(0.9, 1.0), (0.042, 1040.0), (0.0, 2000.0)]]
    rate, held, seconds, p50, p99, starts = replaying.compared(of(), measured)
    assert rate.median == 0.042
    assert rate.difference == pytest.approx(0.008)
    assert rate.holds
    assert seconds.difference == pytest.approx(-40 / 1040)
    assert seconds.holds
    assert p50.holds
    assert [row.holds for row in (held, p99, starts)] == [None, None, None]


@pytest.mark.parametrize(
    ("at", "field", "value"),
    [(0, "cold_rate", 0.061), (2, "replica_seconds", 1060.0), (3, "ttft_p50", 0.063), (3, "ttft_p50", 0.04)],
)
def test_what_is_further_apart_than_its_limit_misses(at: int, field: str, value: float):
    rows = replaying.compared(of(), [of(**{field: value})])
    assert rows[at].holds is False
    assert all(row.holds is not False for i, row in enumerate(rows) if i != at)


def test_prompts_are_new_every_time_and_about_as_long_as_asked():
    dice = random.Random(1)
    prompts = [replaying.prompt(80, dice) for _ in range(50)]
    assert len(set(prompts)) == 50
    assert {len(text.split()) for text in prompts} == {20}
    assert replaying.prompt(1, dice)


def test_the_simulator_reads_the_trace_that_is_replayed(tmp_path):
    from pilotlight.sim.load import load

    rows = [Asked(0.125, "a", 3, 4), Asked(0.1 + 0.2, "b", 5, 6)]
    replaying.write_csv(tmp_path / "t.csv", rows)
    trace = load(str(tmp_path / "t.csv"), strict=True)
    assert trace.t.tolist() == [0.125, 0.1 + 0.2]
    assert [trace.models[i] for i in trace.model] == ["a", "b"]
    assert trace.prompt_tokens.tolist() == [3, 5]
    assert trace.output_tokens.tolist() == [4, 6]
