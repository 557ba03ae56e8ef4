"""A small replica stays while traffic is low, and takes the first requests of the next burst."""

from typing import Any

import pytest

from pilotlight.fleet.deployment import Deployment, Need, Warmer
from pilotlight.policy.warming import AGAIN
from unit.policy.play import GIB, Play, model

HOUR = 3600.0


def warm(name: str = "m", small: float = 1, mark: str = "small", **fields: Any) -> Deployment:
    """A deployment of 4 GiB, kept for a minute, with a warmer of one slot that takes `small` GiB."""
    below, slots = fields.pop("below", None), fields.pop("small_slots", 1)
    estimated = fields.pop("small_estimated", False)
    warmer = Warmer(mark, Need(int(small * GIB), estimated=estimated), slots, below)
    fields = {"memory": 4, "ttl": 60, "fingerprint": "full", **fields}
    return model(name, warmer=warmer, **fields)


def resting(*others: Deployment, memory: float = 64, **fields: Any) -> Play:
    """m-2, the warmer, is all that is up of m."""
    p = Play(warm(**fields), *others, memory=memory)
    p.up()
    assert p.wait(60) == ["start small m-2"]
    assert p.ready("m-2") == ["stop m-1"]
    p.gone("m-1")
    return p


# -- it takes the last one's place -----------------------------------------------------------------------------------


def test_when_the_last_ones_keep_alive_is_over_without_a_gap():
    p = Play(warm())
    p.up()
    assert p.wait(59) == []
    assert p.wait(1) == ["start small m-2"]
    p.wait(5)
    assert p.states() == {"m-1": "ready", "m-2": "starting"}
    assert p.ready("m-2") == ["stop m-1"]
    p.gone("m-1")
    assert p.wait(1000 * HOUR) == [], "it stays"


def test_only_the_last_one_leaves_something_behind():
    p = Play(warm(target_requests=1, max_replicas=2))
    p.ask_all("r1", "r2"), p.ready("m-1"), p.ready("m-2"), p.done("r1"), p.done("r2")
    assert p.wait(60) == ["stop m-2", "start small m-3"]


def test_when_requests_have_become_rare_though_its_keep_alive_is_not_over():
    p = Play(warm(below=10 / HOUR, ttl=float("inf")))
    p.up()
    for n in range(9):  # ten requests make 27.7 an hour, and 27.7 x 2^(-t / 15 min) is 10 after 1323 s
        p.ask(f"r{n}"), p.done(f"r{n}")
    assert p.wait(1320) == []
    assert p.wait(5) == ["start small m-2"]


def test_a_single_request_has_it_idle_for_as_long_as_its_start_took():
    p = Play(warm(below=10 / HOUR))
    p.ask("r1"), p.wait(20), p.ready("m-1"), p.done("r1")
    assert p.wait(19) == []
    assert p.wait(1) == ["start small m-2"]


def test_who_said_how_long_it_shall_stay_is_obeyed():
    p = Play(warm(below=10 / HOUR))
    p.up(), p.ask("r1", keep_alive=500.0), p.done("r1")
    assert p.wait(499) == []
    assert p.wait(1) == ["start small m-2"]


def test_one_that_sleeps_gives_way_too():
    p = Play(warm(techniques=("sleep",), sleep_after=10))
    p.up()
    assert p.wait(10) == ["sleep m-1"]
    p.slept("m-1", 0.1)
    assert p.wait(50) == ["start small m-2"]
    assert p.ready("m-2") == ["stop m-1"]


def test_not_where_traffic_came_back_meanwhile():
    p = Play(warm())
    p.up(), p.wait(60)
    assert p.ask("r1") == ["r1 -> m-1"]
    assert p.ready("m-2") == ["stop m-2"]
    p.gone("m-2"), p.done("r1")
    assert p.wait(60) == ["start small m-3"]


def test_not_where_one_is_kept_in_any_case():
    p = Play(warm(min_replicas=1))
    p.ready("m-1")
    assert p.wait(100 * HOUR) == []


