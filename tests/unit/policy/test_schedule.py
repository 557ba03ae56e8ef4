"""Windows and the moments that they mean, around clock changes, leap days and midnight."""

import math
from bisect import bisect_right
from datetime import datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotlight.policy.schedule import LATEST, Spell, Timetable, floor, timetable
from pilotlight.spec.cron import Cron, parse
from pilotlight.spec.scaling import Window

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


def utc(text: str) -> float:
    return datetime.fromisoformat(text + "+00:00").timestamp()


def window(cron: str, until: str | None = None, lasts: float | None = None, **more: object) -> Window:
    return Window(cron=cron, until=until, lasts=lasts, **more)  # type: ignore[arg-type]


def only(*args: object, **more: object) -> Timetable:
    return timetable([window(*args, **more)])  # type: ignore[arg-type]


# -- plain windows ---------------------------------------------------------------------------------------------------


def test_no_windows_want_nothing_ever():
    table = timetable([])
    assert table.at(1e9) is None and table.next_begin(1e9) is None
    assert floor(table, 1e9, 40.0) == (0, math.inf)


def test_a_window_holds_from_its_begin_up_to_its_end():
    office = only("0 8 * * 1-5", "0 18 * * 1-5", min_replicas=2)
    begin, end = utc("2026-11-20 08:00"), utc("2026-11-20 18:00")  # a Friday
    assert office.at(begin - 1e-3) is None
    assert office.at(begin) == office.at(end - 1) == Spell(begin, end, 2)
    assert office.at(end) is None
    assert office.next_begin(begin - 1) == Spell(begin, end, 2)
    monday = utc("2026-11-23 08:00")
    assert office.next_begin(begin) == Spell(monday, monday + 10 * HOUR, 2)


def test_a_window_runs_over_midnight_and_over_the_year():
    night = only("0 22 * * *", "0 6 * * *")
    begin = utc("2026-12-31 22:00")
    assert night.at(utc("2027-01-01 05:59")) == Spell(begin, begin + 8 * HOUR, 1)
    assert night.at(utc("2027-01-01 06:00")) is None


def test_a_window_may_last_longer_than_its_day():
    weekend = only("30 18 * * 5", lasts=2.5 * DAY)
    begin = utc("2026-11-20 18:30")
    assert weekend.at(utc("2026-11-23 06:29")) == Spell(begin, begin + 2.5 * DAY, 1)
    assert weekend.at(utc("2026-11-23 06:30")) is None


@pytest.mark.parametrize("until", ["0 0 * * *", None], ids=["until is cron", "no end at all"])
def test_a_daily_window_that_ends_when_it_begins_is_always_in_force(until: str | None):
    always = only("0 0 * * *", until)
    for hour in range(72):
        spell = always.at(utc("2026-11-20 00:00") + hour * HOUR)
        assert spell is not None and spell.end - spell.begin == DAY


def test_the_largest_of_overlapping_windows_counts():
    table = timetable([window("0 8 * * *", "0 20 * * *"), window("0 12 * * *", lasts=HOUR, min_replicas=4)])
    eight, noon, one, evening = (utc(f"2026-11-20 {hour}:00") for hour in ("08", "12", "13", "20"))
    assert table.at(noon - 1) == Spell(eight, noon, 1)
    assert table.at(noon) == Spell(noon, one, 4)
    assert table.at(one) == Spell(eight, evening, 1)
    assert table.next_begin(eight) == Spell(noon, one, 4)


def test_of_windows_that_begin_together_the_largest_is_next():
    table = timetable([window("0 8 * * *", lasts=HOUR), window("0 8 * * *", lasts=60.0, min_replicas=3)])
    begin = utc("2026-11-20 08:00")
    assert table.next_begin(begin - 1) == Spell(begin, begin + 60, 3)
    assert table.at(begin + 60) == Spell(begin, begin + HOUR, 1)


def test_windows_of_one_text_that_overlap_themselves_go_on():
    table = only("*/10 * * * *", lasts=15 * MINUTE)
    begin = utc("2026-11-20 08:00")
    for minute in range(30):
        assert table.at(begin + minute * MINUTE) is not None


# -- clock changes ---------------------------------------------------------------------------------------------------


def test_a_time_that_the_clock_skips_begins_at_the_first_moment_after():
    change = utc("2026-03-29 01:00")  # 02:00 becomes 03:00
    for cron in ("0 2 * * *", "30 2 * * *", "59 2 * * *"):
        table = only(cron, lasts=HOUR, timezone=BERLIN)
        assert table.at(change - 1) is None
        assert table.at(change) == Spell(change, change + HOUR, 1)
        assert table.next_begin(change - 5 * HOUR) == Spell(change, change + HOUR, 1)


