"""Synthetic traffic asked for in place of a file: `synthetic://poisson?rate=200/h&hours=24&models=8&seed=1`."""

import math
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from pilotlight.errors import TraceError
from pilotlight.sim import traffic
from pilotlight.sim.trace import Trace

SCHEME = "synthetic://"
SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_RATE = re.compile(r"([\d.]+(?:e[-+]?\d+)?)/([smhd])", re.ASCII)
_EXAMPLE = f"{SCHEME}poisson?rate=200/h&hours=24&models=8&seed=1"


class Key(msgspec.Struct, frozen=True):
    """What may stand behind a key."""

    least: float
    most: float
    about: str
    whole: bool = False
    default: float | None = None
    """None: it must be given."""


COMMON = {
    "rate": Key(1e-9, 1e6, "requests of all models together, such as 5/s, 200/h or 30/d (or /m)"),
    "hours": Key(1e-3, 24 * 366 * 10, "how long"),
    "models": Key(1, 10_000, "how many", whole=True, default=1),
    "zipf": Key(0, 5, "how unlike the models' shares are", default=1.0),
    "prompt": Key(1, traffic.LARGEST, "median of the prompt's tokens", default=400),
    "output": Key(1, traffic.LARGEST, "median of the answer's tokens", default=120),
    "seed": Key(0, 2**63, "another seed, another trace", whole=True, default=0),
}
KINDS: dict[str, tuple[Callable[..., Trace], dict[str, Key]]] = {
    "poisson": (traffic.poisson, {}),
    "bursty": (traffic.bursty, {"cv": Key(0.1, 30, "deviation of the gaps over their mean", default=4.0)}),
    "daily": (traffic.daily, {"peak": Key(1, 2, "the busiest moment over the mean", default=1.8)}),
}


def is_synthetic(text: str) -> bool:
    return text.startswith(SCHEME)


def synthetic(text: str) -> Trace:
    """The trace that `text` asks for. Raises TraceError, with what is allowed, when it asks for none."""
    kind, _, query = text.removeprefix(SCHEME).partition("?")
    if not is_synthetic(text) or kind not in KINDS:
        raise TraceError(f"{text[:200]!r}: no such traffic; write {', '.join(KINDS)} like {_EXAMPLE}")
    make, own = KINDS[kind]
    given = _values(text, query, {**COMMON, **own})
    names = ("models", "zipf", "prompt", "output")
    mix = traffic.Mix(**{name: given.pop(name) for name in names})
    seconds = given.pop("hours") * 3600
    return make(given.pop("rate"), seconds, mix=mix, name=text, **given)


def _values(text: str, query: str, keys: dict[str, Key]) -> dict[str, Any]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=50)
    except ValueError:
        raise _fault(text, f"{query[:80]!r} is not KEY=VALUE&KEY=VALUE", keys) from None
    given: dict[str, Any] = {}
    for name, value in pairs:
        if name not in keys:
            raise _fault(text, f"there is no {name[:40]!r}", keys)
        if name in given:
            raise _fault(text, f"`{name}` is given twice", keys)
        given[name] = _value(text, name, value, keys)
    for name, key in keys.items():
        if name not in given and key.default is None:
            raise _fault(text, f"`{name}` is missing", keys)
    return {name: given.get(name, key.default) for name, key in keys.items()}


def _value(text: str, name: str, value: str, keys: dict[str, Key]) -> float:
    """As its key takes it; a rate in requests per second."""
    key = keys[name]
    per = 1.0
    number = value
    if name == "rate":
        match = _RATE.fullmatch(value)
        number, per = (match[1], SECONDS[match[2]]) if match else ("", 1.0)
    try:
        n = int(number) if key.whole else float(number) / per
    except ValueError:
        n = math.nan
    if not key.least <= n <= key.most:
        raise _fault(text, f"`{name}` cannot be {value[:40]!r}", keys)
    return n


def _fault(text: str, what: str, keys: dict[str, Key]) -> TraceError:
    return TraceError(
        f"{text[:200]!r}: {what}", [f"  {name}: {_allowed(name, key)}" for name, key in keys.items()]
    )


def _allowed(name: str, key: Key) -> str:
    default = "must be given" if key.default is None else f"{key.default:g} where it is not given"
    if name == "rate":
        return f"{key.about}; {default}"
    return f"{key.about}, {key.least:g} to {key.most:g}; {default}"