def test_without_room_for_both_the_full_one_stays_and_it_is_said_once():
    p = Play(warm(small=2), memory=5)
    p.up()
    assert p.wait(HOUR) == []
    assert p.states() == {"m-1": "ready"}
    assert p.notes == ["there is no room for a warmer beside m-1, which stays in its place"]
    p.configure(warm(small=2), memory=6)
    assert p.wait(AGAIN) == [] and p.states() == {"m-1": "ready", "m-2": "starting"}


def test_nobody_makes_room_for_a_warmer():
    p = Play(warm(), model("b", memory=4), memory=8)
    p.up("b"), p.up()
    assert p.wait(HOUR) == []
    assert (p.state("b-1"), p.state("m-1")) == ("ready", "ready")


def test_one_that_fails_leaves_the_full_one_in_place_and_is_tried_again():
    p = Play(warm())
    p.up(), p.wait(60)
    assert p.fail("m-2") == []
    assert p.wait(0.9) == [] and p.wait(0.1) == ["start small m-3"]
    p.fail("m-3")
    assert p.wait(1.9) == [] and p.wait(0.1) == ["start small m-4"]
    assert p.ask("r1") == ["r1 -> m-1"]


def test_one_that_does_not_get_ready_in_time_is_stopped():
    p = Play(warm(startup_timeout=30))
    p.up(), p.wait(60)
    assert p.wait(30) == ["stop m-2"]
    assert p.state("m-1") == "ready"


# -- a burst ---------------------------------------------------------------------------------------------------------


def test_it_takes_the_first_request_at_once_while_a_full_one_starts_and_then_replaces_it():
    p = resting()
    assert p.ask("r1") == ["r1 -> m-2", "start m-3"]
    assert p.ask("r2") == ["hold r2"], "it has one slot"
    assert p.ready("m-3") == ["r2 -> m-3"]
    assert p.states() == {"m-3": "ready", "m-2": "draining"}
    assert p.ask("r3") == ["r3 -> m-3"]
    assert p.done("r1") == ["stop m-2"]


def test_its_slot_takes_the_next_one_while_the_full_one_starts():
    p = resting()
    p.ask_all("r1", "r2")
    assert p.done("r1") == ["r2 -> m-2"]


def test_idle_it_goes_as_soon_as_the_full_one_is_up():
    p = resting()
    p.ask("r1"), p.done("r1")
    assert p.ready("m-3") == ["stop m-2"]
    assert p.wait(60) == ["start small m-4"], "and another comes when traffic is low again"


def test_it_counts_in_no_number_of_replicas():
    p = resting(max_replicas=2, target_requests=1, small_slots=None)
    assert p.ask_all("r1", "r2", "r3") == ["r1 -> m-2", "start m-3", "r2 -> m-2", "start m-4", "r3 -> m-2"]


def test_where_how_long_replicas_stay_is_learned():
    p = Play(warm(ttl_is_auto=True))
    p.up()
    words = next(words for _ in range(1000) if (words := p.wait(300)))
    assert words == ["start small m-2"]
    p.ready("m-2"), p.gone("m-1")
    assert p.ask("r1") == ["r1 -> m-2", "start m-3"]


def test_a_full_one_that_fails_refuses_nobody_while_it_is_up():
    p = resting()
    p.ask_all("r1", "r2")
    assert p.fail("m-3") == []
    assert p.held() == ["r2"]
    assert p.done("r1") == ["r2 -> m-2"]
    assert p.wait(1) == ["start m-4"]


def test_a_full_one_without_room_beside_it_takes_its_room_once_requests_wait():
    p = resting(small=2, memory=6)
    p.configure(warm(small=2), memory=5)
    assert p.ask("r1") == ["r1 -> m-2"]
    p.wait(100)
    assert p.states() == {"m-2": "ready"}, "nobody waits"
    p.ask("r2"), p.wait(100)
    assert p.states() == {"m-2": "draining"}
    assert p.done("r1") == ["stop m-2"]
    assert p.gone("m-2") == ["start m-3"]
    assert p.ready("m-3") == ["r2 -> m-3"]


