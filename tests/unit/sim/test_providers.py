"""Bursts in virtual time."""

import numpy as np
import pytest

from pilotlight.fleet.actions import Ping, Send
from pilotlight.fleet.events import Answered, Charged, Finished
from pilotlight.fleet.provider import Provider, Tariff
from pilotlight.sim.providers import Charge, SimulatedProviders
from pilotlight.sim.simulate import simulate
from pilotlight.sim.starts import StartTimes
from pilotlight.sim.trace import Trace
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
    assert world.charges == [Charge(100.0, "p", "m", pytest.approx(0.11))]
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


CONFIG = """
defaults: {{ttl: 60s, target_requests: 1, max_requests: 1, max_replicas: 10{burst}}}
models: {{m: {{}}}}
providers:
  p:
    base_url: https://api.example.com/v1
    price: {{second_usd: 0.0001}}
    first_token: 500ms
    {keep}
simulation: {{first_token: 50ms, per_token: 30ms, warm_up: 0%}}
"""


def run(burst: str = ", burst: {provider: p}", keep: str = ""):
    t = np.arange(0.0, 600.0, 7.0)
    ones = np.ones(len(t), np.int32)
    trace = Trace("t", ["m"], t, 0 * ones, ones, 100 * ones)
    config = parse(CONFIG.format(burst=burst, keep=keep), "test", {}, simulated=True)
    return simulate(trace, config, StartTimes(constant=40.0))


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
