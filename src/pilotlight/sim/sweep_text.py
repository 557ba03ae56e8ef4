"""A sweep as it is asked for: `ttl=1m..2h`, `base=0..4`, `ttl=1m,10m,auto`."""

import math
from collections.abc import Callable
from typing import Any

import msgspec

from pilotlight.errors import PilotlightError
from pilotlight.spec.model import Config, Model
from pilotlight.units import FOREVER, format_duration, format_fraction, parse_duration, parse_fraction

POINTS = 8
"""Of a range, at most."""

MOST_POINTS = 50
"""Of a list."""


class Value(msgspec.Struct, frozen=True):
    label: str
    value: Any
    """As the config has it."""


class Kind(msgspec.Struct, frozen=True):
    parse: Callable[[str], float]
    written: Callable[[float], str]
    least: float = 0.0
    most: float = math.inf
    by_ratio: bool = False
    """A range is cut into equal ratios, in place of equal steps."""
    whole: bool = False


def _count(text: str) -> float:
    return int(text)


def _usd(value: float) -> str:
    return f"${value:.3g}"


DURATION = Kind(parse_duration, format_duration, by_ratio=True)
COUNT = Kind(_count, lambda n: f"{n:.0f}", most=100_000, whole=True)
POSITIVE = msgspec.structs.replace(COUNT, least=1)
PART = Kind(parse_fraction, format_fraction, most=1.0)
USD = Kind(float, _usd, by_ratio=True)

OF_MODEL = {
    "ttl": DURATION,
    "ttl_to_zero": DURATION,
    "sleep_after": DURATION,
    "scale_up_delay": DURATION,
    "scale_down_delay": DURATION,
    "batch_deadline": DURATION,
    "base": COUNT,
    "min_replicas": COUNT,
    "max_replicas": POSITIVE,
    "target_requests": POSITIVE,
    "max_requests": POSITIVE,
}
OF_OBJECTIVE = {"cold_rate": PART, "per_model_max": PART, "wait": DURATION, "cold_request_cost_usd": USD}
KEYS = {**OF_MODEL, **OF_OBJECTIVE}
LEARNED = frozenset({"ttl", "base"})
"""What may be `auto`."""


class Sweep(msgspec.Struct, frozen=True):
    key: str
    values: tuple[Value, ...]

    def present(self, config: Config) -> Value:
        """What the config has for it, of its defaults where models differ."""
        if self.key in OF_MODEL:
            return self._written(getattr(config.default_model, self.key))
        if self.key == "cold_rate":
            return self._written(
                None if config.objective.cold_rate is None else config.objective.cold_rate[1]
            )
        return self._written(getattr(config.objective, self.key))

    def _written(self, value: Any) -> Value:
        if value is None or isinstance(value, str):
            return Value(value or "unset", value)
        return Value(KEYS[self.key].written(value), value)

    def config(self, config: Config, value: Any) -> Config:
        """With this value for every model. Raises PilotlightError where it does not go with what else there is."""
        if self.key in OF_MODEL:
            models = {name: self._model(name, m, value) for name, m in config.models.items()}
            default = self._model("defaults", config.default_model, value)
            return msgspec.structs.replace(config, models=models, default_model=default)
        if self.key == "cold_rate":
            low = 0.0 if config.objective.cold_rate is None else config.objective.cold_rate[0]
            value = (min(low, value), value)
        objective = msgspec.structs.replace(config.objective, **{self.key: value})
        return msgspec.structs.replace(config, objective=objective)

    def _model(self, name: str, model: Model, value: Any) -> Model:
        changed: dict[str, Any] = {self.key: value}
        if self.key == "ttl":
            changed["ttl_to_zero"] = None
        if self.key == "ttl_to_zero" and model.ttl_is_auto:
            raise PilotlightError(f"--sweep ttl_to_zero: {name} has `ttl: auto`, which learns it; sweep ttl")
        found = msgspec.structs.replace(model, **changed)
        floor = max(found.min_replicas, 0 if isinstance(found.base, str) else found.base)
        if floor > found.max_replicas:
            text = f"--sweep {self.key}: {name} would keep {floor} replicas, more than its max_replicas"
            raise PilotlightError(f"{text}, {found.max_replicas}")
        return found


def parse(text: str) -> Sweep:
    """Raises PilotlightError, with what is allowed."""
    key, equals, rest = (part.strip() for part in text.partition("="))
    if not key or not equals or not rest:
        raise PilotlightError(f"--sweep {text}: write KEY=A..B or KEY=A,B,C, such as ttl=1m..2h")
    if key not in KEYS:
        raise PilotlightError(
            f"--sweep {text}: there is no key {key!r} to sweep; there are {', '.join(KEYS)}"
        )
    kind = KEYS[key]
    low, dots, high = rest.partition("..")
    if not dots:
        values = [_value(text, key, one.strip()) for one in rest.split(",")]
    else:
        ends = [_value(text, key, end.strip()) for end in (low, high)]
        values = _between(text, kind, ends[0].value, ends[1].value)
    found = tuple({v.label: v for v in values}.values())
    if len(found) > MOST_POINTS:
        raise PilotlightError(f"--sweep {key}: {len(found)} values are too many; at most {MOST_POINTS}")
    return Sweep(key, found)


def _value(text: str, key: str, given: str) -> Value:
    kind = KEYS[key]
    if given == "auto" and key in LEARNED:
        return Value("auto", "auto")
    try:
        value = kind.parse(given)
    except ValueError:
        value = math.nan
    if not kind.least <= value <= kind.most:
        example = "1m" if kind is DURATION else "5%" if kind is PART else "2"
        also = ", or auto" if key in LEARNED else ""
        raise PilotlightError(f"--sweep {text}: {given!r} is no {key}; write it like {example}{also}")
    return Value(kind.written(value), int(value) if kind.whole else value)


def _between(text: str, kind: Kind, low: Any, high: Any) -> list[Value]:
    if isinstance(low, str) or isinstance(high, str) or FOREVER in (low, high) or not low < high:
        raise PilotlightError(f"--sweep {text}: a range goes from a smaller number to a larger one")
    if kind.whole:
        n = min(POINTS, high - low + 1)
        found = sorted({round(low + (high - low) * i / (n - 1)) for i in range(n)})
        return [Value(kind.written(x), x) for x in found]
    if not kind.by_ratio:
        return [_rounded(kind, low + (high - low) * i / (POINTS - 1)) for i in range(POINTS)]
    first = low or high / 2 ** (POINTS - 2)
    n = POINTS if low else POINTS - 1
    rest = [_rounded(kind, first * (high / first) ** (i / (n - 1))) for i in range(n)]
    return rest if low else [Value(kind.written(0.0), 0.0), *rest]


def _rounded(kind: Kind, value: float) -> Value:
    """Three digits: what is shown is what is simulated, to the eye."""
    value = float(f"{value:.3g}")
    return Value(kind.written(value), value)
