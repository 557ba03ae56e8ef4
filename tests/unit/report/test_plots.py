"""Plots: well-formed, inside their frame, safe."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from pilotlight.report.axes import HEIGHT, WIDTH, scale
from pilotlight.report.frontier import Dot, Kind, frontier, legend
from pilotlight.report.series import Line, key_of, lines

TEXTS = (lambda x: f"{x:g}", lambda y: f"{y:g}")
DOTS = [
    Dot("a", 10, 0.2, Kind.GOOD),
    Dot("b", 20, 0.05, Kind.RECOMMENDED),
    Dot("c", 30, 0.06, Kind.DOMINATED),
    Dot("<d>", 40, 0.0, Kind.PRESENT, "<&>"),
]


def drawn(dots: list[Dot]) -> ElementTree.Element:
    return ElementTree.fromstring(frontier("t", dots, ("cost", "cold"), TEXTS, limit=0.05))


def test_dots_stand_in_order_and_inside():
    circles = {c[0].text: c for c in drawn(DOTS).iter("circle")}
    x = [float(circles[name].attrib["cx"]) for name in ("a", "b", "c", "<&>")]
    y = [float(circles[name].attrib["cy"]) for name in ("a", "c", "b", "<&>")]
    assert x == sorted(x) and y == sorted(y)
    assert all(0 < v < WIDTH for v in x) and all(0 < v < HEIGHT for v in y)


def test_the_line_goes_through_what_nothing_beats():
    [line] = drawn(DOTS).iter("polyline")
    assert len(line.attrib["points"].split()) == 3


def test_labels_of_near_dots_do_not_cover_each_other():
    texts = [t for t in drawn([Dot(str(i), 10, 0.1) for i in range(4)]).iter("text") if t.text in "0123"]
    dots = [t for t in texts if t.attrib.get("text-anchor") == "start"]
    heights = sorted(float(t.attrib["y"]) for t in dots)
    assert all(b - a >= 14 for a, b in pairwise(heights))


@pytest.mark.parametrize("dots", [[], [Dot("a", 0.0, 0.0)], [Dot("a", 1e-9, 1e9), Dot("b", 1e9, 0.0)]])
def test_few_and_strange_dots_are_drawn(dots: list[Dot]):
    assert len(list(drawn(dots).iter("circle"))) == len(dots)


def test_an_axis_over_decades_is_logarithmic():
    found = scale([1.0, 10.0, 1000.0], 0.0, 300.0)
    assert found.is_log
    assert found.at(10.0) - found.at(1.0) == pytest.approx((found.at(1000.0) - found.at(10.0)) / 2)
    assert not scale([0.0, 1000.0], 0.0, 300.0).is_log


@pytest.mark.parametrize(
    "values", [[3.0, 47.0], [0.0], [5.0, 5.0], [0.001, 0.0013], [1.0, 900.0], [-3.0, 8.0]]
)
def test_ticks_are_few_round_and_in_order(values: list[float]):
    found = scale(values, 0.0, 100.0)
    ticks = found.ticks()
    assert 2 <= len(ticks) <= 12 and ticks == sorted(ticks)
    assert all(found.low - 1e-9 <= t <= found.high + 1e-9 for t in ticks)
    assert all(-1e-6 <= found.at(v) <= 100.0 + 1e-6 for v in values)


def test_lines_have_a_point_for_each_piece():
    text = lines(
        "t", [Line("a", [1.0, 2.0, 3.0]), Line("b", [0.0, 1.0, 0.0], 1, filled=True)], 2.0, "n", TEXTS
    )
    a, b = ElementTree.fromstring(text).iter("polyline")
    assert len(a.attrib["points"].split()) == 3
    assert len(b.attrib["points"].split()) == 5, "filled ones go down to the axis"
    assert list(ElementTree.fromstring(lines("t", [], 1.0, "n", TEXTS)).iter("polyline")) == []


def test_nothing_is_fetched_and_no_name_is_markup():
    text = frontier("<t>", DOTS, ("<x>", "&"), TEXTS) + legend(list(Kind)) + key_of([("<a>", 1)])
    assert not re.search(r"https?:|src=|href=|<script|<t>|<x>|<d>|<a>", text)
