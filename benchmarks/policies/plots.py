"""The figures as one page that works offline: cost against cold rate for each trace and start time, and all columns."""

from collections.abc import Sequence

from goals import DEFAULT, Verdict, counted
from rows import HOLDS, Cell, Row
from speed import Speed
from tables import HEAD, about, cells_of

from pilotlight.cost import declared
from pilotlight.report.frontier import Dot, Kind, frontier, legend
from pilotlight.report.page import page, paragraph, points, section, table
from pilotlight.sim.defaults import default_config

FAR = 20.0
"""Times the default policies: what is dearer is left out of a plot, and stands in the table."""


def html(cells: Sequence[Cell], verdicts: Sequence[Verdict], speeds: Sequence[Speed], where: str) -> str:
    return page(
        "Scaling policies: what each costs, and how many requests it has waiting",
        paragraph(where) if where else "",
        points(EXPLAINED),
        section("Against the goals", paragraph(f"{counted(verdicts)}."), _judged(verdicts)),
        section("Speed", _fast(speeds)) if speeds else "",
        legend([Kind.RECOMMENDED, Kind.GOOD, Kind.DOMINATED]).replace(Kind.RECOMMENDED.value, DEFAULT),
        *(_cell(cell) for cell in cells),
    )


EXPLAINED = (
    "A request is cold when its first token comes later than 2 s. The dashed line is the upper edge of the band, 5 %.",
    "The oracle knows all arrivals beforehand, has no cold starts and packs requests into slots without a gap.",
    "Green: the default policies, with no tuning to the trace. Grey: another policy is no dearer and has no more cold "
    "requests. The best keep-alive and the size of the pool are chosen with hindsight.",
    "All run through the code that decides in a server. Knative and the hybrid histogram, which pilotlight has not, "
    "say beside it what comes and goes; replicas, queue, traffic and bill are the same.",
    f"US dollars: {declared.said(declared.told(default_config().prices).examples)}.",
)


def _cell(cell: Cell) -> str:
    return section(
        cell.title,
        paragraph(about(cell)),
        _plot(cell),
        table(HEAD, [cells_of(row) for row in cell.rows]),
    )


def _plot(cell: Cell) -> str:
    rows = [row for row in cell.rows if row.usd <= FAR * cell.rows[0].usd]
    dots = [Dot(_label(r), r.over_oracle, r.cold, _kind(r, rows), _text(r)) for r in rows]
    names = ("cost over the oracle's", "cold rate")
    return frontier(
        f"Cold rate over cost: {cell.title}",
        dots,
        names,
        (lambda x: f"{x:.3g}", lambda y: f"{100 * y:.3g} %"),
        HOLDS,
    )


SHORT = {
    "keep-alive ": "",
    "best keep-alive": "best",
    "one warmer": "warmer",
    "always on": "always on",
    "default, ": "",
}
"""By the beginning of a policy's name: what stands in its place beside a dot, where there is little room."""


def _label(r: Row) -> str:
    for begin, instead in SHORT.items():
        if r.policy.startswith(begin):
            return instead or r.policy.removeprefix(begin)
    return r.policy


def _kind(row: Row, rows: Sequence[Row]) -> Kind:
    if row.policy == DEFAULT:
        return Kind.RECOMMENDED
    ours = (row.usd, row.cold)
    beaten = any((o.usd, o.cold) != ours and o.usd <= row.usd and o.cold <= row.cold for o in rows)
    return Kind.DOMINATED if beaten else Kind.GOOD


def _text(r: Row) -> str:
    return f"{r.policy}: ${r.usd:,.2f}, {r.over_oracle:.2f} x oracle, {100 * r.cold:.1f} % cold"


def _judged(verdicts: Sequence[Verdict]) -> str:
    head = ("trace", "start", "goal", "measured", "target", "floor", "")
    return table(
        head,
        [
            [v.trace, f"{v.start:g} s", v.goal, v.value, v.target, v.floor, v.verdict.strip("*")]
            for v in verdicts
        ],
    )


def _fast(speeds: Sequence[Speed]) -> str:
    head = ("trace", "start", "requests", "requests/s", "bare heapq loop", "ratio")
    rows = [
        [s.trace, f"{s.start:g} s", f"{s.requests:,}", f"{s.ours:,.0f}", f"{s.bare:,.0f}", f"{s.ratio:.1f}"]
        for s in speeds
    ]
    return table(head, rows)