def test_in_new_york_too():
    change = utc("2026-03-08 07:00")
    table = only("30 2 * * *", "0 4 * * *", timezone=NEW_YORK)
    assert table.at(change) == Spell(change, change + HOUR, 1)  # 03:00 to 04:00 by the new clock


def test_a_window_that_the_clock_skips_as_a_whole_is_left_out():
    table = only("0 2 * * *", "0 3 * * *", timezone=BERLIN)
    saturday, monday = utc("2026-03-28 01:00"), utc("2026-03-30 00:00")
    assert table.at(utc("2026-03-29 01:00")) is None
    assert table.next_begin(saturday) == Spell(monday, monday + HOUR, 1)


def test_a_time_that_comes_twice_begins_at_its_first_coming_only():
    first = utc("2026-10-25 00:30")  # 02:30 summer time; again at 01:30
    table = only("30 2 * * *", lasts=10 * MINUTE, timezone=BERLIN)
    assert table.at(first) == Spell(first, first + 600, 1)
    assert table.at(first + HOUR) is None
    assert table.next_begin(first) == Spell(first + 25 * HOUR, first + 25 * HOUR + 600, 1)


def test_in_the_hour_that_comes_again_the_windows_of_its_first_coming_are_seen():
    table = only("45 2 * * *", lasts=2 * HOUR, timezone=BERLIN)
    begin = utc("2026-10-25 00:45")
    assert table.at(utc("2026-10-25 01:10")) == Spell(begin, begin + 2 * HOUR, 1)  # 02:10 again


def test_until_is_local_time_and_a_duration_is_real_time():
    begin, end = utc("2026-10-24 22:00"), utc("2026-10-25 23:00")  # a day of 25 hours
    assert only("0 0 * * *", "0 0 * * *", timezone=BERLIN).at(begin) == Spell(begin, end, 1)
    assert only("0 0 * * 0", lasts=DAY, timezone=BERLIN).at(begin) == Spell(begin, begin + DAY, 1)


def test_the_office_opens_at_eight_by_the_clock_on_the_wall():
    office = only("0 8 * * *", lasts=HOUR, timezone=NEW_YORK)
    winter, summer, again = utc("2026-03-07 13:00"), utc("2026-03-08 12:00"), utc("2026-11-01 13:00")
    assert office.at(winter) is not None and office.at(winter - 1) is None
    assert office.at(summer) is not None and office.at(summer - 1) is None
    assert office.at(again) is not None and office.at(again - 1) is None


def test_a_whole_day_that_a_place_skipped_begins_with_the_next():
    """Samoa had no 30 December 2011."""
    table = only("0 9 * * *", lasts=MINUTE, timezone="Pacific/Apia")
    midnight = utc("2011-12-30 10:00")  # 31 December there
    assert table.at(midnight) == Spell(midnight, midnight + MINUTE, 1)


# -- leap days and the calendar --------------------------------------------------------------------------------------


def test_the_leap_day_is_found_years_ahead_and_back():
    table = only("0 0 29 2 *", lasts=DAY)
    day = utc("2028-02-29 00:00")
    assert table.next_begin(utc("2024-03-01 00:00")) == Spell(day, day + DAY, 1)
    assert table.at(day + HOUR) == Spell(day, day + DAY, 1)
    assert table.at(day + DAY) is None


def test_the_leap_day_is_found_over_the_year_that_has_none():
    assert only("0 0 29 2 *", lasts=DAY).next_begin(utc("2096-03-01 00:00")) == Spell(
        utc("2104-02-29 00:00"), utc("2104-03-01 00:00"), 1
    )


def test_a_season_lasts_months():
    table = only("0 0 1 11 *", "0 0 1 3 *")
    begin, end = utc("2027-11-01 00:00"), utc("2028-03-01 00:00")
    assert table.at(utc("2028-02-29 23:59")) == Spell(begin, end, 1)


@pytest.mark.parametrize("cron", ["0 0 13 * 5", "0 0 13,20 * 5"])
def test_a_day_of_the_month_or_of_the_week_is_enough_when_both_are_given(cron: str):
    assert only(cron, lasts=DAY).at(utc("2026-10-13 12:00")) is not None  # a Tuesday
    assert only(cron, lasts=DAY).at(utc("2026-10-16 12:00")) is not None  # a Friday