def test_a_full_one_that_never_fits_refuses_nobody_while_it_is_up():
    p = resting(memory=6)
    p.configure(warm(), memory=3)
    assert p.ask_all("r1", "r2") == ["r1 -> m-2", "hold r2"]
    assert p.done("r1") == ["r2 -> m-2"]


def test_a_request_that_could_not_reach_it_waits_for_the_full_one():
    p = resting()
    p.ask("r1")
    assert p.bounce("r1") == ["hold r1", "probe m-2"]
    assert p.ready("m-3") == ["r1 -> m-3", "stop m-2"]


def test_an_operator_who_wants_one_warm_gets_a_full_one():
    p = resting()
    assert p.warm() == ["start m-3"]
    assert p.ready("m-3") == ["stop m-2"]


# -- it goes ---------------------------------------------------------------------------------------------------------


def slowly_up(p: Play, name: str, replica: str, requests: int) -> None:
    """Up after 10 s, and asked so often."""
    p.warm(name), p.wait(10), p.ready(replica)
    for n in range(requests):
        p.ask(f"{name}{n}", name), p.done(f"{name}{n}")


def test_it_makes_room_before_one_that_is_asked_for_less():
    others = model("b", memory=1), model("c", memory=1)
    p = Play(warm(), *others, memory=6)
    slowly_up(p, "b", "b-1", requests=1)
    slowly_up(p, "m", "m-1", requests=9)
    assert p.wait(60) == ["start small m-2"]
    p.ready("m-2"), p.gone("m-1")
    p.configure(warm(), *others, memory=2)
    assert p.ask("x", "c") == ["hold x", "stop m-2"]


def test_evicted_it_comes_back_only_by_traffic():
    p = resting(model("b", memory=4), memory=5)
    p.configure(warm(), model("b", memory=4), memory=4)
    assert p.ask("x", "b") == ["hold x", "stop m-2"]
    assert p.gone("m-2") == ["start b-1"]
    p.ready("b-1"), p.done("x"), p.stop("b"), p.gone("b-1")
    assert p.wait(HOUR) == []
    assert p.ask("r1") == ["hold r1", "start m-3"]


def test_a_full_one_that_stays_in_its_place_goes_first():
    p = Play(warm(small=4), model("b", memory=4), model("c", memory=4), memory=8)
    slowly_up(p, "b", "b-1", requests=1)
    slowly_up(p, "m", "m-1", requests=9)
    p.wait(100)
    assert p.ask("x", "c") == ["hold x", "stop m-1"], "though it was asked for more, and later"


def test_a_pinned_one_is_not_evicted():
    p = resting(model("b", memory=4), memory=5, pinned=True)
    p.configure(warm(pinned=True), model("b", memory=4), memory=4)
    assert p.ask("x", "b") == ["hold x", "refuse x 503 model_does_not_fit"]


def test_it_can_sleep_to_make_room_and_wakes_for_the_next_request():
    p = resting(model("b", memory=4), memory=9, techniques=("sleep",), small=4, mark="other")
    p.configure(
        warm(techniques=("sleep",), small=4, mark="other"), model("b", memory=4), model("c"), memory=6
    )
    assert p.ask("x", "b") == ["hold x", "sleep m-2"]
    assert p.slept("m-2", 0.5) == ["start b-1"]
    p.ready("b-1"), p.done("x")
    assert p.wait(HOUR) == []
    p.stop("b"), p.gone("b-1")
    p.configure(warm(techniques=("sleep",), small=4, mark="other"), memory=9)
    assert p.ask("r1") == ["hold r1", "start m-3", "wake m-2"]
    assert p.ready("m-2") == ["r1 -> m-2"]
    p.done("r1")
    assert p.ready("m-3") == ["stop m-2"]


def test_an_operator_puts_it_to_sleep():
    p = resting(techniques=("sleep",))
    assert p.sleep() == ["sleep m-2"]
    p.slept("m-2", 0.1)
    assert p.wait(HOUR) == []


def test_an_operator_stops_it_and_it_stays_away():
    p = resting()
    assert p.stop() == ["stop m-2"]
    p.gone("m-2")
    assert p.wait(HOUR) == []
    assert p.ask("r1") == ["hold r1", "start m-3"]


