"""Bursts in virtual time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotlight.fleet.actions import Ping, Send
from pilotlight.fleet.events import Answered, Charged, Finished
from pilotlight.fleet.provider import Provider, Tariff
from pilotlight.sim import declared, loop
from pilotlight.sim.providers import Charge, SimulatedProviders
from pilotlight.sim.requests import Replayed
from pilotlight.sim.result import Result
from pilotlight.sim.simulate import simulate
from pilotlight.sim.starts import StartTimes
from pilotlight.sim.trace import Trace
from pilotlight.sim.world import SimulatedWorld
from pilotlight.spec.load import parse

P = Provider("p", Tariff(second=0.01, output_token=0.001), first_token=1.0, cold_start=4.0, idle_timeout=60.0)


class Asked:
    def __init__(self) -> None:
        self.first: dict[str, float] = {}

    def size(self, request: str) -> tuple[str, int, int]:
        return "m", 5, 10

    def answered(self, request: str, at: float) -> None:
        self.first[request] = at


def first_of(world: SimulatedProviders, at: float) -> float:
    event = world.follows(Send("r", "p", "", 0.0), at)[0]
    assert isinstance(event, Answered)
    return event.at - at


def test_what_follows_from_a_request():
    asked = Asked()
    world = SimulatedProviders([P], asked, 0.5)
    assert world.follows(Send("r", "p", "", 0.0), 100.0) == (
        Answered(105.0, "r", "p"),
        Charged(110.0, "r", "p", pytest.approx(0.1 + 0.01)),
        Finished(110.0, "r"),
    )
    assert world.charges == [Charge(100.0, "p", "m", pytest.approx(0.11), request="r")]
    assert asked.first == {"r": 105.0}


def test_it_comes_up_once_for_all_who_meet_it_cold_and_goes_cold_again():
    world = SimulatedProviders([P], Asked(), 0.1)
    assert [first_of(world, at) for at in (0.0, 3.0, 10.0, 71.0)] == [5.0, 2.0, 1.0, 1.0]
    assert first_of(world, 71.0 + 2.0 + 60.0) == 5.0


def test_a_ping_keeps_it_warm_and_ends_without_a_request():
    world = SimulatedProviders([P], Asked(), 0.1)
    events = world.follows(Ping("ping-p-1", "p", "m", "", 0.0), 0.0)
    assert not any(isinstance(e, Finished) for e in events)
    assert first_of(world, 50.0) == 1.0
    assert [c.is_ping for c in world.charges] == [True, False]


# -- in a replay --------------------------------------------------------------------------------------------------

CONFIG = """
defaults: {{ttl: 60s, target_requests: 1, max_requests: 1, max_replicas: 10{burst}}}
models: {{m: {{}}}}
providers:
  p:
    base_url: https://api.example.com/v1
    price: {{second_usd: 0.0001}}
    first_token: {first}
    {keep}
  q: {{base_url: https://q.example.com/v1, first_token: 1s}}
simulation: {{first_token: 50ms, per_token: 30ms, warm_up: 0%{said}}}
"""


def run(
    burst: str = ", burst: {provider: p}",
    keep: str = "",
    *,
    said: str = "",
    first: str = "500ms",
    every: float = 7.0,
    until: float = 600.0,
) -> Result:
    """A request each `every` seconds, each of 3.05 s; a start takes 40. `said`: of the simulation."""
    t = np.arange(0.0, until, every)
    ones = np.ones(len(t), np.int32)
    trace = Trace("t", ["m"], t, 0 * ones, ones, 100 * ones)
    text = CONFIG.format(burst=burst, keep=keep, said=said, first=first)
    return simulate(trace, parse(text, "test", {}, simulated=True), StartTimes(constant=40.0))


BOTH = ", burst: {provider: [p, q]}"


def test_a_request_that_would_wait_for_a_start_goes_to_a_provider():
    alone, found = run(burst=""), run()
    assert alone.cold_rate is not None
    assert alone.cold_rate > 0.0
    assert (found.cold_rate, found.unserved, found.refused) == (0.0, 0, 0)
    assert found.ttft_p50 == pytest.approx(0.5)
    assert found.burst_requests == found.requests
    assert found.burst_usd == pytest.approx(found.requests * 3.5 * 0.0001)
    assert found.cost_usd == pytest.approx(found.burst_usd)
    assert (alone.burst_requests, alone.burst_usd, alone.by_provider) == (0, 0.0, {})


def test_a_model_that_may_not_leave_the_house_waits():
    found = run(burst=", burst: {provider: p}, leave_house: false")
    assert found.burst_requests == 0
    assert found.figures()["cold_rate"] == run(burst="").figures()["cold_rate"]


def test_pings_are_paid_for():
    found = run(keep="keep_warm: {model: m, every: 5s}")
    assert found.ping_usd > 0.0
    assert found.cost_usd == pytest.approx(found.burst_usd + found.ping_usd)
    assert found.by_provider["p"].ping_usd == found.ping_usd


# -- what goes wrong there ---------------------------------------------------------------------------------------


def test_requests_that_a_provider_fails_go_to_the_next_one():
    found = run(BOTH, said=", providers: {p: {fails: 20%}}")
    p, q = found.by_provider["p"], found.by_provider["q"]
    assert p.declined > 5
    assert p.declined == q.burst_requests == found.burst_declined
    assert p.burst_requests + q.burst_requests == found.requests == found.burst_requests
    assert found.burst_usd == pytest.approx(p.burst_requests * 3.5 * 0.0001)
    # It has failed by the time at which its first token was due, and then the next one begins.
    assert (found.ttft_p50, found.ttft_p99) == (pytest.approx(0.5), pytest.approx(1.5))


def test_a_request_that_all_decline_waits_here_from_its_arrival_on():
    found = run(said=", providers: {p: {fails: 100%}}", until=1.0)
    assert (found.requests, found.unserved, found.burst_requests, found.burst_declined) == (1, 0, 0, 1)
    assert found.ttft_p50 == pytest.approx(0.5 + 40.0 + 0.05)
    assert found.burst_usd == 0.0


def test_one_that_is_down_is_left_alone_and_tried_by_one_request_at_a_time():
    found = run(BOTH, said=", providers: {p: {outages: [{from: 10m, for: 20m}]}}", every=1.0, until=3600.0)
    p, q = found.by_provider["p"], found.by_provider["q"]
    assert (found.unserved, found.burst_requests) == (0, 3600)
    # Three, while earlier ones end well; five in a row, which open it; and tries after 5, 10, 20, ... 300 seconds.
    assert p.declined == 3 + 5 + 8
    assert 1200 <= q.burst_requests <= 1200 + 300, "and it is asked again once it is well"


def test_one_that_asks_to_be_left_alone_is():
    found = run(BOTH, said=", providers: {p: {rate: 20/m}}", every=1.0, until=600.0)
    p = found.by_provider["p"]
    assert (p.burst_requests, p.declined) == (200, 10), "the first of each minute beyond them is told to wait"
    assert found.by_provider["q"].burst_requests == 400


# -- hedged ------------------------------------------------------------------------------------------------------

HEDGED = ", hedged: 100%"


def test_the_provider_is_first_and_the_start_goes_on():
    found = run(said=HEDGED, first="4s", until=1.0)
    assert (found.burst_hedged, found.burst_cut, found.burst_requests) == (1, 0, 1)
    assert found.ttft_p50 == pytest.approx(4.0)
    assert found.burst_usd == pytest.approx((4.0 + 3.0) * 0.0001)
    assert found.starts == 1


def test_the_replica_is_first_and_the_provider_is_cut_and_paid():
    found = run(said=HEDGED, first="60s", until=1.0)
    assert (found.burst_hedged, found.burst_cut, found.burst_requests) == (1, 1, 0)
    assert found.ttft_p50 == pytest.approx(40.05)
    assert found.burst_usd == pytest.approx(40.05 * 0.0001)
    assert found.by_provider["p"].cut == 1


def test_a_replica_that_has_it_already_is_beaten_by_an_earlier_first_token():
    found = run(said=HEDGED, first="40.02s", until=1.0)
    assert (found.burst_cut, found.burst_requests) == (0, 1)
    assert found.ttft_p50 == pytest.approx(40.02)


def test_a_hedge_that_is_declined_is_hedged_with_the_next_one():
    found = run(BOTH, said=HEDGED + ", providers: {p: {outages: [{from: 0s, for: 1h}]}}", until=1.0)
    assert (found.by_provider["p"].declined, found.by_provider["q"].burst_requests) == (1, 1)
    assert (found.burst_hedged, found.ttft_p50) == (2, pytest.approx(1.0))


def test_a_share_of_the_requests_is_hedged():
    found = run(said=", hedged: 25%", every=100.0, until=100_000.0)
    assert 200 < found.burst_hedged < 300


SHARES = st.sampled_from(["0%", "30%", "100%"])


@given(
    st.lists(st.tuples(st.floats(0.0, 60.0), st.integers(0, 300)), min_size=1, max_size=40),
    SHARES,
    SHARES,
    st.sampled_from(["", ", rate: 5/m", ", outages: [{from: 30s, for: 2m}]"]),
    st.sampled_from(["500ms", "4s", "40s", "40.03s", "2m"]),
    st.sampled_from(["p", "[p, q]"]),
    st.integers(0, 3),
)
@settings(max_examples=150, deadline=None)
def test_every_request_is_answered_once_and_all_that_was_sent_is_paid_once(
    requests: list[tuple[float, int]],
    hedged: str,
    fails: str,
    more: str,
    first: str,
    burst: str,
    seed: int,
):
    said = f", hedged: {hedged}, providers: {{p: {{fails: {fails}{more}}}}}"
    text = CONFIG.format(burst=f", burst: {{provider: {burst}}}", keep="", said=said, first=first)
    config = parse(text, "test", {}, simulated=True)
    gaps, outputs = zip(*requests, strict=True)
    n = np.ones(len(gaps), np.int32)
    trace = Trace("t", ["m"], np.cumsum(gaps), 0 * n, n, np.array(outputs, np.int32))
    starts, given = StartTimes(constant=40.0), config.simulation
    replayed = Replayed(trace, ["m"], given, {"m"}, seed)
    configured = declared.configured(config, ["m"], starts, float(trace.t[0]))
    world = SimulatedWorld(configured, starts, seed, replayed, given)
    placed: dict[str, str] = {}
    end = float(trace.t[-1]) + 7200.0
    fleet = loop.run(
        configured, replayed.arrivals(), replayed.waited, world, lambda *_: None, end, placed.__setitem__
    )
    d, charges = fleet.deployments["m"], world.providers.charges
    assert (d.in_flight, d.away, len(d.held), fleet.sent, fleet.assigned) == (0, 0, 0, {}, {})
    assert d.bursting is not None and d.bursting.sent == 0
    answered = sum(not c.declined and not c.cut for c in charges)
    assert len(placed) + answered == len(trace)
    assert bool((replayed.wait >= -given.first_token - 1e-9).all())
    spent = sum(sum(p.spend.months.values()) for p in fleet.providers.values())
    assert spent == pytest.approx(sum(c.usd for c in charges))
    assert all(p.in_flight == 0 for p in fleet.providers.values())


# -- whether anything may leave at all -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "notes"),
    [
        ("defaults: {burst: {provider: p}}", ()),
        ("models: {m: {burst: {provider: p}}}", ()),
        ("models: {chat: {burst: {provider: p}, aliases: [m]}}", ()),
        (
            "models: {chat: {burst: {provider: p}}}",
            ("no request of this trace may leave: burst names only chat",),
        ),
        (
            "models: {m: {burst: {provider: p}, leave_house: false}}",
            ("no request of this trace may leave: no model has burst",),
        ),
        ("models: {m: {}}", ("no request of this trace may leave: no model has burst",)),
    ],
)
def test_a_trace_of_which_nothing_may_leave_is_said_to_be_that(written: str, notes: tuple[str, ...]):
    config = parse(
        f"providers: {{p: {{base_url: 'https://p.example.com/v1'}}}}\n{written}\n",
        "p.yaml",
        {},
        simulated=True,
    )
    ones = np.ones(2, np.int32)
    assert simulate(Trace("t", ["m"], np.array([0.0, 5.0]), 0 * ones, ones, ones), config).notes == notes
