"""What starts teach, and what is answered where there was none."""

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotlight.coldstart import plans
from pilotlight.coldstart.learned import DOWNLOAD, Learned, Row, Who
from pilotlight.coldstart.sleep import WAKE
from pilotlight.coldstart.techniques import rewritten
from pilotlight.fleet.plan import Plan, Span
from pilotlight.fleet.records import StartRecord

PLAIN = plans.embedded()
FORKED = rewritten(PLAIN, ("zygote",))
CHAT = Who("chat", "f1", "llamacpp")
EDITED = Who("chat", "f2", "llamacpp")
OTHER = Who("other", "f1", "llamacpp")
TIMES = {"allocate": 0.01, "fetch": 0.0, "spawn": 0.1, "import": 0.3, "load": 2.0}


def record(plan: Plan = PLAIN, whole: float | None = None, **more: Any) -> StartRecord:
    """A start at 100 s whose steps took TIMES, one after the other."""
    times = more.pop("times", TIMES)
    spans, at = [], 100.0
    for name, seconds in times.items():
        spans.append(Span(name, at, at + seconds))
        at += seconds
    ready = at if whole is None else 100.0 + whole
    fields = {"ready_at": ready, "spans": tuple(spans), "techniques": plan.techniques, **more}
    return StartRecord("chat-1", "chat", 100.0, **fields)


def taught(*wholes: float, who: Who = CHAT, plan: Plan = PLAIN) -> Learned:
    learned = Learned()
    for number, whole in enumerate(wholes):
        assert learned.learn(who, "local", plan, record(plan, whole), float(number))
    return learned


def test_nothing_is_known_before_the_first_start():
    assert Learned().estimate(CHAT, "local", PLAIN) is None
    assert Learned().usual(CHAT, "local") is None


def test_one_start_is_expected_again_with_doubt():
    found = taught(4.0).estimate(CHAT, "local", PLAIN)
    assert found is not None
    assert (found.seconds, found.low, found.high, found.from_n, found.guess) == (4.0, 0.0, 8.0, 1, False)
    assert found.stages["load"].mean == pytest.approx(2.0)


def test_starts_that_take_the_same_leave_little_doubt():
    found = taught(*[4.0] * 20).estimate(CHAT, "local", PLAIN)
    assert found is not None
    assert found.low == pytest.approx(4.0, abs=0.2) and found.high == pytest.approx(4.0, abs=0.2)
    assert found.from_n == 20


def test_it_follows_what_starts_take_now():
    found = taught(*[1.0] * 10, *[5.0] * 5).estimate(CHAT, "local", PLAIN)
    assert found is not None and 4.0 < found.seconds < 5.0


def test_the_first_starts_count_alike():
    found = taught(1.0, 3.0).estimate(CHAT, "local", PLAIN)
    assert found is not None and found.seconds == pytest.approx(2.0)


@pytest.mark.parametrize(
    "bad",
    [
        {"ready_at": None},
        {"reason": "the engine exited"},
        {"ready_at": math.nan},
        {"ready_at": 99.0},
        {"ready_at": 1e9},
    ],
)
def test_a_start_that_failed_teaches_nothing(bad: dict[str, Any]):
    learned = Learned()
    assert not learned.learn(CHAT, "local", PLAIN, record(**bad), 0.0)
    assert len(learned) == 0


def test_a_download_is_not_expected_again():
    learned = Learned()
    slow = {**TIMES, "fetch": 60.0}
    learned.learn(CHAT, "local", PLAIN, record(times=slow, whole=62.0), 0.0)
    found = learned.estimate(CHAT, "local", PLAIN)
    assert found is not None
    assert "fetch" not in found.stages
    assert found.seconds == pytest.approx(62.0 - (62.0 - 2.41))


def test_what_an_engine_makes_once_is_not_expected_again():
    learned = Learned()
    start = record(times={**TIMES, "kv_cache": 1.0})
    spans = (*start.spans, Span("fetch", 103.0, 103.6, once=True), Span("compile", 103.6, 163.6, once=True))
    start = msgspec.structs.replace(start, ready_at=start.ready_at + 60.6, spans=spans)
    learned.learn(CHAT, "local", plans.self_fetching(), start, 0.0)
    found = learned.estimate(CHAT, "local", plans.self_fetching())
    assert found is not None and found.seconds == pytest.approx(3.41)
    assert found.stages.keys() == {*TIMES, "kv_cache"} and found.stages["fetch"].mean == 0


def test_a_short_fetch_is_learned_like_any_stage():
    learned = Learned()
    learned.learn(CHAT, "local", PLAIN, record(times={**TIMES, "fetch": DOWNLOAD / 2}), 0.0)
    found = learned.estimate(CHAT, "local", PLAIN)
    assert found is not None and found.stages["fetch"].mean == pytest.approx(DOWNLOAD / 2)


# -- what is near ----------------------------------------------------------------------------------------------------


def test_a_model_that_was_edited_is_guessed_from_what_it_was():
    found = taught(4.0).estimate(EDITED, "local", PLAIN)
    assert found is not None and found.guess
    assert found.seconds == pytest.approx(2.41), "from its steps"


