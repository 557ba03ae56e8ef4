"""Started ahead of traffic where that pays: up before its morning, and given up when the morning does not come."""

import itertools
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pilotlight.fleet.deployment import Goal
from pilotlight.fleet.forecast import BIN
from pilotlight.policy import predictive, scaling
from unit.policy.play import Play, model

HOUR, DAY = 3600.0, 86400.0


class Days(Play):
    """Starts take 40 s, stops none, requests 5 s."""

    requests = 0
    ticks = 0

    def until(self, end: float) -> None:
        while self.now < end:
            coming = [r for r in self.fleet.replicas.values() if r.state.value == "starting"]
            due = min([r.ordered_at + 40.0 for r in coming], default=end)
            step = min(end, due, max(self.wake_at, self.now))
            self.ticks += self.wake_at <= step
            self.wait(step - self.now)
            for r in list(self.fleet.replicas.values()):
                if r.state.value == "starting" and self.now >= r.ordered_at + 40.0 - 1e-6:
                    self.ready(r.id)
                elif r.state.value == "stopping":
                    self.gone(r.id)

    def office(self, day: int) -> bool:
        """A request a minute from eight to ten; whether the first was met warm."""
        at = day * DAY + 8 * HOUR
        self.until(at)
        warm = None
        for minute in range(120):
            self.until(at + 60.0 * minute)
            self.requests += 1
            said = self.ask(f"r{self.requests}")
            warm = said[0].startswith("r") if warm is None else warm
            self.until(self.now + 45.0)
            self.done(f"r{self.requests}")
        return bool(warm)

    def starts(self) -> int:
        return self.fleet.deployments["m"].started


def days(**fields) -> Days:
    p = Days(gpus=(80,))
    p.now = 0.0
    p.goal = Goal(cold_usd=5.0)
    p.configure(daily(**fields))
    return p


def daily(**fields):
    return model(**{"predictive": True, "ttl": 300.0, "gpus": 1, "start_seconds": 40.0, **fields})


def test_a_daily_model_is_up_before_its_morning():
    p = days()
    met_warm = [p.office(day) for day in range(8)]
    assert not met_warm[0]
    assert all(met_warm[5:])


def test_without_it_every_morning_begins_cold():
    p = days(predictive=False)
    assert not any(p.office(day) for day in range(4))
    assert p.fleet.deployments["m"].forecast is None


def test_a_dead_model_is_given_up():
    p = days()
    for day in range(8):
        p.office(day)
    p.until(20 * DAY)
    before = p.starts()
    p.until(40 * DAY)
    assert p.starts() == before, "nobody has come for weeks"
    ticks = p.ticks
    p.until(50 * DAY)
    assert p.ticks - ticks <= 100, "it is hardly looked at: ten days have 2,880 bins"


def test_one_that_was_never_asked_for_is_never_looked_at():
    p = days()
    p.until(10 * DAY)
    assert (p.ticks, p.starts()) == (0, 0)


def test_where_nobody_would_wait_long_nothing_is_started_ahead():
    p = days(start_seconds=1.0)
    p.fleet.deployments["m"].start_took = 1.0
    for day in range(3):
        p.office(day)
        p.fleet.deployments["m"].start_took = 1.0
        p.until(p.now + HOUR)
    d = p.fleet.deployments["m"]
    assert d.ahead is not None and d.ahead.hoped_until < 0


def test_it_makes_no_room_for_what_it_only_hopes():
    p = Play(daily(gpus=0, memory=6), model("other", memory=6), memory=8)
    p.up("other")
    p.wait(100)
    d = p.fleet.deployments["m"]
    assert d.ahead is not None
    d.ahead.hoped, d.ahead.hoped_until = 1, p.now + 600
    d.settle_floor()
    assert p.configure(daily(gpus=0, memory=6), model("other", memory=6)) == []
    assert p.notes == [] and not p.fleet.waiting
    assert p.ask("r1") == ["hold r1", "stop other-1"], "for who is there it does"


def test_hopes_that_do_not_come_true_are_trusted_less():
    p = days()
    d = p.fleet.deployments["m"]
    assert d.ahead is not None
    assert predictive.trust(d.ahead) == 1.0
    for _ in range(5):
        d.ahead.hoped, d.ahead.chance, d.ahead.hoped_until = 1, 0.8, 1000.0
        predictive.look(p.fleet, d, 1000.0)
    assert predictive.trust(d.ahead) < 0.3


