"""Windows that come again and again, in which replicas are ready: from declared times to moments.

Everything is a function of the moment handed in, so a clock that jumps gets the answer of where it lands. Local times
follow the time zone: one that a clock change skips stands for the first moment after it, one that comes twice for its
first coming. Time goes from occurrence to occurrence by day and month, never by minute.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from math import floor as whole
from math import inf
from zoneinfo import ZoneInfo

import msgspec

from pilotlight.spec.cron import Cron, parse
from pilotlight.spec.scaling import Window

DAYS = 8 * 366
"""How far an occurrence is looked for, in days: the longest that 29 February stays away (2096 to 2104)."""

EARLIEST, LATEST = 0.0, 250e9
"""Unix seconds between which there are windows at all: 1970 to the year 9892, the calendar's end less what is added."""

LONGEST_LEAD = 7 * 86400.0
"""Seconds; no start takes longer."""

ROUNDING = 1e-6
"""Seconds by which a window counts early, so that it does at the very moment that was said, whatever the rounding."""


class Spell(msgspec.Struct, frozen=True):
    """A time in which replicas are kept ready, from `begin` up to and without `end`, in Unix seconds."""

    begin: float
    end: float
    min_replicas: int


class Times(msgspec.Struct, frozen=True):
    """The local times of a cron text."""

    cron: Cron
    minutes: tuple[int, ...]
    """Of a day that fits, ascending from 0 at midnight."""


class Rule(msgspec.Struct, frozen=True):
    begins: Times
    ends: Times
    lasts: float | None
    """Real seconds; it counts in place of `ends`."""
    zone: ZoneInfo
    min_replicas: int


class Timetable(msgspec.Struct, frozen=True):
    rules: tuple[Rule, ...]

    def at(self, unix: float) -> Spell | None:
        """What is in force: the largest `min_replicas` of the windows around `unix`, and from and until when.

        It begins with its window. It ends with that, or where one begins that wants more; an equal one may follow.
        """
        spells = _around(self, unix, 0.0)
        if not spells:
            return None
        top = _largest(spells)
        return Spell(top.begin, _change(self, unix, 0.0, top), top.min_replicas)

    def next_begin(self, unix: float) -> Spell | None:
        """The first window that begins after `unix`, whatever is in force then; of several, the largest.

        None when none begins in the next eight years.
        """
        spells = [spell for rule in self.rules if (spell := _next(rule, unix)) is not None]
        return min(spells, key=lambda s: (s.begin, -s.min_replicas, -s.end), default=None)


def timetable(windows: Iterable[Window]) -> Timetable:
    """Raises ValueError for a text that is no time, KeyError (ZoneInfoNotFoundError) for an unknown time zone.

    A window with neither `until` nor `lasts` goes on until it begins again, as does one whose `until` is its `cron`:
    a daily one is always in force.
    """
    return Timetable(tuple(_rule(window) for window in windows))


def floor(table: Timetable, unix: float, lead: float) -> tuple[int, float]:
    """(replicas wanted at `unix`, the Unix second before which this does not change; inf for never).

    A window counts from `lead` seconds before its begin on, so that what takes as long to start is ready by then.
    """
    lead = max(0.0, min(lead, LONGEST_LEAD))
    ahead = lead + ROUNDING if lead > 0 else 0.0
    spells = _around(table, unix, ahead)
    top = _largest(spells) if spells else Spell(unix, inf, 0)
    return top.min_replicas, _change(table, unix + ahead, lead, top)


# -- the windows around a moment -------------------------------------------------------------------------------------


def _around(table: Timetable, unix: float, ahead: float) -> list[Spell]:
    """Of each window, the one in force at `unix`, or `ahead` seconds later."""
    found = (_latest(rule, unix + ahead) for rule in table.rules)
    return [spell for spell in found if spell is not None and unix < spell.end]


def _largest(spells: list[Spell]) -> Spell:
    return max(spells, key=lambda s: (s.min_replicas, s.end))


def _change(table: Timetable, after: float, lead: float, top: Spell) -> float:
    """When `top` ends, or `lead` seconds before one that wants more begins after `after`."""
    more = (_next(rule, after) for rule in table.rules if rule.min_replicas > top.min_replicas)
    return min([top.end, *(spell.begin - lead for spell in more if spell is not None)])


def _rule(window: Window) -> Rule:
    begins = _times(window.cron)
    ends = begins if window.until is None else _times(window.until)
    return Rule(begins, ends, window.lasts, ZoneInfo(window.timezone), window.min_replicas)


