"""Windows of a schedule: ready at their begin, kept to their end, whatever the clock does."""

from datetime import datetime

import pytest

from pilotlight.fleet.states import State
from pilotlight.policy import scaling
from pilotlight.spec.scaling import Window
from unit.policy.play import Play, asleep, model, sleepy

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
OFFICE = Window(cron="0 8 * * 1-5", until="0 18 * * 1-5")


def utc(text: str) -> float:
    return datetime.fromisoformat(text + "+00:00").timestamp()


def at(text: str, *deployments, **host) -> Play:
    """A fleet that is declared when the wall clock says so, in UTC."""
    p = Play(**host)
    p.set_clock(utc(text))
    p.first = p.configure(*deployments)
    return p


def until(p: Play, text: str) -> list[str]:
    return p.wait(utc(text) - p.unix - p.now)


def office(**fields) -> object:
    return model(**{"schedule": (OFFICE,), "start_seconds": 40.0, "ttl": 300.0, **fields})


def test_a_replica_is_ready_when_the_window_begins():
    p = at("2026-03-02T07:00", office())  # a Monday
    assert p.first == []
    assert until(p, "2026-03-02T07:59:19") == []
    assert until(p, "2026-03-02T07:59:20") == ["start m-1"], "a start takes 40 s"
    p.wait(40), p.ready("m-1")
    assert p.ask("r1") == ["r1 -> m-1"]


def test_it_stays_to_the_end_of_the_window_and_goes_by_its_keep_alive_after():
    p = at("2026-03-02T08:00", office())
    assert p.first == ["start m-1"], "declared within it"
    p.ready("m-1")
    assert until(p, "2026-03-02T17:58") == []
    p.ask("r1"), p.done("r1")
    assert until(p, "2026-03-02T18:02:59") == []
    assert until(p, "2026-03-02T18:03") == ["stop m-1"], "five minutes after its last request"


def test_what_nobody_used_all_day_goes_with_the_window():
    p = at("2026-03-02T08:00", office())
    p.ready("m-1")
    assert until(p, "2026-03-02T18:00:01") == ["stop m-1"]


def test_weekends_are_left_out_and_monday_comes():
    p = at("2026-03-06T18:30", office())  # a Friday
    assert p.first == []
    assert until(p, "2026-03-09T07:59:00") == []
    assert until(p, "2026-03-09T07:59:21") == ["start m-1"]


def test_it_looks_again_only_when_something_changes():
    p = at("2026-03-06T18:30", office())
    ticks = 0
    end = p.now + 7 * DAY
    while p.wake_at <= end:
        p.wait(p.wake_at - p.now)
        ticks += 1
        if p.states():
            replica = next(iter(p.states()))
            if p.state(replica) == "starting":
                p.ready(replica)
            elif p.state(replica) == "stopping":
                p.gone(replica)
    assert 10 <= ticks <= 40, "two changes on each of five days, the looks at its start and its keep-alive"


def test_the_time_of_a_start_is_learned():
    p = at("2026-03-02T07:00", office(start_seconds=None, ttl=0.0))
    until(p, "2026-03-02T07:59:50"), p.wait(90), p.ready("m-1")  # 10 s were taken for granted, 90 s it took
    until(p, "2026-03-02T18:00:01"), p.gone("m-1")
    assert until(p, "2026-03-03T07:58:29") == []
    assert until(p, "2026-03-03T07:58:31") == ["start m-2"]


def test_of_two_windows_the_larger_number_counts_and_max_replicas_bounds_it():
    more = Window(cron="0 9 * * *", lasts=HOUR, min_replicas=3)
    p = at("2026-03-02T08:30", office(schedule=(OFFICE, more), max_replicas=2))
    assert p.first == ["start m-1"]
    p.ready("m-1")
    assert until(p, "2026-03-02T09:00") == ["start m-2"]
    p.ready("m-2")
    assert until(p, "2026-03-02T10:00") == ["stop m-2"] or p.states() == {"m-1": "stopping", "m-2": "ready"}


