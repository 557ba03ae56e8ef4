"""Bars and pages: well-formed, self-contained, safe."""

import re
from xml.etree import ElementTree

from pilotlight.report.bars import LABEL, SLOTS, Bar, Part, legend, slots, stacked
from pilotlight.report.page import page, paragraph, points, section, table

BARS = [
    Bar("plain", [Part("spawn", 1.0, "1 s"), Part("load", 3.0, "3 s")], "4 s"),
    Bar("<fork> & co", [Part("load", 3.0, "3 s")], "3 s"),
]


def rects(svg: str) -> list[dict[str, str]]:
    return [dict(r.attrib) for r in ElementTree.fromstring(svg).iter("rect")]


def test_parts_stand_one_behind_the_other_on_one_scale() -> None:
    first, second, third = rects(stacked("t", BARS, ["spawn", "load"]))
    assert float(first["x"]) == LABEL
    assert float(second["x"]) > float(first["x"]) + float(first["width"])
    assert second["width"] == third["width"]
    assert float(second["width"]) + 2 == 3 * (float(first["width"]) + 2)


def test_a_part_keeps_its_colour() -> None:
    found = [r["class"] for r in rects(stacked("t", BARS, ["spawn", "load"]))]
    assert found == ["s0", "s1", "s1"]
    assert slots([str(n) for n in range(20)])["19"] == SLOTS - 1


def test_nothing_to_show_is_no_error() -> None:
    assert rects(stacked("t", [], [])) == []
    assert len(rects(stacked("t", [Bar("a", [Part("x", 0.0, "0")], "0")], ["x"]))) == 1


def test_a_page_needs_nothing_else_and_takes_no_markup_from_names() -> None:
    text = page(
        "<script>",
        paragraph("a < b"),
        legend(["<i>"]),
        stacked("<t>", BARS, ["spawn"]),
        points(["<li>"]),
        section("<h>", table(["<th>", "n"], [["<td>", "1"]])),
    )
    assert "<script>" not in text and "<fork>" not in text
    assert not re.search(r"https?://|src=|href=|@import|url\(", text)
    assert "prefers-color-scheme: dark" in text
    ElementTree.fromstring(re.sub(r"<!doctype html>|<meta[^>]*>", "", text))
