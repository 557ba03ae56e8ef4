"""Classes and stand-ins of a trace are replayed by what advises as by what simulates."""

import numpy as np
import pytest

from pilotlight.advise import fitting
from pilotlight.advise.advice import by_id
from pilotlight.advise.candidates import Tier
from pilotlight.advise.needs import Inference, Needs
from pilotlight.advise.sizing import sizes
from pilotlight.sim.defaults import default_config
from pilotlight.sim.simulate import simulate
from pilotlight.sim.starts import constant
from pilotlight.sim.trace import Trace
from pilotlight.spec.load import parse
from unit.advise.kit import HOUR, advised

STANDARD, BATCH = "standard", "batch"


def termed(
    rows: list[tuple[float, str, int, int]], classes: list[str] | None, stand_in: list[bool] | None
) -> Trace:
    return Trace.from_rows("by hand", rows, classes=classes, stand_in=stand_in)


def flooded() -> Trace:
    """A request a minute, and each hour 300 within 10 s that can wait."""
    day = np.arange(0.0, 12 * HOUR, 60.0)
    floods = (np.arange(12)[:, None] * HOUR + 1800.0 + np.arange(300) / 30).ravel()
    rows = [(t, "m0", 400, 120) for t in (*day.tolist(), *floods.tolist())]
    return termed(rows, [STANDARD] * len(day) + [BATCH] * len(floods), None)


def asked_twice_an_hour() -> Trace:
    rows = [(t, "large", 400, 120) for t in np.arange(0.0, 48 * HOUR, 1800.0).tolist()]
    return termed(rows, None, [True] * len(rows))


WITH_STAND_IN = """\
defaults: {max_replicas: 2, ttl: 1m}
models:
  large: {source: "demo://1b", stand_in: small}
  small: {source: "demo://50m", min_replicas: 1}
"""


def test_batch_requests_wait_for_idle_capacity_in_the_figures_of_every_candidate() -> None:
    trace = flooded()
    a = advised(trace)
    plain = Trace("t", trace.models, trace.t, trace.model, trace.prompt_tokens, trace.output_tokens)
    without = advised(plain)
    for p in a.played:
        assert p.result.by_class[BATCH].requests == pytest.approx(0.9 * 3600, rel=0.1), p.id
        again = simulate(trace, p.candidate.config, p.candidate.starts or constant(0.0), name=p.id)
        assert (again.cost_usd, again.cold_rate, again.by_class) == (
            p.result.cost_usd, p.result.cold_rate, p.result.by_class,
        ), p.id  # fmt: skip
        assert p.cold.low - 1e-9 <= p.cold_rate <= p.cold.high, p.id
    # One GPU does the flood in its own time; for people who wait it takes many.
    assert a.recommended.month_usd <= 2500 < 0.5 * without.recommended.month_usd
    n = a.recommended.result.by_class[BATCH].requests
    assert any(line.startswith(f"{n:,} of the requests are batch") for line in a.why)
    assert not any(BATCH in line for line in without.why)


def test_the_queue_of_what_is_advised_holds_the_batch_requests_of_a_deadline() -> None:
    trace, config = flooded(), default_config()
    assert (
        sizes(trace, config, constant(40.0)).pending >= 600
    )  # 300 come at once, and may wait for 10 minutes
    assert all(p.result.refused == 0 for p in advised(trace).played)


def test_a_model_that_stands_in_is_awake_and_stays_the_stand_in() -> None:
    a = advised(asked_twice_an_hour(), text=WITH_STAND_IN, start=60.0)
    assert a.today is not None and a.today.result.stood_in == a.today.result.evaluated
    assert a.today.cold_rate == 0.0 and a.today.month_usd > 2500, "what stands in is up, and paid for"
    for p in a.played:
        assert parse(p.candidate.text, "x", {}).models["large"].stand_in == "small", p.id
    short = by_id(a.played, "serverless-1m").result
    assert short.stood_in == short.evaluated and short.cold_rate == 0.0
    assert parse(a.config, "x", {}).models["large"].stand_in == "small"
    assert any("Nobody asks for small, which stands in for others" in line for line in a.why)
    assert not any("in no figure" in line for line in a.why)


