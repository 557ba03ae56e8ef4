"""The claims that are simulated, on less traffic than the page's."""

from types import SimpleNamespace

import msgspec
import pytest

from fault.server_kit import PILOTLIGHT
from pilotlight.sim import traffic


def test_a_warmer_takes_away_what_the_last_replica_going_made_cold(claims: SimpleNamespace) -> None:
    (claim,) = claims.warmer.claims([])
    assert claim.verdict == "refined"
    found = [claims.warmer.tried(trace, 5.0) for trace in claims.worlds.synthetic()]
    assert [f.traffic for f in found] == ["poisson", "bursty", "daily"]
    assert found[0].warm == 0  # ten requests an hour never need a second replica
    assert all(f.bare > 0.3 and f.fewer > 0.9 and f.times > 1 for f in found)
    assert found[1].warm > 0  # bursts do
    assert claim.detail.count("\n- ") == 6
    assert found[1].line() in claim.detail
    lowest = min(f.fewer for f in found)
    assert claim.found.startswith(f"{100 * lowest:.0f} to 100 % fewer at ")


def test_traffic_that_is_never_cold_says_nothing_of_warmers(claims: SimpleNamespace) -> None:
    always = traffic.poisson(0.1, 3600)
    assert claims.warmer.tried(always, 1.0) is None


def test_hybrid(claims: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    hybrid = claims.hybrid
    for name, value in {"PEAK": 80, "HOURS": 6.0, "AT": 3 * 3600.0}.items():
        monkeypatch.setattr(hybrid, name, value)
    found = {c.subject: c for c in hybrid.claims()}
    assert {name: c.verdict for name, c in found.items()} == {
        "hybrid: cost": "refined",
        "hybrid: cold rate": "refined",
        "hybrid: latency": "refined",
    }
    assert found["hybrid: cost"].found.count("% less") == 3
    assert (
        found["hybrid: latency"].found.count(" s, ") >= 3
        and "Without the spike" in found["hybrid: latency"].found
    )


def test_an_average_that_holds_with_short_starts_only_is_refined(claims: SimpleNamespace) -> None:
    of = claims.hybrid.verdict
    assert of([0.119, 3.41, 0.272]) == "refined"
    assert (of([0.09, 0.1]), of([3.0, 0.3])) == ("reproduced", "refuted")
    of = claims.break_even.verdict
    assert (of([0.39, 0.03]), of([0.41, 0.45]), of([0.2, 0.03])) == ("refined", "reproduced", "refuted")


def test_a_spike_is_colder_than_the_rest_of_the_day(
    claims: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    hybrid, worlds = claims.hybrid, claims.worlds
    for name, value in {"PEAK": 80, "HOURS": 6.0, "AT": 3 * 3600.0}.items():
        monkeypatch.setattr(hybrid, name, value)
    slow = worlds.run(hybrid.example(), worlds.config(base=1), 40.0)
    inside, outside = hybrid.cold(slow, True), hybrid.cold(slow, False)
    assert outside < 0.02 < inside
    assert outside < slow.cold_rate < inside
    away = worlds.run(hybrid.example(), hybrid.to_provider(), 40.0)
    assert away.burst_requests > 0
    assert hybrid.cold(away, True) < inside


def test_the_break_even_is_found_where_it_is(
    claims: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert claims.break_even.bisect(lambda rate: rate > 37.0, 1.0, 500.0) == pytest.approx(37.0, rel=0.05)
    monkeypatch.setattr(claims.break_even, "REQUESTS", 400)
    free = claims.break_even.crossing(0.0, 1e-3)
    billed = claims.break_even.crossing(60.0, 40.0)
    assert free == pytest.approx(240, rel=0.15)
    assert 13.6 < billed < 60  # requests share what each would pay alone
    rate, utilisation = claims.break_even.claims()
    assert (rate.verdict, utilisation.verdict) == ("refined", "refined")
    assert f"{free:.0f} in the simulator" in rate.found


def test_a_schedule_warms_the_peak_it_knows(claims: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    prewarm = claims.prewarm
    for name, value in {"DAYS": 2, "PEAK": 24, "REPLICAS": 6, "LASTS": 600.0}.items():
        monkeypatch.setattr(prewarm, name, value)
    run = claims.worlds.run
    bare = run(prewarm.days(0.0), prewarm.kept(), prewarm.START)
    warmed = run(prewarm.days(0.0), prewarm.kept(prewarm.scheduled()), prewarm.START)
    early = run(prewarm.days(prewarm.EARLY), prewarm.kept(prewarm.scheduled()), prewarm.START)
    assert warmed.cold_rate == 0
    assert bare.cold_rate > 0.01
    assert early.cold_rate > 0.01
    (claim,) = prewarm.claims()
    assert claim.verdict == "refined"
    assert f"{prewarm.said(warmed)} with a" in claim.found


def test_fewer_cold_requests_cost_more_and_may_cost_more_than_none(
    claims: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = traffic.poisson(10 / 3600, 3 * 86400)
    found = claims.cold_rate.ladder(trace)
    assert list(found.usd) == sorted(found.usd, reverse=True)
    costs = list(found.usd.values())
    assert costs == sorted(costs)
    assert found.of_5(0.05) == 1
    # One in 20 is cold where a replica stays for three mean gaps; on demand that is dearer than to rent it.
    assert found.rented < found.usd[0.05] < 2.5 * found.rented
    bursts = msgspec.structs.replace(found, rented=1.1 * found.usd[0.05])
    of = {"even": found, "in bursts": bursts}
    monkeypatch.setattr(claims.cold_rate, "ladder", of.__getitem__)
    for traces, verdict, words in (
        (["even"], "refuted", "in 1 of 1 0 % by renting is cheaper"),
        (["even", "in bursts"], "refined", "in 1 of 2 0 % by renting is cheaper"),
    ):
        monkeypatch.setattr(claims.cold_rate, "synthetic", lambda traces=traces: traces)
        (claim,) = claims.cold_rate.claims()
        assert claim.verdict == verdict
        assert words in claim.found


def test_tiers_are_those_of_the_advice(claims: SimpleNamespace) -> None:
    steady = claims.choosing.advised(str(PILOTLIGHT), ("--rate", "300/h", "--days", "1"))
    best = claims.choosing.best(steady)
    assert best["tier"] == "dedicated GPU"
    agrees = claims.choosing.judged({"steady": (("managed", "dedicated"), steady)})
    differs = claims.choosing.judged({"steady": (("serverless",), steady)})
    assert (agrees.verdict, differs.verdict) == ("reproduced", "refined")
    assert (
        f"steady: dedicated GPU, ${best['month_usd']:,.0f} a month. The rule's tier in 1 of 1."
        in agrees.found
    )
