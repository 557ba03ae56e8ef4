from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotlight.errors import TraceError
from pilotlight.sim.load import load
from pilotlight.sim.simulate import simulate
from pilotlight.sim.starts import StartTimes
from pilotlight.sim.traffic import DAY, Mix, bursty, daily, poisson
from pilotlight.sim.traffic_text import synthetic
from pilotlight.spec.load import parse


def cv(t: np.ndarray) -> float:
    gaps = np.diff(t)
    return float(gaps.std() / gaps.mean())


def test_poisson_has_the_rate_it_was_given_and_gaps_that_know_nothing():
    trace = poisson(2.0, 20_000, seed=1)
    assert len(trace) == pytest.approx(40_000, rel=0.03)
    assert cv(trace.t) == pytest.approx(1.0, abs=0.05)
    assert (trace.t >= 0).all() and (trace.t < 20_000).all() and (np.diff(trace.t) >= 0).all()


@pytest.mark.parametrize("wanted", [0.5, 1.0, 4.0])
def test_bursty_gaps_deviate_as_asked_at_the_rate_asked(wanted: float):
    trace = bursty(1.0, 200_000, cv=wanted, seed=2)
    assert cv(trace.t) == pytest.approx(wanted, rel=0.1)
    assert len(trace) == pytest.approx(200_000, rel=0.05)


def test_bursts_do_not_all_begin_with_the_trace():
    early = [(bursty(1.0, 1000, cv=6, seed=seed).t < 10).sum() for seed in range(200)]
    assert np.mean(early) == pytest.approx(10, rel=0.5)  # a renewal at 0 would give three times as many


def test_daily_is_high_at_two_in_the_afternoon_low_at_night_and_dips_at_weekends():
    trace = daily(1.0, 14 * DAY, peak=1.8, seed=3)
    hour, day = trace.t % DAY // 3600, trace.t // DAY % 7
    weekday = day < 5
    assert (weekday & (hour == 13)).sum() / 10 == pytest.approx(1.8 * 3600, rel=0.05)
    assert (weekday & (hour == 2)).sum() / 10 == pytest.approx(0.2 * 3600, rel=0.2)
    assert weekday.sum() / 10 == pytest.approx(DAY, rel=0.02)
    assert (~weekday).sum() / 4 == pytest.approx(0.6 * DAY, rel=0.02)


