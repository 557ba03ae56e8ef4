"""Axes for plots as inline SVG: where a value stands, and the round figures written beside it."""

import math
from collections.abc import Callable, Sequence
from html import escape

import msgspec

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 820, 340, 90, 50, 24, 24
"""Pixels: the whole plot, and the margins around what is drawn."""

DECADES = 20.0
"""Largest over smallest value from which an axis is logarithmic [G]."""


class Scale(msgspec.Struct, frozen=True):
    low: float
    high: float
    is_log: bool
    begin: float
    """Pixel of `low`."""
    end: float

    def at(self, value: float) -> float:
        """Pixel of a value."""
        low, high, x = self.low, self.high, value
        if self.is_log:
            low, high, x = math.log(low), math.log(high), math.log(max(value, self.low))
        share = (x - low) / (high - low) if high > low else 0.5
        return self.begin + share * (self.end - self.begin)

    def ticks(self) -> list[float]:
        return _decades(self.low, self.high) if self.is_log else _steps(self.low, self.high)


def scale(values: Sequence[float], begin: float, end: float, *, zero: bool = False) -> Scale:
    """Round ends around the values; logarithmic where they lie decades apart, unless it has to begin at `zero`."""
    least, most = min(values, default=0.0), max(values, default=1.0)
    if not zero and least > 0 and most / least >= DECADES:
        return Scale(least / 1.15, most * 1.15, True, begin, end)
    least = min(0.0, least) if zero or least < 0.5 * most else least
    step = _step(most - least or abs(most) or 1.0)
    low = math.floor(least / step) * step
    high = math.ceil(most / step) * step
    return Scale(low, high if high > low else low + step, False, begin, end)


def _step(span: float) -> float:
    """1, 2 or 5 times a power of ten, of which four to ten make the span."""
    power = 10 ** math.floor(math.log10(span))
    return next(k * power for k in (0.1, 0.2, 0.5, 1.0, 2.0) if span / (k * power) <= 8)


def _steps(low: float, high: float) -> list[float]:
    step = _step(high - low)
    return [low + i * step for i in range(round((high - low) / step) + 1)]


def _decades(low: float, high: float) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    many = high / low > 1000
    found = [k * 10.0**p for p in powers for k in ((1,) if many else (1, 2, 5))]
    return [x for x in found if low <= x <= high]


def frame(
    x: Scale,
    y: Scale,
    x_name: str,
    y_name: str,
    x_text: Callable[[float], str],
    y_text: Callable[[float], str],
) -> str:
    """Lines and figures around a plot."""
    out: list[str] = []
    for value in y.ticks():
        at = y.at(value)
        out.append(f'<line x1="{LEFT}" y1="{at:.1f}" x2="{WIDTH - RIGHT}" y2="{at:.1f}" class="axis"/>')
        out.append(f'<text x="{LEFT - 8}" y="{at:.1f}" class="label">{escape(y_text(value))}</text>')
    for value in x.ticks():
        at, below = x.at(value), HEIGHT - BOTTOM
        out.append(f'<line x1="{at:.1f}" y1="{below}" x2="{at:.1f}" y2="{below + 5}" class="axis"/>')
        out.append(f'<text x="{at:.1f}" y="{below + 17}" text-anchor="middle">{escape(x_text(value))}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    out.append(
        f'<text x="{middle:.0f}" y="{HEIGHT - 8}" text-anchor="middle" class="value">{escape(x_name)}</text>'
    )
    out.append(f'<text x="{LEFT - 60}" y="{TOP - 14}" class="value">{escape(y_name)}</text>')
    return "".join(out)


def svg(title: str, *body: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}" class="bars">'
        f"<title>{escape(title)}</title>{''.join(body)}</svg>"
    )


def left_to_right() -> tuple[float, float]:
    """Pixels between which x runs."""
    return float(LEFT), float(WIDTH - RIGHT)


def bottom_to_top() -> tuple[float, float]:
    return float(HEIGHT - BOTTOM), float(TOP)
