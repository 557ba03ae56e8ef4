"""Durations, sizes, parts and rates as people write them."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotlight.units import (
    FOREVER,
    format_duration,
    format_fraction,
    format_size,
    parse_duration,
    parse_fraction,
    parse_rate,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (5, 5.0),
        (0, 0.0),
        (1.5, 1.5),
        ("5", 5.0),
        (" 5s ", 5.0),
        ("250ms", 0.25),
        ("1.5s", 1.5),
        ("1m30s", 90.0),
        ("1h30m", 5400.0),
        ("2d", 172800.0),
        ("1e3", 1000.0),
        (-1, FOREVER),
        ("-1", FOREVER),
        ("-1s", FOREVER),
        ("-0.5", FOREVER),
    ],
)
def test_durations(text: str | float, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    ["", "x", "5 m", "5m x", "1:30", "1_000", "m", "5mm", "--5", "nan", "inf", "-inf", "1e999", "٣s"],
)
def test_text_that_is_no_duration_says_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration; write it like 250ms, 30s"):
        parse_duration(text)


@pytest.mark.parametrize("number", [True, math.nan, math.inf, 10**400, "9" * 400 + "d"])
def test_no_number_is_for_ever_unless_negative(number: float | str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(number)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (0, 0),
        (1024, 1024),
        ("1024", 1024),
        ("16GiB", 16 * 2**30),
        ("16G", 16 * 2**30),
        ("16Gi", 16 * 2**30),
        ("500MB", 500 * 10**6),
        ("1.5 GiB", 3 * 2**29),
        ("2tib", 2 * 2**40),
        ("7B", 7),
    ],
)
def test_sizes(text: str | int, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GiB", "-1", -1, True, "1PB", "1 G iB", "1e3", "٣B", "9" * 400])
def test_what_is_no_size_says_how_to_write_one(text: str | int) -> None:
    with pytest.raises(ValueError, match="is not a size; write it like 512MiB"):
        parse_size(text)


@given(st.one_of(st.text(max_size=12), st.integers(), st.floats(), st.from_regex(r"-?[0-9.]+[a-z]*")))
def test_parsing_gives_a_number_or_a_value_error(value: str | float) -> None:
    try:
        assert parse_duration(value) >= 0
    except ValueError as e:
        assert re.search("is not a duration", str(e))
    if isinstance(value, str | int):
        try:
            assert parse_size(value) >= 0
        except ValueError as e:
            assert re.search("is not a size", str(e))


def test_formatting() -> None:
    assert [format_duration(s) for s in (0.003, 0.41, 12, 60, 125, 3780, 7200, FOREVER)] == [
        "3 ms",
        "0.41 s",
        "12 s",
        "1m",
        "2m05s",
        "1h03m",
        "2h",
        "never",
    ]
    assert [format_size(n) for n in (7, 2048, 1536 * 2**20, 3 * 2**40)] == [
        "7 B",
        "2 KiB",
        "1.5 GiB",
        "3.0 TiB",
    ]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("5%", 0.05),
        (" 5 % ", 0.05),
        ("0.05", 0.05),
        (0.05, 0.05),
        (1, 1.0),
        ("100%", 1.0),
        ("-3%", -0.03),
        ("0%", 0.0),
    ],
)
def test_parts_of_a_whole(text: str | float, part: float) -> None:
    assert parse_fraction(text) == pytest.approx(part)


@pytest.mark.parametrize("text", ["", "%", "five", "5%%", "% 5", True, math.nan, math.inf, "9" * 400])
def test_what_is_no_part_says_how_to_write_one(text: str | float) -> None:
    with pytest.raises(ValueError, match=r"is not a part of a whole; write it like 5% or 0\.05"):
        parse_fraction(text)


@pytest.mark.parametrize(
    ("text", "rate"),
    [("0.5/s", 0.5), ("2/m", 2 / 60), (" 30 / h ", 30 / 3600), ("100/d", 100 / 86400), ("0/s", 0.0)],
)
def test_rates(text: str, rate: float) -> None:
    assert parse_rate(text) == pytest.approx(rate)


@pytest.mark.parametrize("text", ["", "30", "/h", "30/", "-1/h", "30/w", "30/ms", "3 0/h", "9" * 400 + "/s"])
def test_what_is_no_rate_says_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a rate; write it like 0\.5/s, 2/m, 30/h or 100/d"):
        parse_rate(text)


@given(st.integers(0, 1000))
def test_a_part_that_is_written_is_read_as_the_same(thousandths: int) -> None:
    assert parse_fraction(format_fraction(thousandths / 1000)) == pytest.approx(thousandths / 1000)
