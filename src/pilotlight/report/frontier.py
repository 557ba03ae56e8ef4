"""What is to be had for what price: dots for the choices, a line through those that nothing beats."""

from collections.abc import Callable, Sequence
from enum import StrEnum
from html import escape

import msgspec

from pilotlight.report.axes import (
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    bottom_to_top,
    frame,
    left_to_right,
    scale,
    svg,
)
from pilotlight.report.bars import SLOTS


class Kind(StrEnum):
    GOOD = "a choice"
    DOMINATED = "dominated"
    """Another choice costs no more and is no worse."""
    PRESENT = "present"
    RECOMMENDED = "recommended"


COLOURS = {Kind.GOOD: 0, Kind.DOMINATED: SLOTS - 1, Kind.PRESENT: 2, Kind.RECOMMENDED: 1}


class Dot(msgspec.Struct, frozen=True):
    label: str
    x: float
    y: float
    kind: Kind = Kind.GOOD
    text: str = ""
    """What is shown when one points at it."""


def frontier(
    title: str,
    dots: Sequence[Dot],
    axes: tuple[str, str],
    texts: tuple[Callable[[float], str], Callable[[float], str]],
    limit: float | None = None,
) -> str:
    """`axes`: names of x and y; less is better on both. `limit`: a value of y that is not to be exceeded."""
    x = scale([d.x for d in dots], *left_to_right())
    over = [] if limit is None else [limit]
    y = scale([d.y for d in dots] + over, *bottom_to_top(), zero=True)
    marks = sorted(dots, key=lambda d: d.kind is not Kind.DOMINATED)
    placed = [(x.at(d.x), y.at(d.y), d) for d in marks]
    best = _best(dots)
    line = " ".join(f"{x.at(d.x):.1f},{y.at(d.y):.1f}" for d in best)
    out = [frame(x, y, *axes, *texts)]
    if limit is not None:
        at = y.at(limit)
        out.append(
            f'<line x1="{LEFT}" y1="{at:.1f}" x2="{WIDTH - RIGHT}" y2="{at:.1f}" stroke-dasharray="6 4" '
            'style="stroke:var(--c5)"/>'
        )
    if len(best) > 1:
        out.append(f'<polyline points="{line}" fill="none" stroke-width="2" style="stroke:var(--c0)"/>')
    taken: list[tuple[float, float]] = []
    out += [_mark(px, py, d, taken) for px, py, d in placed]
    return svg(title, *out)


def _best(dots: Sequence[Dot]) -> list[Dot]:
    """Those of which no other is as good on both axes, from the cheapest on."""
    found: list[Dot] = []
    for d in sorted(dots, key=lambda d: (d.x, d.y)):
        if not found or d.y < found[-1].y:
            found.append(d)
    return found


def legend(kinds: Sequence[Kind]) -> str:
    items = (f'<li><i class="s{COLOURS[kind]}"></i>{escape(kind.value)}</li>' for kind in kinds)
    return f'<ul class="legend">{"".join(items)}</ul>'


def _mark(x: float, y: float, dot: Dot, taken: list[tuple[float, float]]) -> str:
    """`taken`: where labels are; this one is put where it covers none."""
    size = 5 if dot.kind in (Kind.GOOD, Kind.DOMINATED) else 8
    anchor = "end" if x > WIDTH - 130 else "start"
    beside = x - 11 if anchor == "end" else x + 11
    above = _free(beside, y - 11, taken)
    taken.append((beside, above))
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size}" class="s{COLOURS[dot.kind]}">'
        f"<title>{escape(dot.text or dot.label)}</title></circle>"
        f'<text x="{beside:.1f}" y="{above:.1f}" text-anchor="{anchor}">{escape(dot.label)}</text>'
    )


def _free(x: float, y: float, taken: list[tuple[float, float]]) -> float:
    """The nearest height for a label at which there is none, from the dot upwards and then down."""
    steps = [y - i * NEAR[1] for i in range(len(taken) + 1)] + [
        y + i * NEAR[1] for i in range(2, len(taken) + 3)
    ]
    for at in steps:
        if TOP - 12 <= at <= HEIGHT and not any(
            abs(x - u) < NEAR[0] and abs(at - v) < NEAR[1] for u, v in taken
        ):
            return at
    return y


NEAR = (100.0, 15.0)
"""Pixels between two labels, across and down."""
