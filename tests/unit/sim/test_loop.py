"""Who decides beside the kernel: sees all that happens, and what it orders happens like all else."""

from collections import Counter

import pytest

from pilotlight.fleet.actions import Action, Moved
from pilotlight.fleet.events import Arrived, Configured, Event, Finished, Ready, Stopped, Tick
from pilotlight.fleet.fleet import Fleet
from pilotlight.fleet.states import State
from pilotlight.policy import effects, placement
from pilotlight.policy.placement import Wish
from pilotlight.sim.loop import Beside
from pilotlight.sim.result import TIMINGS, Result
from pilotlight.sim.simulate import simulate
from pilotlight.sim.starts import constant
from pilotlight.sim.trace import Trace
from pilotlight.sim.traffic import bursty
from pilotlight.spec.load import parse

MONTH = 730 * 3600
CONFIG = parse(
    f"""
defaults: {{ttl: 60s, target_requests: 1, max_requests: 1, max_replicas: 10}}
prices: {{gpu_month_usd: {MONTH}, serverless_premium: 2.5}}
simulation: {{first_token: 0s, per_token: 1s, warm_up: 0%}}
""",
    "test",
    {},
    simulated=True,
)


def play(*requests: tuple[float, int], beside: Beside | None = None, trace: Trace | None = None) -> Result:
    """A GPU costs 2.5 dollars a second, a token takes one, and a start ten."""
    trace = trace or Trace.from_rows("x", [(t, "m", 1, tokens) for t, tokens in requests])
    return simulate(trace, CONFIG, constant(10.0), beside=beside)


def test_one_who_only_looks_sees_every_event_with_what_came_of_it_and_changes_nothing():
    seen: Counter[type] = Counter()
    moved: list[State] = []
    moments: list[float] = []

    def look(fleet: Fleet, event: Event, out: list[Action]) -> None:
        seen[type(event)] += 1
        moved.extend(a.state for a in out if isinstance(a, Moved))
        moments.append(event.at)

    trace = bursty(0.02, 6 * 3600, seed=1)
    found, plain = play(trace=trace, beside=look), play(trace=trace)
    assert {n: x for n, x in found.figures().items() if n not in TIMINGS} == {
        n: x for n, x in plain.figures().items() if n not in TIMINGS
    }
    assert seen[Configured] == 1 and seen[Arrived] == seen[Finished] == len(trace)
    assert seen[Ready] == seen[Stopped] == found.starts > 1
    assert moved.count(State.STARTING) == moved.count(State.GONE) == found.starts
    assert moments == sorted(moments)


def test_what_it_orders_at_a_moment_it_asked_for_is_carried_out_then():
    """A start, ten seconds before anybody comes. It stays for its keep-alive."""

    def early(fleet: Fleet, event: Event, out: list[Action]) -> None:
        if type(event) is Configured:
            fleet.timer(50.0, "deployment", "m")
        elif type(event) is Tick and event.at == 50.0:
            d = fleet.deployments["m"]
            place = placement.place(fleet, Wish(fleet.need_of(d)))
            assert place is not None
            effects.start(fleet, d, place, event.at, out, "somebody comes")

    rows = ((0.0, 1), (60.0, 1), (1000.0, 0))
    trace = Trace.from_rows("x", [(t, name, 1, n) for (t, n), name in zip(rows, "omo", strict=True)])
    found, plain = play(trace=trace, beside=early), play(trace=trace)
    assert (found.cold_rate_by_model["m"], plain.cold_rate_by_model["m"]) == (0.0, 1.0)
    # It is up from 50 to 60 + 1 + 60, in place of from 60 to 70 + 1 + 60.
    assert found.cost_usd == pytest.approx(plain.cost_usd)
    assert found.starts == plain.starts


@pytest.mark.parametrize(
    ("at", "up"),
    [
        (Finished, 30 + 15),  # each stops with its request, and the second is cold
        (Arrived, 50 + 5),  # the second is the last that the first one takes
    ],
)
def test_what_it_orders_with_a_request_is_carried_out_at_once(at: type, up: float):
    """The loop takes requests and their ends by a shorter way than all else."""

    def stop(fleet: Fleet, event: Event, out: list[Action]) -> None:
        if type(event) is at and event.at > 0.0:
            for r in list(fleet.deployments["m"].replicas.values()):
                effects.drain(fleet, r, event.at, out, "enough", float("inf"))

    found = play((0.0, 20), (50.0, 5), (1000.0, 0), beside=stop)
    assert found.cost_usd == pytest.approx(2.5 * up)
