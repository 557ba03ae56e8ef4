"""What a cold request must cost for the band to hold."""

from itertools import pairwise
from math import exp, inf, isfinite, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotlight.fleet.demand import PRICE_BINS, Demand, Hindsight
from pilotlight.fleet.deployment import Goal
from pilotlight.fleet.fleet import Fleet
from pilotlight.fleet.provider import Provider
from pilotlight.policy import cold_price, cold_rate, windows
from unit.policy.play import Play, model


def fleet(**goal: float | None) -> Fleet:
    return Fleet(goal=Goal(low=0.02, high=0.05, **goal))


def edge(i: int) -> float:
    return cold_rate.LOWEST * 2 ** (i / cold_rate.PER_OCTAVE)


def spend(of: Fleet, requests: int, cold: float, usd: float) -> None:
    """So many requests, this share of them cold, each of which this price would have spared."""
    for _ in range(requests // cold_rate.EVERY):
        for _ in range(round(cold * cold_rate.EVERY)):
            cold_rate.was_cold(of, usd, usd)
        cold_rate.came(of, Demand(), cold_rate.EVERY, 0.0)


def hindsight(requests: float, **spells: float) -> Hindsight:
    found = Hindsight([0.0] * PRICE_BINS, requests)
    for i, n in spells.items():
        found.spells[int(i[1:])] = n
    return found


# -- the lowest price ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("allowed", "bin_"), [(0.0099, 30), (0.0101, 20), (0.0301, 10), (0.0601, None)])
def test_the_lowest_price_by_hand(allowed: float, bin_: int | None):
    """Of 1,000 requests, 30 are spared from bin 10 on, 20 from bin 20 and 10 from bin 30."""
    found = cold_rate.lowest(hindsight(1000.0, b30=10.0, b20=20.0, b10=30.0), allowed)
    assert found == (0.0 if bin_ is None else edge(bin_))


def test_what_no_price_spares_takes_up_to_half_of_what_is_allowed():
    h = hindsight(1000.0, b20=20.0, b10=10.0)
    assert cold_rate.lowest(h, 0.032) == 0.0
    h.spells[-1] = 3.0
    assert cold_rate.lowest(h, 0.032) == edge(10)
    h.spells[-1] = 1e6
    assert cold_rate.lowest(h, 0.048) == edge(10)
    assert cold_rate.lowest(h, 0.042) == edge(10), "half of 42 is enough for 20"
    assert cold_rate.lowest(h, 0.039) == edge(20)


def test_where_few_requests_have_come_a_few_cold_ones_are_no_reason_to_pay():
    assert cold_rate.lowest(hindsight(20.0, b10=20.0), 0.038) == 0.0


@given(
    st.lists(st.floats(0, 1e4), min_size=PRICE_BINS, max_size=PRICE_BINS),
    st.floats(0, 1e5),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_who_allows_more_cold_ones_pays_no_more(spells: list[float], requests: float, a: float, b: float):
    h = Hindsight(spells, requests)
    assert cold_rate.lowest(h, max(a, b)) <= cold_rate.lowest(h, min(a, b))


@given(st.floats(0.0, 1e9) | st.just(inf), st.floats(0.0, 1e9) | st.just(inf))
def test_bins_of_prices_are_in_order(a: float, b: float):
    low, high = cold_rate.bin_of(min(a, b)), cold_rate.bin_of(max(a, b))
    assert 0 <= low <= high < PRICE_BINS
    assert (high == PRICE_BINS - 1) is (max(a, b) == inf)


# -- the controller --------------------------------------------------------------------------------------------------


def test_a_price_that_is_declared_is_the_price():
    of = fleet(cold_usd=0.25)
    assert cold_rate.usd(of) == 0.25, "at once"
    spend(of, 10_000, 0.5, 1.0)
    assert cold_rate.usd(of) == 0.25
    assert "cold_request_cost_usd" in cold_rate.because(of)


def test_with_too_many_cold_ones_it_rises_and_stays_within_its_bounds():
    of, seen = fleet(), []
    for _ in range(100):
        spend(of, 1000, 0.3, 0.01)
        seen.append(of.prices.usd)
    assert seen[-1] > seen[0] > 0.0
    assert seen == sorted(seen)
    assert of.prices.trim == cold_rate.MOST
    assert seen[-1] <= edge(cold_rate.bin_of(0.01)) * cold_rate.MOST


def test_inside_the_band_the_trim_returns_to_one():
    """It takes 3 % of the way for each 1,000 requests, from either side, and does not go past it."""
    for trim in (cold_rate.MOST, 1 / cold_rate.MOST):
        of = fleet()
        spend(of, 50_000, 0.04, 0.01)
        of.prices.trim, seen = trim, []
        for _ in range(100):
            spend(of, 1000, 0.04, 0.01)
            seen.append(abs(log(of.prices.trim)))
        assert seen[0] == pytest.approx((1.0 - 0.03 / 5) ** 5 * log(cold_rate.MOST), rel=1e-6)
        assert seen == sorted(seen, reverse=True)
        assert of.prices.trim == pytest.approx(trim ** (0.97**100), rel=1e-2)
    for _ in range(100):
        cold_rate.was_cold(of, 0.01, 0.01)
    cold_rate.came(of, Demand(), 40_000, 0.0)
    assert of.prices.trim == 1.0


def test_by_hand_how_fast_it_follows():
    """24 cold ones of 200, after 500 at the aim of 3.95 %, are 6.24 %: a quarter above the band's edge."""
    of = fleet()
    spend(of, 200, 0.12, 0.01)
    assert of.prices.trim == pytest.approx(exp(0.3 * 0.2 * 0.247), rel=1e-4)


def test_with_no_cold_ones_it_falls_to_nothing():
    of = fleet()
    spend(of, 5000, 0.3, 0.01)
    assert of.prices.usd > 0.0
    spend(of, 400_000, 0.0, 0.01)
    assert of.prices.usd == 0.0
    assert of.prices.trim == 1 / cold_rate.MOST
    assert "no price is needed for that" in cold_rate.because(of)


def test_a_goal_of_no_cold_request_asks_for_the_dearest_that_helps_and_has_no_limit():
    p = served(1)
    p.fleet.goal = Goal(low=0.0, high=0.0)
    spend(p.fleet, 10_000, 0.0, 0.01)
    assert p.fleet.prices.usd == 0.0
    for i in range(50):
        cold_rate.was_cold(p.fleet, 0.01, 0.01)
        cold_rate.came(p.fleet, Demand(), 200, i * 200.0)
    assert p.fleet.prices.usd >= edge(cold_rate.bin_of(0.01) - 1)
    assert p.fleet.prices.up and p.fleet.prices.past.seconds and cold_rate.dearest(p.fleet) == inf
    assert "the band is 0 to 0 %" in cold_rate.because(p.fleet)


def world(of: Fleet, looks: int, scale: float = 1.0, now: float = 0.0) -> list[tuple[float, float]]:
    """In which requests are cold when the price is below what would have spared them. The price after each look, and
    the share that was cold before it."""
    seen: list[tuple[float, float]] = []
    for look in range(1, looks + 1):
        cold = 0
        for i in range(20):  # a tenth of all, at prices that lie far apart
            usd = scale * 1e-4 * 1.6**i
            if of.prices.usd < usd:
                cold_rate.was_cold(of, usd, usd)
                cold += 1
            else:
                cold_rate.spared(of.prices, usd, 1.0)
        cold_rate.came(of, Demand(), cold_rate.EVERY, now + look * cold_rate.EVERY)
        seen.append((of.prices.usd, cold / cold_rate.EVERY))
    return seen


def rests(seen: list[tuple[float, float]]) -> bool:
    """At a price that hardly moves any more, and with a cold rate in the band."""
    late = seen[-100:]
    usd = [usd for usd, _ in late]
    return max(usd) <= 1.7 * min(usd) and all(0.02 <= share <= 0.05 for _, share in late)


def test_inside_the_band_it_comes_to_rest():
    of = fleet()
    assert rests(world(of, 600))
    assert 0.02 <= of.prices.past.cold / of.prices.past.requests <= 0.05


@pytest.mark.parametrize("step", [1 / 30, 0.3, 3.0, 30.0])
def test_after_a_step_it_goes_over_to_the_new_price_once_and_comes_to_rest(step: float):
    """Traffic that is so many times dearer to spare from one request to the next, and then as before."""
    of = fleet()
    before = world(of, 600)[-1][0]
    for scale, end in ((step, before * step), (1.0, before)):
        seen = world(of, 600, scale)
        usd = [before, *(usd for usd, _ in seen)]
        assert rests(seen)
        assert end / 2 <= usd[-1] <= 2 * end
        low, high = sorted((usd[0], usd[-1]))
        assert low / 2 <= min(usd) and max(usd) <= 2 * high, "it went beyond where it came to rest"
        before = usd[-1]


@pytest.mark.parametrize("hours", [12.0, 7 * 24.0])
def test_a_night_or_a_week_of_silence_changes_no_price(hours: float):
    on, after = (p.fleet for p in (served(1), served(1)))
    for of in (on, after):
        world(of, 600, 0.1)
    assert on.prices.usd < on.prices.most, "it is not the limit that decides"
    begin = 600.0 * cold_rate.EVERY
    goes_on = world(on, 100, 0.1, begin)
    assert rests(goes_on) and world(after, 100, 0.1, begin + hours * 3600) == goes_on


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 10) | st.just(inf)), max_size=40))
def test_the_price_is_finite_and_never_negative(steps: list[tuple[float, float]]):
    of = fleet()
    for cold, usd in steps:
        spend(of, 200, cold, usd)
        assert isfinite(of.prices.usd) and of.prices.usd >= 0.0
        assert 1 / cold_rate.MOST <= of.prices.trim <= cold_rate.MOST


