"""Single values of a trace: what they may be, and what is wrong with one that may not."""

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from pilotlight.fleet.classes import RANKS
from pilotlight.sim.trace import PLAIN, Floats

CENTURY = 100 * 365.25 * 86400.0
"""Seconds. A time beyond it is no time in seconds; Unix time gets there in 2070."""
ABSOLUTE = 1e8
"""Seconds (about three years) from which a time is taken for Unix time and not for one that counts from the start of
the file [G]."""
MOST_TOKENS = 10**9
LONGEST_NAME = 256
SHOWN = 40
"""Characters of a bad value that a message shows."""

NOT_READ = (TypeError, ValueError, OverflowError)


def numbers(raw: Sequence[Any] | Floats) -> Floats:
    """Each value as a float; NaN where it is none."""
    return _floats(raw, float)


def times(raw: Sequence[Any] | Floats) -> Floats:
    """Seconds of each value, which is a number or an ISO date (UTC where it names no zone); NaN where it is neither."""
    return _floats(raw, seconds_of)


def _floats(raw: Sequence[Any] | Floats, convert: Callable[[Any], float]) -> Floats:
    if isinstance(raw, np.ndarray):
        return raw.astype(np.float64, copy=False)
    for quick in (float, date_seconds) if convert is seconds_of else (float,):
        try:
            return np.fromiter(map(quick, raw), np.float64, len(raw))
        except NOT_READ:
            continue
    return np.fromiter((_or_nan(convert, v) for v in raw), np.float64, len(raw))


def _or_nan(convert: Callable[[Any], float], value: Any) -> float:
    try:
        return convert(value)
    except NOT_READ:
        return math.nan


def seconds_of(value: Any) -> float:
    """Raises TypeError, ValueError or OverflowError for what is neither a number nor a date."""
    try:
        return float(value)
    except ValueError:
        return date_seconds(value)


def date_seconds(value: Any) -> float:
    """Unix seconds of an ISO date. Raises TypeError, ValueError or OverflowError for what is none."""
    if not isinstance(value, str):
        raise TypeError
    date = datetime.fromisoformat(value.strip())
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()


def time_fault(raw: Any) -> str | None:
    """None for a good one. `raw` is a value as `times` takes them."""
    if _is_missing(raw):
        return "is missing"
    t = _or_nan(seconds_of, raw)
    if math.isnan(t) or math.isinf(t):
        return f"is {shown(raw)}, which is neither a number of seconds nor a date like 2026-01-31T12:00:00Z"
    if t < 0:
        return f"is {shown(raw)}, which is negative, or a date before 1970"
    return f"is {shown(raw)}, more than 100 years; it must be in seconds" if t > CENTURY else None


def tokens_fault(raw: Any) -> str | None:
    """None for a good one."""
    if _is_missing(raw):
        return "is missing"
    n = _or_nan(float, raw)
    if math.isnan(n) or math.isinf(n) or n != math.floor(n):
        return f"is {shown(raw)}, not a whole number"
    return f"is {shown(raw)}, not in 0 to {MOST_TOKENS:,}" if not 0 <= n <= MOST_TOKENS else None


def good_times(t: Floats) -> Any:
    """Which of them `time_fault` finds nothing wrong with. NaN compares false, so it is not good."""
    return (t >= 0) & (t <= CENTURY)


def good_tokens(n: Floats) -> Any:
    with np.errstate(invalid="ignore"):
        return (n >= 0) & (n <= MOST_TOKENS) & (n == np.floor(n))


def name_of(raw: Any) -> str:
    """The model's name. Raises ValueError, with what is wrong, for what is no name."""
    if _is_missing(raw):
        raise ValueError("is missing")
    if isinstance(raw, int) and not isinstance(raw, bool) and abs(raw) < 2**63:
        raw = str(raw)
    if not isinstance(raw, str):
        raise ValueError(f"is {shown(raw)}, not a name")
    name = raw.strip()
    if len(name) > LONGEST_NAME:
        raise ValueError(f"is longer than {LONGEST_NAME} characters: {shown(name)}")
    if not name.isprintable():
        raise ValueError(f"is {shown(name)}, which holds characters that cannot be printed")
    return name


def key_of(raw: Any) -> str:
    """The key's name; empty for what is no name."""
    return raw if isinstance(raw, str) and raw.isprintable() else ""


def class_of(raw: Any) -> str:
    """The class, which is `standard` where nothing is said. Raises ValueError, with what is wrong, for what is none."""
    if _is_missing(raw):
        return PLAIN
    name = raw.strip().lower() if isinstance(raw, str) else ""
    if name not in RANKS:
        raise ValueError(f"is {shown(raw)}, not critical, standard or batch")
    return name


def may_stand_in(raw: Any) -> bool:
    """Whether a stand-in may answer. Raises ValueError, with what is wrong, for what says neither."""
    if _is_missing(raw):
        return False
    if not isinstance(raw, str) or raw.strip().lower() != "allow":
        raise ValueError(f"is {shown(raw)}, not allow; leave it empty where none may answer")
    return True


def shown(raw: Any) -> str:
    """A value for a message, cut short. Escaped, so that no trace can move a terminal's cursor."""
    if isinstance(raw, int) and abs(raw) >= 2**63:  # str() refuses the longest ones
        return "a number of many digits"
    # What is a list or an object may be deep or large: its kind says enough.
    if not isinstance(raw, str | int | float):
        return f"a {type(raw).__name__}"
    text = ascii(raw[: SHOWN + 1] if isinstance(raw, str) else raw)
    return text if len(text) <= SHOWN + 2 else text[:SHOWN] + "..."


def _is_missing(raw: Any) -> bool:
    return raw is None or (isinstance(raw, str) and not raw.strip())