def test_where_no_request_may_be_answered_by_another_model_the_stand_in_rests() -> None:
    trace = asked_twice_an_hour()
    plain = Trace("t", trace.models, trace.t, trace.model, trace.prompt_tokens, trace.output_tokens)
    a = advised(plain, text=WITH_STAND_IN, start=60.0)
    assert a.today is not None and a.today.cold_rate == 1.0 and a.today.month_usd < 2500
    assert any("Nobody asks for small in this traffic" in line for line in a.why)


def test_that_no_stand_in_is_named_is_said() -> None:
    a = advised(asked_twice_an_hour(), start=60.0)
    assert any("no model of the config names one (`stand_in`)" in line for line in a.why)


def test_where_classes_mean_little_it_is_said() -> None:
    a = advised(flooded(), api="llama-3.1-8b")
    assert any("Where all goes to a provider classes mean little" in line for line in a.why)
    batch = next(p for p in a.played if p.candidate.tier is Tier.PROVIDER).result.by_class[BATCH]
    assert batch.past_deadline == batch.requests and batch.ttft_p50 is not None and batch.ttft_p50 > 600.0
    assert not any("classes mean little" in line for line in advised(flooded()).why)


def test_on_a_platform_nothing_waits_for_idle_capacity() -> None:
    a = advised(flooded(), Needs(inference=Inference.REMOTE))
    assert any("know neither classes nor stand-ins" in line for line in a.why)
    for p in a.played:
        p95 = p.result.by_class[BATCH].ttft_p95
        assert p95 is not None
        if p.candidate.tier is Tier.FUNCTION:
            assert p95 < 10.0, "one starts for each, and its start is no cold request"
            assert p.cold_rate < 0.01
        elif p.id == "container-to-zero":
            assert p95 > 10.0, "pilotlight's own: they wait for the others"


def test_what_is_made_of_a_trace_keeps_its_terms() -> None:
    trace = flooded()
    rows = len(trace)
    trace = Trace(
        "t", trace.models, trace.t, trace.model, trace.prompt_tokens, trace.output_tokens,
        np.arange(rows, dtype=np.int32), asker=trace.asker, askers=trace.askers, stand_in=np.arange(rows) % 2 == 0,
    )  # fmt: skip
    assert trace.stand_in is not None
    made = [
        fitting.fitted(trace, default_config()), fitting.together(trace, "agent"), fitting.lengthened(trace, 2.0, 0.03),
    ]  # fmt: skip
    for t in made:
        assert t.is_batch.tolist() == trace.is_batch.tolist()
        assert t.stand_in is not None and t.stand_in.tolist() == trace.stand_in.tolist()
    part = fitting.stretched(trace, 2.0, 100)
    assert part.is_batch.tolist() == trace.is_batch[:100].tolist() and len(part) == 100
    flood = fitting.busiest(trace, 300)
    assert flood.is_batch.sum() >= 299 and flood.stand_in is not None and flood.stand_in.sum() == 150
    plain = fitting.by_platform(trace)
    assert plain.stand_in is None and plain.is_batch.tolist() == trace.is_batch.tolist()
    assert fitting.by_session(plain).is_batch.tolist() == trace.is_batch.tolist()


def test_before_a_platform_nobody_is_critical() -> None:
    rows = [(float(i), "m0", 1, 1) for i in range(3)]
    trace = termed(rows, ["critical", STANDARD, BATCH], None)
    assert trace.ranks is not None and trace.ranks.tolist() == [0, 1, 2]
    found = fitting.by_platform(trace).ranks
    assert found is not None and found.tolist() == [1, 1, 2]
