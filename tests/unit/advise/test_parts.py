import numpy as np
import pytest

from pilotlight.advise.draft import duration, percent
from pilotlight.advise.fitting import busiest, fitted, lengthened, stretched
from pilotlight.advise.playing import Job, player, portable
from pilotlight.advise.pools import sizes
from pilotlight.advise.refining import between
from pilotlight.advise.shape import shape
from pilotlight.sim.defaults import default_config
from pilotlight.sim.starts import StartTimes, empirical
from pilotlight.sim.trace import Trace
from pilotlight.spec.load import parse
from unit.advise.kit import DAY, HOUR, traffic


def test_the_search_goes_on_between_what_holds_and_what_does_not() -> None:
    assert between([(60, False), (600, True)], 5, 86400) == pytest.approx(189.7, abs=0.1)
    assert between([(100, False), (110, True)], 5, 86400) is None
    assert between([(60, False), (600, False)], 5, 86400) == 3600
    assert between([(60, True)], 5, 86400) == 15
    assert between([(86400, False)], 5, 86400) is None


def test_pools_are_tried_from_what_is_needed_down_to_one() -> None:
    assert list(sizes(9)) == [9, 6, 4, 2, 1] and list(sizes(1)) == [1]


def test_durations_and_shares_are_written_as_configs_have_them() -> None:
    written = [duration(x) for x in (0.05, 0, 1.5, 90, 600, 3600, 86400, float("inf"))]
    assert written == ["50ms", "0s", "1.5s", "90s", "10m", "1h", "1d", -1]
    assert percent(0.025) == "2.5%"


def test_names_that_no_config_can_have_are_given_others_and_aliases_are_one() -> None:
    config = parse('models: {a: {source: "demo://50m", aliases: [b]}}', "x", {}, simulated=True)
    t = Trace(
        "t", ["a", "b", "so so!"], np.arange(3.0), np.arange(3, dtype=np.int32), *(np.ones((2, 3), np.int32))
    )
    found = fitted(t, config)
    assert found.models == ("a", "so-so") and found.model.tolist() == [0, 0, 1]
    assert any("names" in note for note in found.notes)


def test_parts_of_a_trace() -> None:
    t = traffic([0, 100, 200, 1000, 1001, 1002, 5000])
    assert stretched(t, 2.0, 3).t.tolist() == [0, 200, 400]
    assert busiest(t, 3).t.tolist() == [0, 1, 2]
    assert lengthened(t, 3.0, 0.03).output_tokens.tolist() == [220] * 7


def test_a_shape_has_a_word() -> None:
    def word(t: object, **more: int) -> str:
        trace = traffic(t, **more)
        return shape(trace, np.ones(len(trace)), 8).word

    even = np.arange(0, DAY, 20)
    assert word(even) == "steady"
    assert word(np.arange(0, DAY, 3000)) == "sparse"
    assert word(np.concatenate([even, 40000 + np.arange(600) / 10])) == "spiky"
    swing = np.concatenate(
        [h * HOUR + np.arange(n) * HOUR / n for h in range(24) for n in [10 + 20 * min(h, 24 - h)]]
    )
    assert word(swing) == "uneven"
    assert word(np.concatenate([even[:2000], np.arange(50000, 60000, 4.0)])) == "uneven"


def test_hours_of_the_day_are_by_the_clock() -> None:
    trace = traffic(
        np.concatenate([DAY * d + 9 * HOUR + np.arange(0, HOUR, 60) for d in range(3)] + [[0.0, 3 * DAY]])
    )
    found = shape(trace, np.ones(len(trace)), 8).by_hour
    assert found[9] == pytest.approx(60) and sum(found) == pytest.approx(61, abs=1)


def test_start_times_can_be_handed_over_and_made_longer() -> None:
    learned = StartTimes(learned={"a": 10.0}.get, source="learned")
    found = portable(learned, ["a", "b"], 2.0)
    assert found.mean("a") == 20.0 and found.source == "learned"
    assert portable(StartTimes(), ["a"], 0.5).mean("a") == 20.0
    assert portable(empirical([1.0, 3.0], "f"), [], 2.0).mean("a") == 4.0


def test_processes_play_what_one_plays(monkeypatch: pytest.MonkeyPatch) -> None:
    traces = {"": traffic(np.arange(0, DAY, 60))}
    jobs = [Job(f"j{i}", default_config(), portable(StartTimes(), ["m0"], 1.0 + i)) for i in range(3)]
    with player(traces, 0) as play:
        alone = play(jobs)
    monkeypatch.setattr("pilotlight.advise.playing.WORTH_IT", 10)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    told: list[tuple[int, int]] = []
    with player(traces, 0, lambda done, of, _: told.append((done, of))) as play:
        together = play(jobs)
    assert [(r.config, r.cost_usd, r.cold_rate) for r in together] == [
        (r.config, r.cost_usd, r.cold_rate) for r in alone
    ]
    assert told[-1] == (3, 3)