def test_a_technique_that_was_never_used_is_guessed_from_what_others_say_of_its_step():
    learned = taught(2.5)
    assert learned.estimate(CHAT, "local", FORKED) is None
    forked = {"allocate": 0.01, "fetch": 0.0, "fork": 0.02, "load": 0.2}
    learned.learn(OTHER, "local", FORKED, record(FORKED, times=forked), 1.0)
    found = learned.estimate(CHAT, "local", FORKED)
    assert found is not None and found.guess
    assert found.seconds == pytest.approx(0.01 + 0.02 + 2.0), "its own load behind the other's fork"


def test_a_model_that_was_never_started_is_guessed_from_the_engines_others():
    found = taught(4.0).estimate(OTHER, "local", PLAIN)
    assert found is not None and found.guess and found.seconds == 4.0
    assert taught(4.0).estimate(Who("x", "f", "vllm"), "local", PLAIN) is None


def test_techniques_hosts_and_kinds_are_kept_apart():
    learned = taught(4.0)
    assert learned.estimate(CHAT, "far", PLAIN) is None
    assert learned.estimate(CHAT, "local", WAKE, "wake") is None
    wake = record(times={"wake": 0.2}, kind="wake", techniques=("sleep",))
    learned.learn(CHAT, "local", WAKE, wake, 1.0)
    found = learned.estimate(CHAT, "local", WAKE, "wake")
    assert found is not None and found.seconds == pytest.approx(0.2) and not found.guess
    assert learned.usual(CHAT, "local", "wake") == pytest.approx(0.2)
    learned.learn(CHAT, "far", PLAIN, record(PLAIN, 9.0), 2.0)
    assert (learned.usual(CHAT, "local"), learned.usual(CHAT, "far")) == (4.0, 9.0)


def test_usual_is_what_its_latest_kind_of_start_takes():
    learned = taught(4.0)
    learned.learn(CHAT, "local", FORKED, record(FORKED, 1.0), 9.0)
    assert learned.usual(CHAT, "local") == 1.0
    assert learned.usual(EDITED, "local") == 1.0
    assert learned.usual(OTHER, "local") == 1.0


# -- the table -------------------------------------------------------------------------------------------------------


def test_of_too_many_rows_those_seen_least_lately_go():
    learned = Learned(limit=4)
    for number in range(10):
        learned.learn(Who(f"m{number}", "f", "llamacpp"), "local", PLAIN, record(), float(number))
    assert len(learned) == 4
    assert [row.key.who.model for row in learned.rows()] == ["m7", "m8", "m9", ""]
    assert learned.estimate(Who("m9", "f", "llamacpp"), "local", PLAIN) is not None


STARTS = st.lists(
    st.tuples(st.sampled_from([CHAT, EDITED, OTHER]), st.sampled_from([PLAIN, FORKED]), st.floats(0, 1e6)),
    max_size=30,
)


def learn_all(starts: list[tuple[Who, Plan, float]], limit: int = 100) -> Learned:
    learned = Learned(limit=limit)
    for number, (who, plan, whole) in enumerate(starts):
        learned.learn(who, "local", plan, record(plan, whole, times={"load": whole}), float(number))
    return learned


@given(STARTS, st.integers(1, 8))
def test_the_table_comes_back_as_it_was_written(starts, limit: int):
    learned = learn_all(starts, limit)
    rows = msgspec.json.decode(msgspec.json.encode(learned.rows()), type=tuple[Row, ...])
    again = Learned(rows, limit=limit)
    assert len(again) <= limit
    for who in (CHAT, EDITED, OTHER):
        for plan in (PLAIN, FORKED):
            assert again.estimate(who, "local", plan) == learned.estimate(who, "local", plan)
        assert again.usual(who, "local") == learned.usual(who, "local")


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30))
def test_an_estimate_lies_within_what_was_seen(wholes: list[float]):
    found = taught(*wholes).estimate(CHAT, "local", PLAIN)
    assert found is not None
    assert min(wholes) - 1e-6 <= found.seconds <= max(wholes) + 1e-6
    assert 0.0 <= found.low <= found.seconds <= found.high
    assert found.from_n == len(wholes)


@given(STARTS)
def test_whatever_is_answered_is_a_time(starts):
    learned = learn_all(starts)
    for who in (CHAT, EDITED, OTHER):
        for plan in (PLAIN, FORKED):
            found = learned.estimate(who, "local", plan)
            if found is not None:
                assert 0.0 <= found.low <= found.seconds <= found.high < math.inf


def test_a_start_that_streamed_teaches_the_one_that_will_not():
    """Its weights are here from then on: neither their fetch nor the technique is there another time."""
    plan = rewritten(PLAIN, ("zygote", "stream"))
    learned = Learned()
    spans = (
        Span("allocate", 100.0, 100.0), Span("fork", 100.0, 100.1), Span("fetch", 100.0, 107.0),
        Span("header", 100.0, 101.0), Span("load", 101.0, 103.0), Span("whole", 107.0, 107.0),
    )  # fmt: skip
    assert learned.learn(CHAT, "local", plan, record(plan, 7.5, spans=spans), 1.0)
    found = learned.estimate(CHAT, "local", FORKED)
    assert found is not None and not found.guess
    assert found.seconds == pytest.approx(2.6), "without the seconds that the load waited for"
    assert set(found.stages) == {"allocate", "fork", "load"}
    again = learned.estimate(CHAT, "local", plan)
    assert again is not None and again.seconds == found.seconds
