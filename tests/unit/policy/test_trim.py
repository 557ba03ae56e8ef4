"""Letting go of zygotes and primed processes when a model needs their memory."""

from pilotlight.policy.room import TRIM_AGAIN
from unit.policy.play import Play, model


def test_they_are_let_go_of_when_a_model_fits_only_without_them():
    p = Play(model(memory=8), memory=10)
    p.overhead(3)
    assert p.ask("r1") == ["hold r1", "trim local"]
    assert p.ask("r2") == ["hold r2"] and p.wait(60) == [], "once is enough"
    assert p.overhead(1) == ["start m-1"]


def test_and_not_before_idle_models_have_gone():
    p = Play(model("a", memory=6), model(memory=6), memory=10)
    p.overhead(3), p.up("a"), p.wait(5)
    assert p.ask("r1") == ["hold r1", "stop a-1"]
    assert p.gone("a-1") == ["start m-1"]


def test_they_count_against_the_budget_and_stop_nobody():
    p = Play(model("a", memory=6), model(memory=2), memory=10)
    p.up("a"), p.ask("busy", "a")
    assert p.overhead(5) == []
    assert p.ask("r1") == ["hold r1", "trim local"]
    assert p.overhead(2) == ["start m-1"]


# -- before a model goes ---------------------------------------------------------------------------------------------


def warm(memory: float = 100) -> Play:
    """`a` is warm and idle and may go, and beside the zygotes there is no room for `b`."""
    p = Play(model("a", memory=60, start_seconds=30.0), model("b", memory=35), memory=memory)
    p.up("a"), p.wait(40), p.overhead(12)
    return p


def test_no_warm_model_goes_for_their_sake():
    p = warm()
    assert p.ask("r1", "b") == ["hold r1", "trim local"]
    assert p.wait(1) == [], "they are on their way"
    assert p.overhead(0) == ["start b-1"] and p.state("a-1") == "ready"


def test_it_goes_where_they_stay():
    p = warm()
    p.ask("r1", "b")
    assert p.overhead(12) == ["stop a-1"]
    assert p.gone("a-1") == ["start b-1"]


def test_and_where_nothing_is_heard_of_them():
    p = warm()
    p.ask("r1", "b")
    assert p.wait(TRIM_AGAIN) == ["stop a-1"]


def test_they_stay_where_room_is_on_its_way():
    p = warm()
    p.stop("a")
    assert p.ask("r1", "b") == ["hold r1"]
    assert p.gone("a-1") == ["start b-1"]


def test_two_that_wait_for_them_both_wait():
    p = Play(
        model("a", memory=60, start_seconds=30.0), model("b", memory=20), model("c", memory=19), memory=100
    )
    p.up("a"), p.wait(40), p.overhead(22)
    assert p.ask("r1", "b") == ["hold r1", "trim local"]
    assert p.ask("r2", "c") == ["hold r2"]
    assert p.overhead(0) == ["start b-1", "start c-1"] and p.state("a-1") == "ready"


# -- what they answer ------------------------------------------------------------------------------------------------


def needed() -> Play:
    """They were told to go, for the only model there is."""
    p = Play(model(memory=80), memory=100)
    p.overhead(50)
    assert p.ask("r1") == ["hold r1", "trim local"]
    return p


def test_a_larger_figure_is_an_answer_too_and_they_are_told_again():
    p = needed()
    assert p.overhead(60) == [], "not in the same moment"
    assert p.wait(TRIM_AGAIN) == ["trim local"]
    assert p.overhead(0) == ["start m-1"]


def test_the_same_figure_brings_no_endless_exchange():
    p = needed()
    for _ in range(5):
        assert p.overhead(50) == []
    for _ in range(3):
        assert p.wait(TRIM_AGAIN) == ["trim local"] and p.overhead(50) == []


def test_nor_does_one_that_falls_bit_by_bit():
    p = needed()
    assert p.overhead(40) == [] and p.overhead(30) == []
    assert p.overhead(20) == ["start m-1"]


def test_those_that_came_later_are_let_go_of_at_once():
    p = Play(model("a", memory=80), model("b", memory=90), memory=100)
    p.overhead(50), p.ask("r1", "a"), p.overhead(15)
    p.leave("r1")
    p.overhead(40)
    assert p.ask("r2", "b") == ["hold r2", "trim local"]
