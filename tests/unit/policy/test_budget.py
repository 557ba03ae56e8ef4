"""Spend in calendar buckets, and the hard stop before a request is sent."""

import calendar
from math import inf, nan
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotlight.fleet import events as ev
from pilotlight.fleet.fleet import Fleet
from pilotlight.fleet.provider import Budget, Provider, Remote, Tariff
from pilotlight.policy import budget
from unit.policy.test_burst import bursting

REMOTE = Remote(input_tokens=1_000_000, output_tokens=10)


@given(st.integers(-100_000, 400_000))
def test_months_are_those_of_the_calendar(days: int):
    hours = 24 * days + 7
    found = budget.month(hours)
    year, month = 1970 + found // 12, found % 12 + 1
    first = calendar.timegm((year, month, 1, 0, 0, 0))
    after = calendar.timegm((year + month // 12, month % 12 + 1, 1, 0, 0, 0))
    assert first <= 3600 * hours < after


def test_a_month_ends_where_the_next_begins():
    leap = calendar.timegm((2028, 2, 29, 23, 0, 0)) // 3600
    assert budget.month(leap) + 1 == budget.month(leap + 1) == 12 * 58 + 2


def test_the_dearest_counts_time_and_tokens_at_their_most():
    spec = Provider("p", Tariff(0.01, 0.5, 1e-6, 1e-3), max_duration=60.0, max_output_tokens=1000)
    assert budget.dearest(spec, Remote(2_000_000)) == pytest.approx(0.6 + 0.5 + 2.0 + 1.0)
    assert budget.dearest(spec, Remote(2_000_000, choices=10)) == pytest.approx(0.6 + 0.5 + 2.0 + 1.0)
    assert budget.dearest(spec, Remote(2_000_000, choices=10**4)) == pytest.approx(0.6 + 0.5 + 2.0 + 10.0)
    assert budget.dearest(spec, Remote(2_000_000, 10)) == pytest.approx(0.6 + 0.5 + 2.0 + 0.01)


def with_limit(**limits: float):
    """A request costs one dollar at its dearest."""
    return bursting(
        Provider("p", Tariff(input_token=1e-6), Budget(**limits)), start_seconds=1e6, startup_timeout=1e9
    )


@pytest.mark.parametrize("limit", ["hour", "day", "month"])
def test_a_request_is_not_sent_that_could_exceed_a_limit(limit: str):
    p = with_limit(**{limit: 2.5})
    assert [p.ask(f"r{i}", remote=REMOTE)[0] for i in range(3)] == ["send r0 to p", "send r1 to p", "hold r2"]
    p.charged("r0", 0.5)
    p.charged("r1", 0.5)
    assert p.ask("r3", remote=REMOTE)[0].startswith("send") or "r2" in p.fleet.sent


def test_what_is_free_again_lets_those_that_wait_leave():
    p = with_limit(day=1.5)
    p.ask("r0", remote=REMOTE)
    assert p.ask("r1", remote=REMOTE) == ["hold r1", "start m-1"]
    assert p.charged("r0", 0.1) == ["send r1 to p"]


def test_the_next_hour_has_its_own_budget():
    p = with_limit(hour=1.0)
    p.ask("r0", remote=REMOTE)
    p.charged("r0", 1.0)
    assert p.ask("r1", remote=REMOTE)[0] == "hold r1"
    assert p.wait(3600.0 - 100.0) == ["send r1 to p"]


def test_a_clock_that_jumps_over_a_boundary_and_back_finds_what_was_spent():
    p = with_limit(hour=1.0)
    p.ask("r0", remote=REMOTE)
    p.charged("r0", 0.8)
    assert p.ask("r1", remote=REMOTE)[0] == "hold r1"
    assert p.set_clock(7200.0) == ["send r1 to p"]
    p.set_clock(100.0)
    p.charged("r1", 0.9)
    assert p.fleet.providers["p"].spend.hours == {0: 0.8, 2: 0.9}
    assert p.ask("r2", remote=REMOTE)[0] == "hold r2"


def test_a_request_is_charged_to_the_hour_in_which_it_was_sent():
    p = with_limit(hour=10.0)
    p.ask("r0", remote=REMOTE)
    p.wait(3600.0)
    p.charged("r0", 0.7)
    assert p.fleet.providers["p"].spend.hours == {0: 0.7}


@pytest.mark.parametrize("usd", [nan, inf, -inf, -1.0])
def test_what_is_no_sum_of_money_counts_at_its_dearest(usd: float):
    p = with_limit(day=5.0)
    p.ask("r0", remote=REMOTE)
    p.charged("r0", usd)
    assert p.fleet.providers["p"].spend.hours == {0: pytest.approx(1.0)}
    assert p.fleet.providers["p"].spend.set_aside == 0.0


def test_what_a_declined_request_costs_is_spent():
    p = with_limit(day=5.0)
    p.ask("r0", remote=REMOTE)
    p.declined("r0", usd=0.25)
    assert p.fleet.providers["p"].spend.days == {0: 0.25}


def test_a_tariff_without_bound_is_never_within_a_budget():
    p = bursting(Provider("p", Tariff(second=inf)), start_seconds=1e6)
    assert p.ask("r0", remote=REMOTE)[0] == "hold r0"


@pytest.mark.parametrize("first", [True, False])
def test_what_was_spent_before_a_restart_counts(first: bool):
    now = 1_790_000_000.0
    hours = int(now // 3600)
    p = with_limit(month=3.0)
    if first:
        p.fleet = Fleet()
    spent = ev.Spent(p.now, "p", ((hours - 30, 1.5), (hours, 1.0), (hours, nan), (hours, -7.0)))
    p.unix = now - p.now
    spec = next(iter(with_limit().fleet.deployments.values())).spec
    p.play(spent)
    p.configure(spec)
    assert budget.spent(p.fleet, p.fleet.providers["p"], p.now) == (1.0, 1.0, 2.5)
    assert p.ask("r0", remote=REMOTE)[0] == "hold r0"


def test_old_buckets_are_dropped_and_the_month_is_kept():
    p = with_limit()
    s = p.fleet.providers["p"].spend
    for hour in range(500):
        budget.charge(s, hour, 1.0)
    assert list(s.hours) == list(range(500 - budget.KEPT, 500))
    assert s.months == {0: 500.0}


@given(st.integers(0, 2**32))
def test_no_bucket_ever_exceeds_its_limit_whatever_the_clock_does(seed: int):
    """As long as nothing costs more than its dearest."""
    rng, p = Random(seed), with_limit(hour=3.5, day=5.0)
    for i in range(60):
        p.ask(f"r{i}", remote=REMOTE)
        for request in [s for s in p.fleet.sent if rng.random() < 0.4]:
            if rng.random() < 0.3:
                p.declined(request, "busy", retry_after=0.0, usd=rng.random())
            else:
                p.answered(request)
                p.charged(request, rng.random())
        if rng.random() < 0.3:
            p.set_clock(3600.0 * rng.randrange(40))
        spend = p.fleet.providers["p"].spend
        assert max(spend.hours.values(), default=0.0) <= 3.5 + 1e-9
        assert max(spend.days.values(), default=0.0) <= 5.0 + 1e-9


def test_two_hundred_at_once_never_exceed_the_budget_at_their_dearest():
    p = with_limit(day=20.0)
    for i in range(200):
        p.ask(f"r{i}", remote=REMOTE)
    assert len(p.fleet.sent) == 20
    assert p.fleet.providers["p"].spend.set_aside == pytest.approx(20.0)


def test_what_has_a_budget_is_not_asked_while_what_was_spent_is_not_known():
    p = bursting(Provider("p", Tariff(request=1.0), budget=Budget(month=9.0), first_token=0.5))
    p.play(ev.SpendKnown(p.now, known=False))
    assert p.ask("r1", remote=REMOTE)[0] == "hold r1"
    assert p.play(ev.SpendKnown(p.now, known=True)) == ["send r1 to p"]
