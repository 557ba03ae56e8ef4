"""The five fields of a cron text, as sets of numbers. Pure: it knows no clock and no time zone.

The rules are those of crontab(5): minute, hour, day of the month, month, day of the week.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

EVERY: Mapping[str, str] = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
"""Days of each month, in a leap year."""

_LONGEST_TEXT = 500
"""Characters; a field that lists every minute has 168."""

_PART = re.compile(r"(\*|(\w+)(?:-(\w+))?)(?:/(\w+))?", re.ASCII)


class Cron(msgspec.Struct, frozen=True):
    """When a window begins or ends, in the local time of its time zone.

    A day fits when both its day of the month and its day of the week fit; when neither field begins with `*`,
    one of them is enough.
    """

    minutes: frozenset[int]
    """0 to 59."""
    hours: frozenset[int]
    """0 to 23."""
    days: frozenset[int]
    """1 to 31."""
    months: frozenset[int]
    """1 to 12."""
    weekdays: frozenset[int]
    """0 is Sunday, 6 Saturday: `date.isoweekday() % 7`."""
    any_day: bool
    """The day of the month begins with `*`."""
    any_weekday: bool
    """The day of the week begins with `*`."""


class _Field(NamedTuple):
    name: str
    low: int
    high: int
    words: Mapping[str, int] = {}

    @property
    def allowed(self) -> str:
        named = f" or {', '.join(self.words)}" if self.words else ""
        return f"{self.low} to {self.high}{named}"


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, {name: i for i, name in enumerate(_MONTHS, 1)}),
    _Field("day of the week", 0, 7, {name: i for i, name in enumerate(_WEEKDAYS)}),
)


def parse(text: str) -> Cron:
    """The times that `text` means: five fields, or one of `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`.

    A field is `*`, a number, a name (`jan`, `mon`), a range `1-5`, any of these with a step (`*/15`, `8-18/2`,
    `10/20` from 10 on), or a list of such. Sunday is 0 or 7.

    Raises ValueError with the field and what it allows, also for a day that no month of it has.
    """
    try:
        cron = _cron(text)
    except ValueError as e:
        raise ValueError(f"{text[:60]!r} is not a time: {e}") from None
    if _never(cron):
        raise ValueError(f"{text!r} never comes: no month of it has a day {min(cron.days)}")
    return cron


def _cron(text: str) -> Cron:
    words = EVERY.get(text.strip().lower(), text).split()
    if len(words) != len(_FIELDS) or len(text) > _LONGEST_TEXT:
        raise ValueError(
            "write the five fields minute, hour, day of the month, month, day of the week, like "
            f'"0 8 * * 1-5", or one of {", ".join(EVERY)}'
        )
    minutes, hours, days, months, weekdays = (
        _numbers(field, word.lower()) for field, word in zip(_FIELDS, words, strict=True)
    )
    return Cron(
        minutes,
        hours,
        days,
        months,
        frozenset(day % 7 for day in weekdays),
        any_day=words[2].startswith("*"),
        any_weekday=words[4].startswith("*"),
    )


def _never(cron: Cron) -> bool:
    """Whether no month has such a day; a day of the week that is enough by itself always comes."""
    alone = not cron.any_day and not cron.any_weekday
    return not alone and all(min(cron.days) > _LONGEST[month - 1] for month in cron.months)


def _numbers(field: _Field, text: str) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        match = _PART.fullmatch(part)
        if match is None:
            raise ValueError(
                f"the {field.name} {part!r} is none of *, {field.allowed}, a range or a step of them"
            )
        found.update(_range(field, part, match))
    return frozenset(found)


def _range(field: _Field, part: str, match: re.Match[str]) -> range:
    everything, first, last, by = match.groups()
    step = _step(field, by) if by is not None else 1
    if everything == "*":
        return range(field.low, min(field.high, 6) + 1 if field.high == 7 else field.high + 1, step)
    low = _number(field, first)
    high = low if last is None else _number(field, last)
    if last is None and by is not None:
        high = max(low, 6) if field.high == 7 else field.high
    if field.high == 7 and last is not None and high == 0 < low:
        high = 7  # fri-sun
    if low > high:
        raise ValueError(
            f"the {field.name} {part!r} runs backwards; write two ranges, each in {field.allowed}"
        )
    return range(low, high + 1, step)


def _number(field: _Field, text: str) -> int:
    value = field.words.get(text)
    if value is None and text.isdecimal() and len(text) < 4:
        value = int(text)
    if value is None or not field.low <= value <= field.high:
        raise ValueError(f"the {field.name} {text!r} is not allowed; it is {field.allowed}")
    return value


def _step(field: _Field, text: str) -> int:
    if not text.isdecimal() or len(text) > 4 or int(text) < 1:
        raise ValueError(
            f"the step {text!r} of the {field.name} is not allowed; it is a whole number above 0"
        )
    return int(text)