def test_the_band_that_allows_more_costs_no_more():
    strict, loose = fleet(), Fleet(goal=Goal(low=0.05, high=0.2))
    for i in range(30):
        spend(strict, 1000, 0.1, 1e-3 * 1.3**i)
        spend(loose, 1000, 0.1, 1e-3 * 1.3**i)
        assert loose.prices.usd <= strict.prices.usd


def test_the_reason_tells_of_windows_above_the_band():
    of = fleet()
    spend(of, 5000, 0.03, 0.01)
    assert "in a row" not in cold_rate.because(of)
    of.prices.windows.grown = 4.2
    said = "1,000 requests in a row were above the band of late: it counts 4.2 times as much"
    assert cold_rate.because(of).endswith(said)
    of.prices.windows.in_vain = True
    assert cold_rate.because(of).endswith("no price would have kept 1,000 requests in a row inside it")


def test_a_price_that_is_declared_is_not_stretched():
    of = fleet(cold_usd=0.25)
    spend(of, 100_000, 0.5, 1.0)
    of.prices.windows.grown = 4.2
    p = Play(model(ttl_is_auto=True))
    p.fleet.goal, p.fleet.prices = of.goal, of.prices
    assert of.prices.windows.seen == 0
    assert cold_price.usd(p.fleet, p.fleet.deployments["m"]) == 0.25
    assert cold_rate.usd(p.fleet) == 0.25
    assert not cold_rate.came(of, Demand(), 5000, 0.0), "no window is over, for none is judged"