def test_both_must_fit_when_one_begins_with_a_star():
    table = only("0 0 */2 * 5", lasts=DAY)
    assert table.at(utc("2026-10-16 12:00")) is None  # a Friday, the 16th
    assert table.at(utc("2026-10-23 12:00")) is not None


# -- what is wanted now ----------------------------------------------------------------------------------------------


def test_replicas_are_wanted_as_early_as_a_start_takes():
    table = only("0 8 * * *", "0 18 * * *", min_replicas=2)
    begin, end = utc("2026-11-20 08:00"), utc("2026-11-20 18:00")
    assert floor(table, begin - 41, 40.0) == (0, begin - 40)
    assert floor(table, begin - 40, 40.0) == (2, end)
    assert floor(table, begin, 40.0) == (2, end)
    assert floor(table, end, 40.0) == (0, begin + DAY - 40)


def test_a_lead_as_long_as_the_pause_never_lets_go():
    table = only("0 * * * *", lasts=30 * MINUTE)
    at = utc("2026-11-20 08:00")
    for minute in range(180):
        replicas, change = floor(table, at + minute * MINUTE, 30 * MINUTE)
        assert replicas == 1 and change > at + minute * MINUTE


def test_a_larger_window_ahead_changes_the_answer_before_the_smaller_ends():
    table = timetable([window("0 8 * * *", "0 20 * * *"), window("0 12 * * *", lasts=HOUR, min_replicas=4)])
    noon = utc("2026-11-20 12:00")
    assert floor(table, noon - HOUR, 5.0) == (1, noon - 5)
    assert floor(table, noon - 5, 5.0) == (4, noon + HOUR)


@given(st.floats(0.1, 500.0), st.floats(1e9, 3e9))
def test_the_moment_that_was_named_has_the_new_answer(lead: float, unix: float):
    table = only("*/10 * * * *", lasts=MINUTE)
    replicas, change = floor(table, unix, lead)
    assert change > unix
    again, later = floor(table, change, lead)
    assert again != replicas and later > change


def test_a_lead_that_is_no_number_is_none_and_a_long_one_is_cut():
    table = only("0 8 1 1 *", lasts=HOUR)
    at = utc("2026-11-20 08:00")
    assert floor(table, at, math.nan) == floor(table, at, -5.0) == (0, utc("2027-01-01 08:00"))
    assert floor(table, at, math.inf)[0] == 0


@pytest.mark.parametrize("unix", [-2.0, -math.inf, math.inf, math.nan, LATEST, 1e300])
def test_a_moment_out_of_all_calendars_has_no_windows(unix: float):
    table = only("* * * * *", lasts=HOUR)
    assert table.at(unix) is None and table.next_begin(unix) is None
    assert floor(table, unix, 1.0) == (0, math.inf)


@pytest.mark.parametrize("unix", [0.0, 1.0, LATEST - 1])
def test_the_ends_of_the_calendar_are_no_trap(unix: float):
    for zone in (NEW_YORK, "Pacific/Apia", "UTC"):
        for table in (only("* * * * *", lasts=HOUR, timezone=zone), only("0 0 29 2 *", timezone=zone)):
            assert table.at(unix) is not None
            table.next_begin(unix)


def test_an_unknown_zone_and_a_text_that_is_no_time_are_refused():
    with pytest.raises(ZoneInfoNotFoundError):
        only("0 8 * * *", lasts=HOUR, timezone="Europe/Nowhere")
    with pytest.raises(ValueError, match="five fields"):
        only("at eight", lasts=HOUR)


# -- against a walk by minute ----------------------------------------------------------------------------------------

SPAN = 24 * 1440
"""Minutes that are walked; the last ten days of them are compared, so that what began a week before is known."""

ANCHORS = ("2026-03-13", "2026-10-09", "2028-02-13", "2026-02-22", "2026-10-18")
ZONES = (BERLIN, NEW_YORK, "UTC", "Australia/Lord_Howe", "Asia/Kathmandu")


@cache
def walk(zone: str, anchor: str) -> list[tuple[datetime, float]]:
    """Each local minute and the moment it begins; skipped ones at the moment of the change, repeated ones once."""
    start, info = utc(anchor + " 00:00"), ZoneInfo(zone)
    instants = [start + 60 * i for i in range(SPAN)]
    minutes: list[tuple[datetime, float]] = []
    for unix in instants:
        local = datetime.fromtimestamp(unix, info)
        if local.fold:
            continue
        plain = local.replace(tzinfo=None)
        while minutes and (skipped := minutes[-1][0] + timedelta(minutes=1)) < plain:
            minutes.append((skipped, unix))
        minutes.append((plain, unix))
    return minutes


