"""Horizontal bars, each made of parts, as inline SVG."""

from collections.abc import Mapping, Sequence
from html import escape

import msgspec

LABEL, BAR, VALUE, ROW, THICK, TOP = 110, 560, 150, 44, 22, 12
"""Pixels: the column of labels, the longest bar, the column of values, a row, a bar, the margin above."""

SLOTS = 8
"""Colours in page.py. The last is a grey, for all that has none of its own."""


class Part(msgspec.Struct, frozen=True):
    name: str
    value: float
    text: str
    """The value for people."""


class Bar(msgspec.Struct, frozen=True):
    label: str
    parts: Sequence[Part]
    text: str
    """What stands behind the bar."""


def stacked(title: str, bars: Sequence[Bar], order: Sequence[str]) -> str:
    """All bars on one scale. A part keeps its colour from bar to bar: that of its place in `order`."""
    longest = max((sum(p.value for p in bar.parts) for bar in bars), default=0.0) or 1.0
    height = TOP + ROW * len(bars)
    width = LABEL + BAR + VALUE
    rows = "".join(_row(bar, n, BAR / longest, slots(order)) for n, bar in enumerate(bars))
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}" class="bars">'
        f'<line x1="{LABEL}" y1="0" x2="{LABEL}" y2="{height}" class="axis"/>{rows}</svg>'
    )


def legend(order: Sequence[str], rest: str = "") -> str:
    """`rest`: what the grey is."""
    shown = {**slots(order), **({rest: SLOTS - 1} if rest else {})}
    items = (f'<li><i class="s{slot}"></i>{escape(name)}</li>' for name, slot in shown.items())
    return f'<ul class="legend">{"".join(items)}</ul>'


def slots(order: Sequence[str]) -> Mapping[str, int]:
    return {name: min(n, SLOTS - 1) for n, name in enumerate(order)}


def _row(bar: Bar, number: int, scale: float, slot: Mapping[str, int]) -> str:
    y = TOP + ROW * number
    middle = y + THICK / 2
    x = float(LABEL)
    out = [f'<text x="{LABEL - 10}" y="{middle:.1f}" class="label">{escape(bar.label)}</text>']
    for part in bar.parts:
        wide = part.value * scale
        # A gap of two pixels parts neighbours whose colours some people cannot tell apart.
        out.append(
            f'<rect x="{x:.2f}" y="{y}" width="{max(0.5, wide - 2):.2f}" height="{THICK}" rx="2" '
            f'class="s{slot.get(part.name, SLOTS - 1)}"><title>{escape(bar.label)}, {escape(part.name)}: '
            f"{escape(part.text)}</title></rect>"
        )
        x += wide
    out.append(f'<text x="{x + 8:.2f}" y="{middle:.1f}" class="value">{escape(bar.text)}</text>')
    return "".join(out)