def test_what_was_cold_at_a_declared_price_does_not_count_once_there_is_none():
    of = fleet()
    of.prices.windows.grown = 30.0
    of.goal = Goal(low=0.02, high=0.05, cold_usd=0.25)
    spend(of, 100_000, 0.5, 1.0)
    of.goal = Goal(low=0.02, high=0.05)
    spend(of, 20_000, 0.0, 1.0)
    w = of.prices.windows
    assert (w.grown, w.in_vain, w.seen) == (1.0, False, 20)


def test_the_price_of_every_deployment_is_stretched_alike():
    p = Play(model(ttl_is_auto=True, start_seconds=10.0))
    p.fleet.prices.usd = 1.0
    assert cold_price.usd(p.fleet, p.fleet.deployments["m"]) == 1.0
    w = p.fleet.prices.windows
    for w.grown, w.affordable, w.in_vain, usd in [
        (4.2, inf, False, 4.2),
        (4.2, 2.0, False, 2.0),
        (500.0, inf, False, windows.UTMOST),
        (4.2, inf, True, 1.0),
    ]:
        assert cold_price.usd(p.fleet, p.fleet.deployments["m"]) == usd
        assert cold_rate.usd(p.fleet) == usd


def test_whether_a_price_would_have_helped_is_asked_of_the_one_that_is_not_stretched(
    monkeypatch: pytest.MonkeyPatch,
):
    plain: list[float] = []
    monkeypatch.setattr(windows, "was_cold", lambda w, usd, now: plain.append(now))
    p = Play(model(ttl_is_auto=True, start_seconds=10.0))
    p.fleet.prices.usd, p.fleet.prices.windows.grown = 1.0, 30.0
    p.ask("r"), p.wait(10), p.ready("m-1")
    assert plain == [1.0]