def test_in_the_window_it_is_not_evicted_and_outside_it_is():
    p = at("2026-03-02T17:00", office(memory=6), model("other", memory=6), memory=8)
    p.ready("m-1"), p.wait(100)
    assert p.ask("r1", "other") == ["hold r1", "refuse r1 503 model_does_not_fit"]
    until(p, "2026-03-02T17:59"), p.ask("r2"), p.done("r2")
    until(p, "2026-03-02T18:00:01")
    assert p.ask("r3", "other") == ["hold r3", "stop m-1"], (
        "its keep-alive would have it for four minutes more"
    )


def test_a_clock_that_is_set_changes_what_is_in_force():
    p = at("2026-03-02T12:00", office(ttl=0.0))
    p.ready("m-1")
    assert p.set_clock(utc("2026-03-02T20:00")) == ["stop m-1"], "it is evening in truth"
    p.gone("m-1")
    assert p.set_clock(utc("2026-03-02T11:00")) == ["start m-2"], "and noon again"
    p.ready("m-2")
    assert until(p, "2026-03-02T17:59:59") == []
    assert until(p, "2026-03-02T18:00:01") == ["stop m-2"]


@pytest.mark.parametrize(
    ("day", "begin"), [("2026-03-28", "07:00"), ("2026-03-29", "06:00"), ("2026-10-25", "07:00")]
)
def test_daylight_saving_moves_the_window_with_the_local_time(day: str, begin: str):
    local = Window(cron="0 8 * * *", until="0 18 * * *", timezone="Europe/Berlin")
    p = at(f"{day}T05:00", office(schedule=(local,)))
    assert p.first == []
    p.wait(utc(f"{day}T{begin}") - p.unix - p.now - 41)
    assert p.states() == {}
    assert p.wait(2) == ["start m-1"]


def test_a_leap_day_comes():
    p = at("2028-02-28T12:00", office(schedule=(Window(cron="0 0 29 2 *", lasts=DAY),)))
    assert until(p, "2028-02-28T23:59:19") == []
    assert until(p, "2028-02-28T23:59:21") == ["start m-1"]


def test_a_sleeper_is_woken_for_it_and_one_that_was_put_aside_is_not():
    p = Play(sleepy(schedule=(OFFICE,)))
    p.set_clock(utc("2026-03-02T06:00"))
    p.configure(sleepy(schedule=(OFFICE,), sleep_after=10.0))
    replica = p.up()
    assert p.wait(10) == [f"sleep {replica}"]
    p.slept(replica, 0.1)
    assert until(p, "2026-03-02T08:00") == [f"wake {replica}"]
    q = Play(sleepy(schedule=(OFFICE,)))
    q.set_clock(utc("2026-03-02T06:00"))
    asleep(q)
    assert until(q, "2026-03-02T09:00") == []


def test_a_schedule_that_is_taken_away_keeps_nothing():
    p = at("2026-03-02T12:00", office(ttl=0.0))
    p.ready("m-1")
    assert p.configure(model(ttl=0.0)) == ["stop m-1"]
    assert p.fleet.deployments["m"].ahead is None


def test_it_is_explained():
    p = at("2026-03-02T07:59:20", office())
    d = p.fleet.deployments["m"]
    (ask,) = scaling.asks(p.fleet, d, p.now)
    assert (ask.policy, ask.replicas) == ("schedule", 1)
    assert ask.because == "a window begins in 40 s, and a start takes 40 s"
    p.wait(40)
    (ask,) = scaling.asks(p.fleet, d, p.now)
    assert ask.because == "a window that goes on for 10h"
    assert ask.until == pytest.approx(p.now + 10 * HOUR)
    assert [r.state for r in d.replicas.values()] == [State.STARTING]


def test_scheduled_replicas_are_not_billed_as_rented():
    p = at("2026-03-02T12:00", office())
    assert p.fleet.deployments["m"].floor == 1 and p.fleet.deployments["m"].rented == 0
