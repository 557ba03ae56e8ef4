"""The figures as a page."""

from pilotlight.bench.result import ORDER, REST, Measured, Report
from pilotlight.report.bars import SLOTS, Bar, Part, legend, stacked
from pilotlight.report.page import page, paragraph, points, section, table

WORTH = 0.01
"""Share of the longest bar from which a stage has a colour of its own; shorter ones are drawn as the rest."""


def html(report: Report) -> str:
    order = _order(report)
    bars = [_bar(m, order, report.measured[0].ttft) for m in report.measured]
    title = "Time to first token from zero, by technique"
    return page(
        title,
        paragraph(f"{report.about}. The run in the middle of each. {report.machine}; {report.date}."),
        legend(order, REST),
        stacked(title, bars, order),
        points(report.notes()[1:]),
        section(
            "Stages", paragraph("Median milliseconds of each stage. Stages may overlap."), _table(report)
        ),
    )


def ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 10 else f"{seconds:.2f} s"


def _order(report: Report) -> list[str]:
    """The stages worth a colour, in the order of stages; the longest when there are more than colours."""
    longest = max(m.ttft for m in report.measured)
    most: dict[str, float] = {}
    for m in report.measured:
        for name, seconds in m.layers().items():
            most[name] = max(most.get(name, 0.0), seconds)
    worth = [n for n, s in most.items() if s >= WORTH * longest and n != REST]
    chosen = sorted(worth, key=lambda n: -most[n])[: SLOTS - 1]
    return sorted(chosen, key=lambda n: ORDER.index(n) if n in ORDER else len(ORDER))


def _bar(m: Measured, order: list[str], plain: float) -> Bar:
    layers = m.layers()
    own = [name for name in layers if name in order]
    rest = sum(seconds for name, seconds in layers.items() if name not in own)
    parts = [*((name, layers[name]) for name in own), (REST, rest)]
    text = f"{ms(m.ttft)} ({m.ttft / plain:.2f}x)"
    return Bar(m.variant.name, [Part(name, seconds, ms(seconds)) for name, seconds in parts], text)


def _table(report: Report) -> str:
    names = list(dict.fromkeys(name for m in report.measured for name in m.stages()))
    names.sort(key=lambda n: ORDER.index(n) if n in ORDER else len(ORDER))
    rows = [["to the first token", *(f"{m.ttft * 1000:.1f}" for m in report.measured)]]
    for name in names:
        found = [m.stages().get(name) for m in report.measured]
        rows.append([name, *("" if s is None else f"{s * 1000:.1f}" for s in found)])
    return table(["stage", *(m.variant.name for m in report.measured)], rows)