# -- what is not paid for --------------------------------------------------------------------------------------------


def served(models: int, gpus: int = 1, base: int | None = None, now: float = 0.0) -> Play:
    """So many models, each of which has had a request."""
    p = Play()
    p.now, p.goal = now, Goal(low=0.02, high=0.05, dedicated=0.001, on_demand=0.0025)
    all_of = [model(f"m{i}", ttl_is_auto=True, gpus=gpus, base=base) for i in range(models)]
    p.configure(*all_of, memory=64, gpus=(80, 80, 80, 80))
    for i in range(models):
        p.ask(f"r{i}", deployment=f"m{i}")
    return p


@pytest.mark.parametrize("now", [0.0, 5e9])
@pytest.mark.parametrize(
    ("models", "gpus", "base", "every", "usd"),
    [(1, 1, None, 1.0, 0.02), (3, 1, None, 1.0, 0.06), (2, 2, None, 0.5, 0.04), (1, 1, 0, 1.0, 0.05)],
)
def test_the_dearest_price_by_hand(
    models: int, gpus: int, base: int | None, every: float, usd: float, now: float
):
    """At USD 0.001 a second and a request every second, one that is always up costs USD 0.001 a request: as much as
    USD 0.02 for each of the twentieth that may be cold. What has no base to learn is not rented."""
    p = served(models, gpus, base, now)
    for i in range(101):
        cold_rate.came(p.fleet, Demand(), 200, now + i * 200 * every)
    assert cold_rate.dearest(p.fleet) == pytest.approx(usd, rel=0.02), "the first 200 took no time"


def test_what_is_removed_is_not_up_and_what_comes_back_is_once():
    p = served(2)
    assert p.fleet.prices.up == pytest.approx(0.002)
    p.configure(model("m1", ttl_is_auto=True, gpus=2, base=None))
    assert p.fleet.prices.up == pytest.approx(0.002), "one of two devices"
    p.configure()
    assert p.fleet.prices.up == 0.0
    p.configure(model("m2", ttl_is_auto=True, base=None))
    assert p.fleet.prices.up == 0.0, "nobody has asked for it yet"
    p.ask("again", deployment="m2")
    p.leave("again"), p.wait(10), p.ask("and again", deployment="m2")
    assert p.fleet.prices.up == pytest.approx(0.001)


def test_what_is_cold_at_any_price_makes_nothing_dearer_than_always_up():
    """Half of the requests are cold, whatever is paid: without a limit a price of thousands of dollars would follow."""
    p = served(1)
    for i in range(500):
        for _ in range(100):
            cold_rate.was_cold(p.fleet, 500.0, 0.01)
        cold_rate.came(p.fleet, Demand(), 200, 200.0 * i)
    assert p.fleet.prices.usd == p.fleet.prices.most == pytest.approx(0.02, rel=0.02)
    assert "one replica of each model that is always up" in cold_rate.because(p.fleet)