def fits(cron: Cron, time: datetime) -> bool:
    if time.minute not in cron.minutes or time.hour not in cron.hours or time.month not in cron.months:
        return False
    by_day, by_weekday = time.day in cron.days, time.isoweekday() % 7 in cron.weekdays
    either = not cron.any_day and not cron.any_weekday
    return by_day or by_weekday if either else by_day and by_weekday


def matches(cron: Cron, minutes: list[tuple[datetime, float]]) -> list[int]:
    return [i for i, (time, _) in enumerate(minutes) if fits(cron, time)]


def slow(windows: list[Window], anchor: str) -> list[tuple[float, float, int]]:
    spells: list[tuple[float, float, int]] = []
    for w in windows:
        minutes = walk(w.timezone, anchor)
        ends = matches(parse(w.until or w.cron), minutes)
        for i in matches(parse(w.cron), minutes):
            begin, after = minutes[i][1], bisect_right(ends, i)
            end = minutes[ends[after]][1] if after < len(ends) else math.inf
            spells.append((begin, end if w.lasts is None else begin + w.lasts, w.min_replicas))
    return spells


@st.composite
def crons(draw: st.DrawFn, rare: tuple[str, ...] = ()) -> str:
    minute = draw(st.sampled_from(["0", "30", "59", "15,45"]) | st.integers(0, 59).map(str))
    hour = draw(st.sampled_from(["2", "1-3", "*/6", "0", "23", "2,3"]) | st.integers(0, 23).map(str))
    day = draw(st.sampled_from(["* * *", "* * 0", "* * 1-5", "29 * 0,3", "*/2 * *", "* * */2", *rare]))
    return f"{minute} {hour} {day}"


@st.composite
def windows(draw: st.DrawFn) -> Window:
    until, lasts = draw(st.tuples(crons(), st.none()) | st.tuples(st.none(), st.floats(1.0, 3 * DAY)))
    zone, n = draw(st.sampled_from(ZONES)), draw(st.integers(1, 4))
    begin = draw(crons(rare=("29 2 *", "29 2 1")))  # an end comes every week: else the walk is too short
    return window(begin, until, lasts, timezone=zone, min_replicas=n)


@settings(deadline=None)  # the walk is slow when it is made
@given(st.lists(windows(), max_size=3), st.sampled_from(ANCHORS), st.data())
def test_it_agrees_with_a_walk_by_minute(given_windows: list[Window], anchor: str, data: st.DataObject):
    table, spells = timetable(given_windows), slow(given_windows, anchor)
    first, last = utc(anchor + " 00:00") + 14 * DAY, utc(anchor + " 00:00") + 23 * DAY
    edges = [edge for begin, end, _ in spells for edge in (begin, end) if first < edge < last]
    near = st.sampled_from(edges).flatmap(lambda e: st.sampled_from([e - 0.5, e, e + 0.5])) if edges else None
    moments = st.floats(first, last) if near is None else near | st.floats(first, last)
    for unix in data.draw(st.lists(moments, min_size=1, max_size=8)):
        wanted = max((n for begin, end, n in spells if begin <= unix < end), default=0)
        found = table.at(unix)
        assert (found.min_replicas if found else 0) == wanted
        assert found is None or found.begin <= unix < found.end
        assert floor(table, unix, 0.0) == (wanted, found.end if found else floor(table, unix, 0.0)[1])
        until = min(floor(table, unix, 0.0)[1], last)
        inside = [unix, *(e for e in edges if unix < e < until)]
        assert all(
            max((n for begin, end, n in spells if begin <= e < end), default=0) == wanted for e in inside
        )


@settings(deadline=None)  # the walk is slow when it is made
@given(st.lists(windows(), min_size=1, max_size=3), st.sampled_from(ANCHORS), st.floats(14.0, 16.0))
def test_the_next_begins_are_those_of_the_walk(given_windows: list[Window], anchor: str, day: float):
    table, at = timetable(given_windows), utc(anchor + " 00:00") + day * DAY
    last = utc(anchor + " 00:00") + 23 * DAY
    walked = sorted(
        {begin for begin, end, _ in slow(given_windows, anchor) if at < begin < end and begin < last}
    )
    found: list[float] = []
    while (spell := table.next_begin(at)) is not None and spell.begin < last:
        found.append(spell.begin)
        at = spell.begin
    assert found == walked
    assert all(a < b for a, b in pairwise(found))