def test_one_that_crashes_comes_back():
    p = resting()
    p.crash("m-2")
    assert p.die("m-2") == [] and p.wait(1) == ["start small m-3"]
    p.ready("m-3"), p.ask("r1"), p.done("r1")
    p.fail("m-4")
    assert p.crash("m-3") == ["start small m-5"], "one that has served is made good at once"


def test_it_leaves_with_the_server():
    p = resting()
    assert p.shut_down() == ["stop m-2"]


# -- a reload --------------------------------------------------------------------------------------------------------


def test_a_reload_of_the_warmer_replaces_it_alone():
    p = resting()
    assert p.configure(warm(mark="smaller")) == ["start small m-3"]
    assert p.ask("r1") == ["r1 -> m-2", "start m-4"], "it serves until the new one is ready"
    p.done("r1")
    assert p.ready("m-3") == ["stop m-2"]


def test_a_reload_of_the_warmer_leaves_a_full_one_alone():
    p = Play(warm())
    p.up()
    assert p.configure(warm(mark="smaller")) == []


def test_a_reload_of_the_full_one_leaves_the_warmer_alone():
    p = resting()
    assert p.configure(warm(fingerprint="fuller")) == []
    assert p.ask("r1") == ["r1 -> m-2", "start m-3"]


@pytest.mark.parametrize("to", ["none", "full", "removed"])
def test_a_reload_without_it_has_it_go(to: str):
    p = resting()
    new = {"none": [model(memory=4, ttl=60, fingerprint="full")], "full": [warm(mark="full")], "removed": []}
    assert p.configure(*new[to]) == ["stop m-2"]
    assert p.gone("m-2") == [] and p.wait(HOUR) == []


def test_a_reload_that_brings_one_lets_the_idle_full_one_go():
    p = Play(model(memory=4, ttl=60, fingerprint="full"))
    p.up(), p.wait(30)
    p.configure(warm())
    assert p.wait(30) == ["start small m-2"]


# -- one that is no smaller ------------------------------------------------------------------------------------------


def test_an_engine_that_cannot_shrink_keeps_one_full_replica():
    p = Play(warm(mark="full", target_requests=1, max_replicas=2))
    p.ask_all("r1", "r2"), p.ready("m-1"), p.ready("m-2"), p.done("r1"), p.done("r2")
    assert p.wait(60) == ["stop m-2"]
    p.gone("m-2")
    assert p.wait(100 * HOUR) == []


def test_and_that_one_is_evicted_first():
    p = Play(warm(mark="full"), model("b", memory=4), model("c", memory=4), memory=8)
    slowly_up(p, "b", "b-1", requests=1)
    slowly_up(p, "m", "m-1", requests=9)
    p.wait(60)
    assert p.ask("x", "c") == ["hold x", "stop m-1"]
    p.gone("m-1")
    assert p.ask("r1") == ["hold r1", "stop b-1"], "it comes back by traffic"


# -- memory ----------------------------------------------------------------------------------------------------------


def test_what_it_is_measured_to_take_says_nothing_of_a_full_one():
    p = resting(estimated=True, small_estimated=True)
    p.ask("r1"), p.done("r1"), p.fail("m-3")
    p.measure("m-2", 0.5)
    assert p.taken() == 0.5
    p.wait(1), p.ask("r2"), p.done("r2")
    assert p.taken() == 4.5, "a full one starts beside it"
    p.ready("m-4"), p.gone("m-2"), p.wait(60)
    assert p.taken() == 4.5, "and the next one is taken to need what was measured"


def test_what_its_weights_say_it_needs_is_its_own():
    p = resting()
    p.size("m", 2, small=True)
    p.ask("r1")
    assert p.taken() == 5, "what is up keeps what it has"
    p.ready("m-3"), p.done("r1"), p.gone("m-2"), p.wait(60)
    assert p.taken() == 6


def test_one_whose_weights_turn_out_never_to_fit_is_given_up():
    p = Play(warm(), memory=8)
    p.up(), p.wait(60)
    assert p.size("m", 40, small=True) == ["stop m-2"]
    p.gone("m-2")
    assert p.ask("r1") == ["r1 -> m-1"]