def test_requests_that_are_counted_in_a_lump_do_not_lower_it():
    """Those that providers have answered: they came long before."""
    p = served(1)
    for i in range(101):
        cold_rate.came(p.fleet, Demand(), 200, i * 200.0)
    before = cold_rate.dearest(p.fleet)
    cold_rate.came(p.fleet, Demand(), 60_000, 20_001.0)
    assert cold_rate.dearest(p.fleet) == pytest.approx(before, rel=0.05)


def test_before_anything_was_served_and_any_time_has_passed_there_is_no_limit():
    assert cold_rate.dearest(fleet()) == inf
    p = served(1)
    spend(p.fleet, 1000, 0.1, 1.0)
    assert cold_rate.dearest(p.fleet) == inf


# -- one deployment --------------------------------------------------------------------------------------------------


def test_a_flood_in_one_spell_says_it_no_louder_than_many_requests_do():
    p = Play(model(ttl_is_auto=True, ttl=0.0, max_pending_requests=1000, start_seconds=10.0))
    for spell in (1, 2):  # only the second comes after a gap
        requests = [f"r{spell}.{i}" for i in range(200)]
        p.ask_all(*requests)
        p.wait(10), p.ready(f"m-{spell}")
        for request in requests:
            p.done(request)
        if spell == 1:
            before = p.fleet.prices.past.spells[-1]
            p.stop(), p.gone("m-1"), p.wait(50)
    w = p.fleet.prices.windows
    assert w.hopeless <= 200, "all of the second spell could have been spared at some price"
    past = p.fleet.prices.past
    told = sum(past.spells) - past.spells[-1]
    assert 0 < told <= cold_price.MANY
    assert before > 0 and past.spells[-1] >= 200 - cold_price.MANY, "no price spares the others"


def test_it_thinks_often_at_first_and_seldom_later():
    of, seen = fleet(), []
    for i in range(40_000):
        before = of.prices.past.requests
        cold_rate.came(of, Demand(), 1, 0.0)
        if of.prices.past.requests != before:
            seen.append(i + 1)
    often = [later - one for one, later in pairwise([0, *seen])]
    assert often[:100] == [25] * 100, "up to 2,500 requests"
    assert often == sorted(often) and often[-1] == 200
    assert 85 <= often[seen.index(next(at for at in seen if at >= 10_000))] <= 100, "one in a hundred"


def test_beside_providers_it_does_not_think_before_many_have_come():
    p = Play(model(ttl_is_auto=True), providers=(Provider("p"),))
    cold_rate.came(p.fleet, Demand(), cold_rate.EVERY - 1, 0.0)
    assert p.fleet.prices.past.requests == 0.0
    cold_rate.came(p.fleet, Demand(), 1, 0.0)
    assert p.fleet.prices.past.requests == cold_rate.EVERY
    assert p.fleet.prices.due == cold_rate.EVERY


def test_requests_that_never_meet_a_replica_count():
    p = Play(model(ttl_is_auto=True, max_pending_requests=1000, start_seconds=10.0))
    p.ask_all(*(f"r{i}" for i in range(200)))
    assert p.fleet.prices.past.requests == pytest.approx(200, rel=0.01)


def test_who_does_not_learn_teaches_nothing():
    p = Play(model(max_pending_requests=100))
    p.ask_all("a", "b")
    p.wait(10), p.ready("m-1")
    assert p.fleet.prices.past.cold == 0.0


def test_a_client_that_has_waited_too_long_and_gives_up_was_cold():
    p = Play(model(ttl_is_auto=True, start_seconds=10.0))
    p.ask_all("a", "b")
    p.wait(1), p.done("a")
    assert p.fleet.prices.past.cold == 0.0
    p.wait(9), p.done("b")
    assert p.fleet.prices.past.cold == 1.0