def test_a_schedule_of_working_days_means_those_of_daily_traffic():
    """Its busy days are Monday to Friday for a schedule, too: on each of them a replica is up all day."""
    text = """
defaults: {ttl: 0, max_replicas: 9, schedule: [{cron: "0 8 * * 1-5", for: 10h}]}
simulation: {start_time: 10s, warm_up: 0%}
"""
    trace = daily(0.01, 7 * DAY, seed=3)
    found = simulate(trace, parse(text, "x", {}, simulated=True), StartTimes(constant=10.0))
    replicas = np.array(found.series.replicas)
    middle = (np.arange(len(replicas)) + 0.5) * found.series.seconds + trace.t[0]
    at_work = (middle % DAY > 9 * 3600) & (middle % DAY < 17 * 3600)
    up = [bool((replicas[at_work & (middle // DAY == day)] > 0.99).all()) for day in range(7)]
    assert up == [True] * 5 + [False] * 2


def test_models_share_by_zipf_and_tokens_are_lognormal_about_their_medians():
    trace = poisson(10.0, 10_000, mix=Mix(models=4, zipf=1.0, prompt=1000, output=50), seed=4)
    assert trace.models == ("model-1", "model-2", "model-3", "model-4")
    shares = np.bincount(trace.model) / len(trace)
    assert shares == pytest.approx(np.array([12, 6, 4, 3]) / 25, rel=0.05)
    assert np.median(trace.prompt_tokens) == pytest.approx(1000, rel=0.05)
    assert np.median(trace.output_tokens) == pytest.approx(50, rel=0.05)
    assert np.log(trace.prompt_tokens).std() == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize(
    "text", ["poisson?rate=1/s&hours=1", "bursty?rate=1/s&hours=1", "daily?rate=1/s&hours=1"]
)
def test_a_seed_gives_the_same_trace_and_another_one_another(text: str):
    one, same, other = (synthetic(f"synthetic://{text}&models=3&seed={seed}") for seed in (1, 1, 2))
    for column in ("t", "model", "prompt_tokens", "output_tokens"):
        assert getattr(one, column).tobytes() == getattr(same, column).tobytes()
    assert one.t.tobytes() != other.t.tobytes()


def test_the_text_says_it_all(tmp_path: Path):
    trace = load("synthetic://poisson?rate=3600/h&hours=2&models=8&seed=1&zipf=0&prompt=10&output=20")
    assert trace.name.startswith("synthetic://poisson?rate")
    assert len(trace) == pytest.approx(7200, rel=0.1)
    assert (len(trace.models), np.median(trace.output_tokens)) == (8, pytest.approx(20, rel=0.1))
    assert len(load("synthetic://bursty?rate=60/m&hours=1&cv=2")) > 0
    assert len(load("synthetic://daily?rate=86400/d&hours=1&peak=1.5")) > 0
    (tmp_path / "x.csv").write_text("t,prompt_tokens,output_tokens\n1,1,1\n")
    assert load(str(tmp_path / "x.csv")).models == ("x",)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "write poisson, bursty, daily like synthetic://poisson?rate="),
        ("uniform?rate=1/s&hours=1", "write poisson, bursty, daily"),
        ("poisson", "`rate` is missing"),
        ("poisson?", "`rate` is missing"),
        ("poisson?rate=1/s", "`hours` is missing"),
        ("poisson?rate", "'rate' is not KEY=VALUE"),
        ("poisson?rate=5&hours=1", "`rate` cannot be '5'"),
        ("poisson?rate=0/s&hours=1", "`rate` cannot be '0/s'"),
        ("poisson?rate=1..2/s&hours=1", "`rate` cannot be"),
        ("poisson?rate=-1/s&hours=1", "`rate` cannot be"),
        ("poisson?rate=1/s&hours=nan", "`hours` cannot be 'nan'"),
        ("poisson?rate=1/s&hours=inf", "`hours` cannot be 'inf'"),
        ("poisson?rate=1/s&hours=1&models=0", "`models` cannot be '0'"),
        ("poisson?rate=1/s&hours=1&models=1.5", "`models` cannot be '1.5'"),
        ("poisson?rate=1/s&hours=1&models=1000000", "`models` cannot be"),
        ("poisson?rate=1/s&hours=1&seed=-1", "`seed` cannot be '-1'"),
        ("poisson?rate=1/s&hours=1&seed=" + "9" * 5000, "`seed` cannot be '999"),
        ("poisson?rate=1/s&hours=1&cv=2", "there is no 'cv'"),
        ("poisson?rate=1/s&hours=1&hours=2", "`hours` is given twice"),
        ("daily?rate=1/s&hours=1&peak=3", "`peak` cannot be '3'"),
        ("bursty?rate=1/s&hours=1&cv=0", "`cv` cannot be '0'"),
    ],
)
def test_a_text_that_cannot_be_meant_gets_what_is_allowed(text: str, what: str):
    with pytest.raises(TraceError) as e:
        synthetic(f"synthetic://{text}")
    assert what in str(e.value)
    assert "200/h" in str(e.value)
    assert len(str(e.value)) < 2000


def test_too_much_and_nothing_at_all_are_refused():
    with pytest.raises(TraceError, match="at most 20,000,000"):
        synthetic("synthetic://poisson?rate=1000/s&hours=10000")
    with pytest.raises(TraceError, match="nobody asks"):
        synthetic("synthetic://bursty?rate=1/d&hours=0.01&models=2")


@given(st.text(max_size=60))
def test_any_text_gives_a_trace_or_one_error(text: str):
    try:
        synthetic(f"synthetic://poisson?hours=1&rate=1/s&{text}")
        synthetic(text)
    except TraceError:
        pass
