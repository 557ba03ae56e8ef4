"""Seconds, bytes, parts and rates as people write them.

Durations are floats in seconds, sizes are ints in bytes, parts of a whole are floats from 0 to 1, rates are per
second, everywhere. Text is parsed here and nowhere else.
"""

import math
import re

_NUMBER = re.compile(r"-?(\d+(\.\d*)?|\.\d+)(e[-+]?\d+)?", re.ASCII | re.IGNORECASE)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|[KMGT]i?B?|)", re.ASCII | re.IGNORECASE)
_BYTES = {
    "": 1, "B": 1,
    "K": 2**10, "KIB": 2**10, "KI": 2**10, "KB": 10**3,
    "M": 2**20, "MIB": 2**20, "MI": 2**20, "MB": 10**6,
    "G": 2**30, "GIB": 2**30, "GI": 2**30, "GB": 10**9,
    "T": 2**40, "TIB": 2**40, "TI": 2**40, "TB": 10**12,
}  # fmt: skip
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*/\s*(s|m|h|d)", re.ASCII)

FOREVER = float("inf")
"""A duration that never ends, written -1 in a config and in Ollama's `keep_alive`."""


def parse_duration(value: str | float) -> float:
    """Seconds from `5`, `"5"`, `"1m30s"`, `"250ms"`; a negative number means for ever.

    Raises ValueError, with the allowed forms, for anything else.
    """
    seconds = _seconds(value)
    if seconds is None or not math.isfinite(seconds):
        raise ValueError(
            f"{_shown(value)} is not a duration; write it like 250ms, 30s, 5m, 1h30m, 0 or -1 (never)"
        )
    return FOREVER if seconds < 0 else seconds


def _shown(value: str | float) -> str:
    """As a message repeats it."""
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def _seconds(value: str | float) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return _float(value)
    text = value.strip()
    if _NUMBER.fullmatch(text):
        return float(text)
    parts = _DURATION.findall(text.removeprefix("-"))
    if not parts or "".join(n + u for n, u in parts) != text.removeprefix("-"):
        return None
    return -1.0 if text.startswith("-") else sum(float(n) * _SECONDS[u] for n, u in parts)


def _float(value: float) -> float | None:
    try:
        return float(value)
    except OverflowError:  # an int of more than 308 digits
        return None


def parse_size(value: str | int) -> int:
    """Bytes from `1024`, `"16GiB"`, `"500MB"`, `"16G"` (a bare letter is binary, as in Kubernetes' Gi).

    Raises ValueError, with the allowed forms, for anything else.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    size = float(match[1]) * _BYTES[match[2].upper()] if match else math.inf
    if not math.isfinite(size):
        raise ValueError(
            f"{_shown(value)} is not a size; write it like 512MiB, 16GiB, 1.5GB or a number of bytes"
        )
    return int(size)


def parse_fraction(value: str | float) -> float:
    """A part of one from `"5%"`, `0.05`, `"0.05"`. Whether it is at most one is for the caller to say.

    Raises ValueError, with the allowed forms, for anything else.
    """
    text = str(value).strip()
    number = text.removesuffix("%").rstrip()
    part = math.inf if isinstance(value, bool) or not _NUMBER.fullmatch(number) else float(number)
    if not math.isfinite(part):
        raise ValueError(f"{_shown(value)} is not a part of a whole; write it like 5% or 0.05")
    return part / 100 if text.endswith("%") else part


def parse_rate(value: str) -> float:
    """Per second from `"0.5/s"`, `"2/m"`, `"30/h"`, `"100/d"`.

    Raises ValueError, with the allowed forms, for anything else; also for a number without its unit of time.
    """
    match = _RATE.fullmatch(value.strip())
    rate = float(match[1]) / _SECONDS[match[2]] if match else math.inf
    if not math.isfinite(rate):
        raise ValueError(f"{_shown(value)} is not a rate; write it like 0.5/s, 2/m, 30/h or 100/d")
    return rate


def format_fraction(part: float) -> str:
    """`5%`, `0.5%`, at most four digits."""
    return f"{part * 100:.4g}%"


def format_size(n: float) -> str:
    """`1536 MiB` style, binary units, at most one decimal."""
    for unit in ("B", "KiB", "MiB"):
        if abs(n) < 1024:
            return f"{n:.0f} {unit}"
        n /= 1024
    return f"{n:.1f} GiB" if abs(n) < 1024 else f"{n / 1024:.1f} TiB"


def format_duration(seconds: float) -> str:
    """`3 ms`, `0.41 s`, `2m05s`, `1h03m`, `never`."""
    if seconds == FOREVER:
        return "never"
    if seconds < 0.1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02d}s" if rest else f"{minutes}m"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if minutes else f"{hours}h"
