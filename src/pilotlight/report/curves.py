"""Curves of one figure over another, with points of their own: both axes by decades where the values lie so."""

from collections.abc import Callable, Sequence
from html import escape

import msgspec

from pilotlight.report.axes import BOTTOM, HEIGHT, TOP, bottom_to_top, frame, left_to_right, scale, svg

Points = Sequence[tuple[float, float]]


class Curve(msgspec.Struct, frozen=True):
    name: str
    line: Points
    dots: Points = ()
    """Drawn beside the line, in its colour."""
    colour: int = 0


def curves(
    title: str,
    drawn: Sequence[Curve],
    axes: tuple[str, str],
    texts: tuple[Callable[[float], str], Callable[[float], str]],
    marks: Sequence[tuple[float, str]] = (),
) -> str:
    """`axes`: names of x and y. `marks`: values of x at which a line is drawn from top to bottom, with its name."""
    points = [p for c in drawn for p in (*c.line, *c.dots)]
    x = scale([p[0] for p in points], *left_to_right())
    y = scale([p[1] for p in points], *bottom_to_top())
    out = [frame(x, y, *axes, *texts)]
    for i, (value, name) in enumerate(marks):
        if x.low <= value <= x.high:
            at = x.at(value)
            out.append(
                f'<line x1="{at:.1f}" y1="{TOP}" x2="{at:.1f}" y2="{HEIGHT - BOTTOM}" stroke-dasharray="6 4" '
                'style="stroke:var(--soft)"/>'
                f'<text x="{at + 6:.1f}" y="{TOP + 8 + 17 * i}" class="value">{escape(name)}</text>'
            )
    for curve in drawn:
        path = " ".join(f"{x.at(px):.1f},{y.at(py):.1f}" for px, py in curve.line)
        out.append(
            f'<polyline points="{path}" fill="none" stroke-width="2" style="stroke:var(--c{curve.colour})">'
            f"<title>{escape(curve.name)}</title></polyline>"
        )
        for px, py in curve.dots:
            what = f"{curve.name}, simulated: {texts[0](px)}, {texts[1](py)}"
            out.append(
                f'<circle cx="{x.at(px):.1f}" cy="{y.at(py):.1f}" r="5" class="s{curve.colour}">'
                f"<title>{escape(what)}</title></circle>"
            )
    return svg(title, *out)
