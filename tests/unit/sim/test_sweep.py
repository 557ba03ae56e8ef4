"""What a sweep asks for, and what its points come to."""

from itertools import pairwise
from typing import Any

import msgspec
import pytest

from pilotlight.errors import PilotlightError
from pilotlight.sim.defaults import default_config
from pilotlight.sim.result import Result
from pilotlight.sim.simulate import simulate
from pilotlight.sim.sweep import sweep
from pilotlight.sim.sweep_text import KEYS, POINTS, parse
from pilotlight.sim.trace import Trace
from pilotlight.spec.load import parse as parse_config
from pilotlight.spec.model import Config

NOTHING = simulate(Trace.from_rows("x", []), default_config())


def values(text: str) -> list[Any]:
    return [v.value for v in parse(text).values]


def test_durations_go_by_ratio_and_counts_by_steps():
    found = values("ttl=1m..2h")
    assert len(found) == POINTS and (found[0], found[-1]) == (60.0, 7200.0)
    ratios = [b / a for a, b in pairwise(found)]
    assert max(ratios) == pytest.approx(min(ratios), rel=0.02)
    assert values("base=0..4") == [0, 1, 2, 3, 4]
    counts = values("max_replicas=1..100")
    assert len(counts) == POINTS and (counts[0], counts[-1]) == (1, 100)
    assert values("cold_rate=1%..8%") == pytest.approx([0.01 * i for i in range(1, 9)])


def test_a_range_from_zero_has_zero_and_then_ratios():
    found = values("ttl=0..64m")
    assert found[:2] == [0.0, 60.0] and found[-1] == 3840.0 and len(found) == POINTS


def test_values_may_be_listed_and_learned_ones_too():
    assert values("ttl=1m,10m,auto,-1") == [60.0, 600.0, "auto", float("inf")]
    assert values("base=2,auto") == [2, "auto"]
    assert values("base=2,2,2") == [2]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("ttl", "write KEY=A..B"),
        ("ttl=", "write KEY=A..B"),
        ("=1..2", "write KEY=A..B"),
        ("colour=1..2", "there is no key 'colour'.*ttl.*base"),
        ("ttl=2h..1m", "from a smaller number to a larger"),
        ("ttl=1m..auto", "from a smaller number to a larger"),
        ("ttl=1m..-1", "from a smaller number to a larger"),
        ("ttl=soon", "'soon' is no ttl; write it like 1m, or auto"),
        ("base=1.5", "'1.5' is no base"),
        ("base=-1", "'-1' is no base"),
        ("min_replicas=auto", "'auto' is no min_replicas"),
        ("target_requests=0", "'0' is no target_requests"),
        ("cold_rate=120%", "'120%' is no cold_rate; write it like 5%"),
        ("ttl=1m..", "'' is no ttl"),
        (f"base={','.join(map(str, range(60)))}", "60 values are too many"),
    ],
)
def test_what_is_no_sweep_is_told(text: str, fault: str):
    with pytest.raises(PilotlightError, match=fault):
        parse(text)


def test_a_value_holds_for_every_model():
    given = parse_config(
        "models: {a: {ttl: 1m, max_replicas: 9}}\ndefaults: {max_replicas: 9}", "x", {}, simulated=True
    )
    found = parse("ttl=5m").config(given, 300.0)
    assert found.models["a"].ttl == found.default_model.ttl == 300.0
    assert parse("base=3").config(given, 3).models["a"].base == 3
    assert given.models["a"].ttl == 60.0


def test_every_key_can_be_set():
    for key in KEYS:
        given = msgspec.structs.replace(default_config(), default_model=parse_config(
            "defaults: {max_replicas: 9}", "x", {}, simulated=True).default_model)  # fmt: skip
        found = parse(f"{key}=1").config(given, 1)
        assert parse(f"{key}=1").present(found).value == 1


def test_the_upper_edge_of_the_band_takes_the_lower_with_it():
    given = default_config()
    assert parse("cold_rate=1%").config(given, 0.01).objective.cold_rate == (0.01, 0.01)
    assert parse("cold_rate=9%").config(given, 0.09).objective.cold_rate == (0.02, 0.09)


def test_a_goal_of_no_cold_request_can_be_asked_for():
    given = default_config()
    rows = [(1000.0 * i + j / 10, "m", 10, 20) for i in range(100) for j in range(9)]
    zero, many = (
        simulate(Trace.from_rows("x", rows), parse("cold_rate=0%").config(given, goal)) for goal in (0.0, 0.5)
    )
    assert zero.cold_rate is not None and many.cold_rate is not None and zero.cold_rate < many.cold_rate


def test_what_cannot_be_is_told():
    given = parse_config("defaults: {max_replicas: 2}", "x", {}, simulated=True)
    with pytest.raises(PilotlightError, match="would keep 3 replicas, more than its max_replicas, 2"):
        parse("base=3").config(given, 3)
    with pytest.raises(PilotlightError, match="sweep ttl"):
        parse("ttl_to_zero=1m").config(default_config(), 60.0)


def points(given: dict[str, tuple[float, float, float]], text: str = "ttl=1m,2m,3m,4m") -> dict[str, Any]:
    """Of (cost, cold rate, p99) by value."""

    def simulated(config: Config, label: str) -> Result:
        cost, cold, p99 = given[label]
        return msgspec.structs.replace(NOTHING, cost_usd=cost, cold_rate=cold, ttft_p99=p99)

    return {p.value: p for p in sweep(default_config(), parse(text), simulated)}


FOUND = {
    "auto": (30, 0.04, 1.0),
    "1m": (10, 0.2, 9.0),
    "2m": (20, 0.05, 5.0),
    "3m": (25, 0.05, 4.0),
    "4m": (40, 0.04, 2.0),
}


def test_what_nothing_beats_is_not_dominated():
    found = points(FOUND)
    assert [v for v, p in found.items() if p.dominated] == ["4m"]
    assert [v for v, p in found.items() if p.present] == ["auto"]


def test_the_cheapest_that_holds_the_band_is_recommended():
    found = points(FOUND)
    assert [v for v, p in found.items() if p.recommended] == ["2m"]
    assert [v for v, p in found.items() if p.holds] == ["auto", "2m", "3m", "4m"]


def test_where_none_holds_it_the_least_cold_is_recommended():
    found = points({"auto": (1, 0.9, 1), "1m": (2, 0.5, 1)}, "ttl=1m")
    assert [v for v, p in found.items() if p.recommended] == ["1m"]


def test_the_present_value_is_not_simulated_twice():
    assert list(points(FOUND, "ttl=1m,auto")) == ["1m", "auto"]
