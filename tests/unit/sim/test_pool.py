"""Pools of several hosts, reckoned by hand: a GPU costs a dollar a second, a token takes one, and a start ten."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotlight.fleet.actions import Start
from pilotlight.policy.sleeping import KEPT
from pilotlight.sim import pool
from pilotlight.sim.result import TIMINGS, Result
from pilotlight.sim.simulate import simulate
from pilotlight.sim.starts import constant
from pilotlight.sim.trace import Trace
from pilotlight.sim.world import SimulatedWorld
from pilotlight.spec.load import parse
from pilotlight.spec.model import Config, HostKind, Model

MONTH = 730 * 3600
GIB = 2**30
KEEP = "ttl: -1, target_requests: 1, max_requests: 1, max_replicas: 10"
TWO = "[{name: small, memory: 64GiB, gpus: 1, gpu_memory: 24GiB}, {name: big, memory: 64GiB, gpus: 2}]"
MIXED = "[{name: cpu, memory: 4GiB, hour_usd: 7200}, {name: gpu, memory: 64GiB, gpus: 1}]"

Request = tuple[float, int, str]
Placed = list[tuple[str, str, tuple[int, ...]]]


def config(hosts: str, models: str = "", defaults: str = KEEP, more: str = "") -> Config:
    text = f"""