def _times(text: str) -> Times:
    cron = parse(text)
    return Times(cron, tuple(sorted(60 * hour + minute for hour in cron.hours for minute in cron.minutes)))


def _latest(rule: Rule, unix: float) -> Spell | None:
    """The one that began last, at `unix` or before."""
    if not EARLIEST <= unix < LATEST:
        return None
    local = datetime.fromtimestamp(whole(unix), rule.zone)
    for time in _back(rule.begins, _by_old_clock(local)):
        begin = _moment(time, rule.zone)
        if begin <= unix and (end := _end(rule, time, begin)) > begin:
            return Spell(begin, end, rule.min_replicas)
    return None


def _next(rule: Rule, unix: float) -> Spell | None:
    """The one that begins first after `unix`."""
    if not EARLIEST <= unix < LATEST:
        return None
    local = datetime.fromtimestamp(whole(unix), rule.zone).replace(tzinfo=None)
    for time in _on(rule.begins, local):
        begin = _moment(time, rule.zone)
        if begin > unix and (end := _end(rule, time, begin)) > begin:
            return Spell(begin, end, rule.min_replicas)
    return None


def _end(rule: Rule, time: datetime, begin: float) -> float:
    """Of the one that begins at this local time. It is the begin where a clock change skips the whole of it."""
    if rule.lasts is not None:
        return begin + rule.lasts
    end = next(_on(rule.ends, time), None)
    return inf if end is None else _moment(end, rule.zone)


# -- local times -----------------------------------------------------------------------------------------------------


def _on(times: Times, after: datetime) -> Iterator[datetime]:
    """Those after this local time, ascending."""
    day = after.date()
    first = bisect_right(times.minutes, 60 * after.hour + after.minute)
    last = day + timedelta(days=DAYS)
    while day <= last:
        if day.month not in times.cron.months:
            day, first = (day.replace(day=1) + timedelta(days=31)).replace(day=1), 0
            continue
        if _fits(times.cron, day):
            yield from (_at(day, minute) for minute in times.minutes[first:])
        day, first = day + timedelta(days=1), 0


def _back(times: Times, until: datetime) -> Iterator[datetime]:
    """Those at this local time and before, descending."""
    day = until.date()
    end = bisect_left(times.minutes, 60 * until.hour + until.minute + 1)
    first = day - timedelta(days=DAYS)
    while day >= first:
        if day.month not in times.cron.months:
            day, end = day.replace(day=1) - timedelta(days=1), len(times.minutes)
            continue
        if _fits(times.cron, day):
            yield from (_at(day, minute) for minute in reversed(times.minutes[:end]))
        day, end = day - timedelta(days=1), len(times.minutes)


def _by_old_clock(local: datetime) -> datetime:
    """The local time; when it comes for the second time, what it would be had the clock not been put back."""
    shift = _offset(local.replace(fold=0)) - _offset(local) if local.fold else timedelta()
    return local.replace(tzinfo=None, fold=0) + shift


def _fits(cron: Cron, day: date) -> bool:
    """Both fields of the day must fit, but one is enough where neither begins with `*`; as in crontab(5)."""
    by_day, by_weekday = day.day in cron.days, day.isoweekday() % 7 in cron.weekdays
    if cron.any_day or cron.any_weekday:
        return by_day and by_weekday
    return by_day or by_weekday


def _at(day: date, minute: int) -> datetime:
    return datetime(day.year, day.month, day.day, *divmod(minute, 60))  # noqa: DTZ001 (local, its zone comes later)


def _moment(time: datetime, zone: ZoneInfo) -> float:
    """Unix second at which a local time comes, for the first time."""
    before, after = (time.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    late = before.timestamp()
    if _offset(before) >= _offset(after):
        return late
    return _skip(zone, whole(after.timestamp()), whole(late))


def _skip(zone: ZoneInfo, early: int, late: int) -> float:
    """The first second after the clock change between two Unix seconds, by halving."""
    old = _offset(datetime.fromtimestamp(early, zone))
    while late - early > 1:
        middle = (early + late) // 2
        if _offset(datetime.fromtimestamp(middle, zone)) == old:
            early = middle
        else:
            late = middle
    return float(late)


def _offset(time: datetime) -> timedelta:
    offset = time.utcoffset()
    assert offset is not None, "a time with a zone has an offset"
    return offset
