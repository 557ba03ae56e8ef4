"""Which times five fields mean."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotlight.spec.cron import Cron, parse

HOURS, DAYS, MONTHS = frozenset(range(24)), frozenset(range(1, 32)), frozenset(range(1, 13))


def test_five_fields() -> None:
    assert parse("0 8 * * 1-5") == Cron(
        minutes=frozenset({0}),
        hours=frozenset({8}),
        days=DAYS,
        months=MONTHS,
        weekdays=frozenset({1, 2, 3, 4, 5}),
        any_day=True,
        any_weekday=False,
    )


@pytest.mark.parametrize(
    ("text", "field", "numbers"),
    [
        ("*/15 * * * *", "minutes", {0, 15, 30, 45}),
        ("50/5 * * * *", "minutes", {50, 55}),
        ("5,7,5 * * * *", "minutes", {5, 7}),
        ("*/90 * * * *", "minutes", {0}),
        ("0 8-18/2,23 * * *", "hours", {8, 10, 12, 14, 16, 18, 23}),
        ("0 0 29 2 *", "days", {29}),
        ("0 0 1 jan,JUL-sep *", "months", {1, 7, 8, 9}),
        ("0 0 * * 0", "weekdays", {0}),
        ("0 0 * * 7", "weekdays", {0}),
        ("0 0 * * 5-7", "weekdays", {5, 6, 0}),
        ("0 0 * * fri-sun", "weekdays", {5, 6, 0}),
        ("0 0 * * mon,Wed", "weekdays", {1, 3}),
        ("0 0 * * */2", "weekdays", {0, 2, 4, 6}),
        ("0 0 * * 1/2", "weekdays", {1, 3, 5}),
        ("0 0 * * 7/2", "weekdays", {0}),
        ("0 0 * * 0-7", "weekdays", {0, 1, 2, 3, 4, 5, 6}),
        ("  0\t0  * * *  ", "hours", {0}),
    ],
)
def test_a_field_is_numbers_names_ranges_steps_and_lists(text: str, field: str, numbers: set[int]) -> None:
    assert getattr(parse(text), field) == numbers


@pytest.mark.parametrize(
    ("text", "any_day", "any_weekday"),
    [
        ("0 0 * * *", True, True),
        ("0 0 1 * *", False, True),
        ("0 0 * * 1", True, False),
        ("0 0 1 * 1", False, False),
        ("0 0 */2 * 1", True, False),
    ],
)
def test_a_day_field_is_open_when_it_begins_with_a_star(text: str, any_day: bool, any_weekday: bool) -> None:
    cron = parse(text)
    assert (cron.any_day, cron.any_weekday) == (any_day, any_weekday)


@pytest.mark.parametrize(
    ("word", "fields"),
    [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@Weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
    ],
)
def test_words_are_short_for_fields(word: str, fields: str) -> None:
    assert parse(word) == parse(fields)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "write the five fields minute, hour, day of the month, month, day of the week, like"),
        ("0 8 * *", "write the five fields"),
        ("0 8 * * * *", "write the five fields"),
        ("@reboot", "or one of @hourly, @daily, @weekly"),
        ("60 * * * *", "the minute '60' is not allowed; it is 0 to 59"),
        ("0 24 * * *", "the hour '24' is not allowed; it is 0 to 23"),
        ("0 0 0 * *", "the day of the month '0' is not allowed; it is 1 to 31"),
        ("0 0 * 13 *", "the month '13' is not allowed; it is 1 to 12 or jan, feb"),
        ("0 0 * * 8", "the day of the week '8' is not allowed; it is 0 to 7 or sun, mon"),
        ("0 0 * * jan", "the day of the week 'jan' is not allowed"),
        ("mon 0 * * *", "the minute 'mon' is not allowed"),
        ("0 18-8 * * *", "the hour '18-8' runs backwards"),
        ("0 0 * * tue-mon", "the day of the week 'tue-mon' runs backwards"),
        ("*/0 * * * *", "the step '0' of the minute is not allowed; it is a whole number above 0"),
        ("*/x * * * *", "the step 'x' of the minute"),
        ("1,,2 * * * *", "the minute '' is none of *, 0 to 59, a range or a step"),
        ("-1 * * * *", "the minute '-1' is none of"),
        ("1-2-3 * * * *", "the minute '1-2-3' is none of"),
        ("٣ * * * *", "the minute '٣' is none of"),
        ("0 0 30 2 *", "never comes: no month of it has a day 30"),
        ("0 0 31 4,6,9,11 *", "never comes: no month of it has a day 31"),
        ("0," * 400 + "0 * * * *", "is not a time: write the five fields"),
    ],
)
def test_what_is_no_time_says_which_field_and_what_it_allows(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)) as e:
        parse(text)
    assert len(str(e.value)) < 400


def test_a_day_that_no_month_has_may_stand_beside_a_day_of_the_week() -> None:
    assert parse("0 0 31 2 mon").weekdays == {1}


@given(st.text(alphabet="0123456789*/,-@ abcjanmonsu", max_size=30))
def test_any_text_is_a_time_or_a_value_error(text: str) -> None:
    try:
        cron = parse(text)
    except ValueError as e:
        assert "is not a time" in str(e) or "never comes" in str(e)
        return
    assert cron.minutes and cron.hours and cron.days and cron.months and cron.weekdays
    assert cron.weekdays <= frozenset(range(7))


def span(low: int, high: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(low, high), min_size=1, max_size=5)


@given(st.tuples(span(0, 59), span(0, 23), span(1, 28), span(1, 12), span(0, 7)))
def test_a_list_means_its_numbers(lists: tuple[list[int], ...]) -> None:
    cron = parse(" ".join(",".join(map(str, numbers)) for numbers in lists))
    fields = (cron.minutes, cron.hours, cron.days, cron.months)
    assert fields == tuple(frozenset(numbers) for numbers in lists[:4])
    assert cron.weekdays == {day % 7 for day in lists[4]}