def test_it_is_explained():
    p = days()
    d = p.fleet.deployments["m"]
    assert d.ahead is not None
    d.ahead.hoped, d.ahead.hoped_at, d.ahead.hoped_until, d.ahead.expected = 1, 0.0, 40 + BIN, 2.5
    (ask,) = scaling.asks(p.fleet, d, p.now)
    assert ask.because == "prewarmed: 2.5 arrivals were expected within 5m40s"


def test_who_stops_predicting_forgets():
    p = days()
    p.office(0)
    p.configure(daily(predictive=False))
    d = p.fleet.deployments["m"]
    assert d.forecast is d.ahead is None


# -- whatever the traffic --------------------------------------------------------------------------------------------

GAPS = st.lists(st.sampled_from([30.0, 60.0, 299.0, 700.0, 4 * HOUR, 12 * HOUR]), min_size=1, max_size=8)
"""Seconds between requests; repeated, they have a rhythm or none."""


class Hopes(Days):
    """Notes what is hoped for, and when it began; requests go on for 5 s."""

    def __init__(self, cold_usd: float | None, **fields: Any) -> None:
        self.began: list[float] = []
        super().__init__(daily(**fields), gpus=(80, 80, 80, 80))
        self.now, self.goal = 0.0, Goal(cold_usd=cold_usd)
        self.configure(daily(**fields))

    def play(self, event: Any) -> list[str]:
        shown = super().play(event)
        d = self.fleet.deployments["m"]
        assert d.ahead is not None
        assert d.ahead.hoped in (0, 1)
        assert 0 <= scaling.wanted(self.fleet, d, self.now) <= d.spec.max_replicas
        assert len(d.current()) <= d.spec.max_replicas
        if d.ahead.hoped and self.began[-1:] != [d.ahead.hoped_at]:
            self.began.append(d.ahead.hoped_at)
        return shown

    def come(self, gaps: list[float], days: float, end: float = 5.0, beside: int = 1) -> None:
        """So many side by side each time."""
        until = self.now + days * DAY
        while True:
            for gap in gaps:
                if self.now + gap + end > until:
                    return
                self.until(self.now + gap)
                self.requests += beside
                came = [f"r{self.requests - i}" for i in range(beside)]
                self.ask_all(*came)
                self.until(self.now + end)
                for request in came:
                    self.done(request)


@settings(deadline=None, max_examples=25)
@given(GAPS, st.integers(1, 4), st.integers(1, 3), st.sampled_from([None, 0.01, 5.0]))
def test_it_never_hopes_for_more_than_one_nor_has_more_up_than_may_be(
    gaps: list[float], beside: int, most: int, cold_usd: float | None
):
    p = Hopes(cold_usd, max_replicas=most, target_requests=1, ttl=30.0)
    p.come(gaps, days=1, beside=beside)


@settings(deadline=None, max_examples=25)
@given(GAPS, st.sampled_from([5.0, 40.0, 400.0]), st.booleans())
def test_where_a_cold_request_costs_nothing_nothing_is_started_ahead(
    gaps: list[float], start: float, auto: bool
):
    p = Hopes(0.0, start_seconds=start, ttl=30.0, ttl_is_auto=auto)
    p.come(gaps, days=2)
    p.until(p.now + DAY)
    assert p.began == []


@settings(deadline=None, max_examples=25)
@given(st.floats(60.0, 1800.0), st.sampled_from([0.0, 60.0, 600.0]), st.sampled_from([0.05, 0.5, 5.0]))
def test_on_constant_traffic_each_hope_lasts_for_its_time(gap: float, ttl: float, cold_usd: float):
    p = Hopes(cold_usd, ttl=ttl)
    p.come([gap], days=1)
    before = p.starts()
    hopes = len(p.began)
    p.come([gap], days=0.5)
    assert all(b >= a + BIN - 1e-3 for a, b in itertools.pairwise(p.began))
    requests = 0.5 * DAY / gap + 1
    assert p.starts() - before <= len(p.began) - hopes + requests


@settings(deadline=None, max_examples=25)
@given(GAPS, st.floats(7 * DAY, 30 * DAY))
def test_after_a_week_of_silence_hardly_anything_is_hoped_for(gaps: list[float], silent: float):
    p = Hopes(0.5)
    p.come(gaps, days=4)
    p.until(p.now + 7 * DAY)
    hopes = len(p.began)
    p.until(p.now + silent)
    assert len(p.began) - hopes <= 1
    assert p.states() == {}
    p.ask("late"), p.until(p.now + 100)
    assert p.fleet.assigned, "and who comes then is served as ever"
