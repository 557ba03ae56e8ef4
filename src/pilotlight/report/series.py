"""Lines over time."""

from collections.abc import Callable, Sequence
from html import escape

import msgspec

from pilotlight.report.axes import bottom_to_top, frame, left_to_right, scale, svg


class Line(msgspec.Struct, frozen=True):
    name: str
    values: Sequence[float]
    """Of equal pieces of the time, from the first to the last."""
    colour: int = 0
    filled: bool = False


def lines(
    title: str,
    drawn: Sequence[Line],
    piece: float,
    y_name: str,
    texts: tuple[Callable[[float], str], Callable[[float], str]],
    x_name: str = "time",
) -> str:
    """`piece`: how long each piece is, in whatever the first of `texts` writes."""
    most = max((len(line.values) for line in drawn), default=0)
    x = scale([0.0, most * piece], *left_to_right(), zero=True)
    y = scale([v for line in drawn for v in line.values], *bottom_to_top(), zero=True)
    out = [frame(x, y, x_name, y_name, *texts)]
    for line in drawn:
        points = [(x.at((i + 0.5) * piece), y.at(v)) for i, v in enumerate(line.values)]
        if not points:
            continue
        if line.filled:
            floor = y.at(0.0)
            points = [(points[0][0], floor), *points, (points[-1][0], floor)]
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
        fill = f"var(--c{line.colour})" if line.filled else "none"
        out.append(
            f'<polyline points="{path}" stroke-width="1.5" fill-opacity="0.35" '
            f'style="stroke:var(--c{line.colour});fill:{fill}"><title>{escape(line.name)}</title></polyline>'
        )
    return svg(title, *out)


def key_of(colours: Sequence[tuple[str, int]]) -> str:
    """Which colour is what."""
    items = (f'<li><i class="s{colour}"></i>{escape(name)}</li>' for name, colour in colours)
    return f'<ul class="legend">{"".join(items)}</ul>'