defaults: {{{defaults}}}
prices: {{gpu_month_usd: {MONTH}}}
simulation: {{first_token: 0s, per_token: 1s, warm_up: 0%, wake_time: 1.5s, hosts: {hosts}}}
models: {{{models}}}
{more}
"""
    return parse(text, "test", {}, simulated=True)


def play(config: Config, *requests: Request, **more: Any) -> Result:
    return simulate(
        Trace.from_rows("x", [(t, m, 1, n) for t, n, m in requests]), config, constant(10.0), **more
    )


@pytest.fixture
def placed(monkeypatch: pytest.MonkeyPatch) -> Placed:
    """What was started, where, on which devices."""
    found: Placed = []
    follows = SimulatedWorld.follows

    def watched(self: SimulatedWorld, action: Any, now: float) -> Any:
        if isinstance(action, Start):
            found.append((action.deployment, action.host, action.devices))
        return follows(self, action, now)

    monkeypatch.setattr(SimulatedWorld, "follows", watched)
    return found


def test_a_replica_comes_up_on_the_first_host_that_has_room(placed: Placed):
    models = (
        "a: {gpus: 1, gpu_memory: 20GiB}, b: {gpus: 1, gpu_memory: 20GiB}, c: {gpus: 1, gpu_memory: 70GiB}, "
        "d: {gpus: 2, gpu_memory: 5GiB}"
    )
    found = play(
        config(TWO, models),
        (0.0, 1, "a"), (50.0, 1, "b"), (100.0, 1, "c"), (150.0, 1, "d"), (200.0, 1, "a"), (250.0, 0, "a"),
    )  # fmt: skip
    # b finds the small one full, c the first of the big one's GPUs; d has room for 5 GiB on both of those.
    assert placed == [("a", "small", (0,)), ("b", "big", (1,)), ("c", "big", (2,)), ("d", "big", (1, 2))]
    assert (found.cold_rate, found.ttft_p99, found.unserved) == (pytest.approx(4 / 6), 10.0, 0)
    assert found.notes == ()


def test_what_must_go_for_a_large_one_is_on_the_large_host(placed: Placed):
    models = (
        "a: {gpus: 1, gpu_memory: 20GiB}, b: {gpus: 1, gpu_memory: 20GiB}, c: {gpus: 2, gpu_memory: 70GiB}"
    )
    found = play(
        config(TWO, models), (0.0, 1, "a"), (50.0, 1, "b"), (100.0, 1, "c"), (200.0, 1, "a"), (300.0, 1, "b")
    )
    assert placed == [("a", "small", (0,)), ("b", "big", (1,)), ("c", "big", (1, 2))]
    # a is awake all the time. b slept for c, and keeps 3 GiB of its GPU, so that c has room; it wakes again.
    assert found.ttft_mean == pytest.approx((10 + 10 + 10 + 0 + 1.5) / 5)


def test_memory_is_that_of_each_host(placed: Placed):
    hosts = "[{name: one, count: 2, memory: 8GiB, gpus: 4}]"
    play(
        config(hosts, defaults=f"{KEEP}, gpus: 1, memory: 5GiB, gpu_memory: 1GiB"),
        (0.0, 9, "a"),
        (1.0, 9, "b"),
    )
    assert placed == [("a", "one#1", (0,)), ("b", "one#2", (4,))]


def test_a_model_that_needs_no_gpu_takes_none_where_there_are_hosts_without(placed: Placed):
    models = "e: {memory: 3GiB}, c: {gpus: 1}"
    found = play(config(MIXED, models), (0.0, 5, "e"), (1.0, 5, "e"), (2.0, 5, "c"), (1000.0, 0, "e"))
    assert placed == [("e", "cpu", ()), ("e", "gpu", ()), ("c", "gpu", (0,))]
    # $2 a second for the one, $1 for the other's GPU.
    assert found.cost_usd == pytest.approx(3000)
    assert (found.gpu_hours, found.dedicated_gpu_hours) == (pytest.approx(1000 / 3600),) * 2
    assert found.notes == ()


def test_who_waits_for_a_gpu_keeps_nobody_from_a_host_without_one(placed: Placed):
    hosts = "[{name: cpu, memory: 64GiB, hour_usd: 1}, {name: gpu, memory: 203GiB, gpus: 1}]"
    large = "{gpus: 1, memory: 100GiB, gpu_memory: 70GiB, techniques: []}"
    given = config(hosts, f"g: {large}, h: {large}, e: {{memory: 4GiB}}")
    found = play(given, (0.0, 500, "g"), (20.0, 5, "h"), (30.0, 1, "e"), (600.0, 0, "e"))
    assert placed == [("g", "gpu", (0,)), ("e", "cpu", ()), ("h", "gpu", (0,))]
    # h comes while g runs, to 10 + 500, and starts then; e has its host to itself.
    assert found.ttft_mean == pytest.approx((10 + 500 + 10 + 0) / 4)


def test_of_hosts_without_gpus_alone_only_their_price_is_paid():
    hosts = "[{name: cpu, count: 3, memory: 4GiB, hour_usd: 1800}]"
    found = play(config(hosts, "e: {memory: 3GiB}"), (0.0, 5, "e"), (100.0, 0, "e"))
    assert (found.cost_usd, found.gpu_hours) == (pytest.approx(3 * 0.5 * 100), 0.0)
    assert found.unserved == 0


def test_one_without_a_gpu_lets_go_of_its_memory_to_sleep(placed: Placed):
    hosts = "[{name: cpu, memory: 10GiB, hour_usd: 1}]"
    found = play(
        config(hosts, defaults=f"{KEEP}, memory: 8GiB"), (0.0, 1, "a"), (100.0, 1, "b"), (200.0, 1, "a"),
        (300.0, 1, "b"),
    )  # fmt: skip
    assert [name for name, _, _ in placed] == ["a", "b"]
    assert found.ttft_mean == pytest.approx((10 + 10 + 1.5 + 1.5) / 4)


def test_the_bill_has_all_hosts_in_one_line():
    hosts = "[{name: own, count: 2, memory: 64GiB, gpus: 4, hour_usd: 3600}, {name: other, memory: 64GiB, gpus: 3}]"
    found = play(config(hosts), (0.0, 1, "a"), (100.0, 0, "a"), bill=True)
    assert found.gpu_hours == pytest.approx(11 * 100 / 3600)
    assert found.cost_usd == pytest.approx(2 * 100 + 3 * 100)
    assert found.bill is not None
    assert sum(line.usd for line in found.bill.lines) == pytest.approx(found.cost_usd)


def test_what_fits_on_no_host_is_told_of_with_what_there_is():
    models = "large: {gpus: 2, gpu_memory: 90GiB}, small: {gpus: 1, gpu_memory: 9GiB}"
    found = play(config(TWO, models), (0.0, 1, "large"), (1.0, 1, "small"))
    assert found.notes[0] == (
        "large fits on no host of simulation.hosts: one replica needs 0 B of host memory and 90.0 GiB of each of 2 "
        "GPUs; the hosts have 64.0 GiB and GPUs: 1 of 24.0 GiB (small), 64.0 GiB and GPUs: 2 of 80.0 GiB (big); "
        "lower its `gpus`, `gpu_memory` or `memory`, or add a host that is large enough"
    )
    assert (found.refused, found.unserved) == (1, 1)


def test_those_that_need_the_same_are_told_of_together_and_hosts_that_are_alike_too():
    hosts = "[{name: one, count: 3, memory: 8GiB, gpus: 2}]"
    found = play(config(hosts, defaults=f"{KEEP}, memory: 9GiB"), *((float(i), 1, f"m{i}") for i in range(4)))
    assert found.notes[0].startswith(
        "each of m0 and 3 more fits on no host of simulation.hosts: one replica needs 9.0"
    )
    assert "the hosts have 8.0 GiB and GPUs: 2 of 80.0 GiB (one#1 and 2 like it); lower" in found.notes[0]
    assert len([note for note in found.notes if "simulation.hosts" in note]) == 1


def test_what_stays_is_in_the_way_on_each_host():
    hosts = "[{name: one, count: 2, memory: 8GiB, gpus: 1}]"
    given = config(hosts, "p: {min_replicas: 2, pinned: true, memory: 5GiB}, m: {memory: 4GiB}")
    assert play(given, (0.0, 1, "m")).notes == (
        "does not fit: one replica needs 4.0 GiB of host memory and 69.6 GiB of each of 1 GPU; the hosts have 8.0 GiB "
        "and GPUs: 1 of 80.0 GiB (one#1 and 1 like it), of which 10.0 GiB is held by replicas that stay: 1 time",
    )


def test_the_devices_of_two_hosts_do_not_add_up():
    hosts = "[{name: one, count: 3, memory: 8GiB, gpus: 1}]"
    assert "fits on no host" in play(config(hosts, "m: {gpus: 2}"), (0.0, 1, "m")).notes[0]
    assert play(config(hosts.replace("gpus: 1", "gpus: 2"), "m: {gpus: 2}"), (0.0, 1, "m")).notes == ()


def test_what_fits_nowhere_may_leave():
    more = "providers: {p: {base_url: 'https://p.example.com/v1', price: {request_usd: 1}}}"
    given = config(TWO, "large: {gpus: 9, burst: {provider: p}}", more=more)
    found = play(given, (0.0, 1, "large"), (100.0, 1, "large"))
    assert (found.burst_requests, found.unserved) == (2, 0)


def test_what_is_not_said_fits_the_smallest_and_a_note_says_so():
    hosts = (
        "[{name: cpu, memory: 8GiB}, {name: cpu2, memory: 16GiB, hour_usd: 0}, {name: l4, memory: 64GiB, gpus: 1,"
        " gpu_memory: 24GiB}, {name: h100, memory: 64GiB, gpus: 1, models_per_gpu: 4}]"
    )
    given = config(hosts, "e: {}, c: {gpus: 1}, said: {gpus: 1, gpu_memory: 1GiB, memory: 1GiB}")
    kinds, models = given.simulation.kinds, given.models
    assert pool.need(models["e"], kinds).memory == int(8 * GIB / (1 + KEPT))
    assert pool.need(models["e"], kinds).gpus == 0
    assert pool.need(models["c"], kinds).gpu_memory == int(80 * GIB / (4 + KEPT)) < int(24 * GIB / (1 + KEPT))
    assert pool.need(models["said"], kinds).gpu_memory == GIB
    assert play(given, (0.0, 1, "c")).notes == (
        "e is taken to need 7.0 GiB of host memory, which fits once on the smallest host without a GPU, until `memory` "
        "says what it needs",
        "c is taken to need 19.3 GiB of a GPU, which fits on the smallest of the pool, until `gpu_memory` says what it "
        "needs; a larger GPU has more of it awake at once",
        "hosts of the kind cpu cost nothing here: they have no GPU, and no `hour_usd` is set",
    )


def test_a_warmer_takes_no_more_memory_than_the_full_one():
    given = config(MIXED, "e: {memory: 1GiB, target_requests: 4, max_requests: 4, warmer: {max_requests: 1}}")
    assert given.models["e"].small().memory is None
    full, small = pool.needs(given.models["e"], given.simulation.kinds)
    assert (full.memory, small.memory, small.gpus) == (GIB, GIB, 0)


def test_hosts_have_names_and_devices_of_their_own():
    a, b = HostKind("a", 8 * GIB, 2, 2, 3 * GIB), HostKind("b", 4 * GIB)
    found = pool.hosts([a, b])
    assert [(h.id, h.memory // GIB) for h in found] == [("a#1", 8), ("a#2", 8), ("b", 4)]
    assert [[(d.id, d.memory // GIB) for d in h.devices] for h in found] == [
        [(0, 3), (1, 3)],
        [(2, 3), (3, 3)],
        [],
    ]


def test_without_hosts_that_lack_gpus_each_takes_one_as_in_the_short_form():
    assert pool.need(Model(), [HostKind("a", GIB, gpus=1)]).gpus == 1
    assert pool.need(Model(), [HostKind("a", GIB, gpus=1), HostKind("b", GIB)]).gpus == 0


def without_timings(result: Result) -> tuple[str, object]:
    return json.dumps({k: v for k, v in result.figures().items() if k not in TIMINGS}), result.bill


requests = st.lists(
    st.tuples(st.floats(0, 2000), st.integers(0, 200), st.sampled_from(["a", "b", "c", "d"])),
    min_size=1,
    max_size=50,
)
policies = st.sampled_from(
    [
        KEEP,
        "ttl: 60s, target_requests: 2, max_requests: 2, max_replicas: 4",
        "ttl: auto, base: auto, target_requests: 2, max_requests: 2, max_replicas: 10",
        "ttl: 5m, min_replicas: 1, target_requests: 1, max_requests: 1, max_replicas: 3, gpus: 1, gpu_memory: 30GiB",
        "ttl: -1, target_requests: 1, max_requests: 1, max_replicas: 3, gpu_memory: 30GiB, memory: 20GiB, gpus: 2",
    ]
)


@settings(max_examples=80, deadline=None)
@given(
    asked=requests,
    policy=policies,
    gpus=st.integers(1, 4),
    gpu_memory=st.integers(10, 80),
    memory=st.sampled_from([30, 100, 1000]),
    most=st.sampled_from(["", ", models_per_gpu: 1", ", models_per_gpu: 3"]),
)
def test_the_short_form_is_a_list_of_one_host(
    asked: list[Request], policy: str, gpus: int, gpu_memory: int, memory: int, most: str
) -> None:
    same = f"gpus: {gpus}, gpu_memory: {gpu_memory}GiB, memory: {memory}GiB{most}"
    short, long = (
        play(config(hosts, "d: {gpus: 2, memory: 3GiB}", policy), *asked, bill=True)
        for hosts in (f"{{{same}}}", f"[{{name: x, count: 1, {same}}}]")
    )
    assert without_timings(short) == without_timings(long)
