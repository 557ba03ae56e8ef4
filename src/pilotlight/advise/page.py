"""The advice as a page that stands by itself."""

from collections.abc import Sequence
from html import escape

from pilotlight.advise.advice import Advice
from pilotlight.advise.caution import from_where
from pilotlight.advise.even import Even
from pilotlight.advise.played import Played, best
from pilotlight.advise.written import interval, number, part, time, usd
from pilotlight.report.curves import Curve, curves
from pilotlight.report.frontier import Dot, Kind, frontier, legend
from pilotlight.report.page import page, paragraph, points, section, table
from pilotlight.report.series import Line, key_of, lines

HEAD = (
    "", "tier", "a month", "95 % interval", "cold", "95 % interval", "p50", "p99", "starts", "holds", "",
)  # fmt: skip
COLOURS = (0, 1, 5, 4)
WAY_DEARER, WAY_COLDER = 10.0, 4.0
"""Times the dearest that is compared, and the cold rate that is asked for; what is beyond is not on the plot [G]."""


def html(a: Advice) -> str:
    return page(
        f"Advice for {a.trace}",
        section(f"Recommended: {a.recommended.candidate.tier}", points(a.why)),
        section("Be careful of", points(a.warnings)) if a.warnings else "",
        section("Beside each other", table(HEAD, [_row(p, a) for p in _shown(a)])),
        _frontier(a),
        _day(a),
        "" if a.even is None else _even(a.even),
        _changes(a),
        section("The config", f"<div class='scroll'><pre>{escape(a.config)}</pre></div>"),
        section("All that was simulated", table(HEAD, [_row(p, a) for p in a.played])),
        _explained(a),
    )


def _shown(a: Advice) -> list[Played]:
    found = (a.recommended, a.runner_up, a.today)
    return list({p.id: p for p in found if p is not None}.values())


def _row(p: Played, a: Advice) -> list[str]:
    r = p.result
    return [
        p.id, str(p.candidate.tier), usd(p.month_usd), interval(p), part(r.cold_rate),
        f"{part(p.cold.low)} to {part(p.cold.high)}", time(r.ttft_p50), time(r.ttft_p99), f"{r.starts:,}",
        "yes" if p.holds else "no", said(p, a),
    ]  # fmt: skip


def said(p: Played, a: Advice) -> str:
    words = [name for name, other in (("recommended", a.recommended), ("runner-up", a.runner_up), ("today", a.today))
             if other is not None and other.id == p.id]  # fmt: skip
    return ", ".join(words or (["dominated"] if p.dominated else []))


def _frontier(a: Advice) -> str:
    dear = WAY_DEARER * max(p.month_usd for p in _shown(a))
    cold = max(WAY_COLDER * a.needs.cold, *(p.cold_rate for p in _shown(a)))
    near = [p for p in a.played if p.month_usd <= dear and p.cold_rate <= cold]
    named = _named(near, a)
    dots = [Dot(p.id if p.id in named else "", p.month_usd, p.cold_rate, _kind(p, a), _text(p)) for p in near]
    more = len(a.played) - len(near)
    return section(
        "Cost against cold rate",
        paragraph(
            "Each dot is a setting that was simulated on this traffic; the dashed line is the cold rate that is asked "
            "for."
            + (f" {more} that cost or wait many times as much are in the last table only." if more else "")
        ),
        legend(list(Kind)),
        frontier("Cold rate over cost", dots, ("cost of a month", "cold rate"), (usd, part), a.needs.cold),
    )


def _named(near: Sequence[Played], a: Advice) -> set[str]:
    """Those that one looks for, and the best of each tier: more labels would cover each other."""
    tiers = dict.fromkeys(p.candidate.tier for p in near)
    return {best([p for p in near if p.candidate.tier is t]).id for t in tiers} | {p.id for p in _shown(a)}


def _kind(p: Played, a: Advice) -> Kind:
    if p.id == a.recommended.id:
        return Kind.RECOMMENDED
    if a.today is not None and p.id == a.today.id:
        return Kind.PRESENT
    return Kind.DOMINATED if p.dominated else Kind.GOOD


def _text(p: Played) -> str:
    cost = f"{usd(p.month_usd)}, cold {part(p.cold_rate)}, p99 {time(p.result.ttft_p99)}"
    return f"{p.id}: {p.candidate.words}; {cost}"


def _day(a: Advice) -> str:
    s = a.shape
    return section(
        "The day",
        paragraph(
            f"Requests an hour in each hour of the day (UTC, or from the trace's beginning where it has no dates). "
            f"{s.requests:,} requests in {time(s.span_s)}; the busiest minute had {s.peak_per_minute:,}."
        ),
        key_of([("requests an hour", 0)]),
        lines(
            "Requests an hour over the day", [Line("requests an hour", s.by_hour, 0, filled=True)], 1.0,
            "requests an hour", (_plain, _plain), "hour of the day",
        ),
    )  # fmt: skip


def _even(e: Even) -> str:
    drawn = [
        Curve(line.tier, line.points, line.simulated, COLOURS[i % len(COLOURS)])
        for i, line in enumerate(e.lines)
    ]
    marks = [(e.per_hour, "this traffic"), (e.value, "break-even")]
    return section(
        "Break-even",
        paragraph(
            f"{e.below} is the cheaper below it, {e.above} above. {e.formula}: {e.with_numbers}. This traffic has "
            f"{number(e.per_hour)} requests an hour."
        ),
        points(e.explained),
        key_of([(c.name, c.colour) for c in drawn]),
        curves(
            "Cost of a month over requests an hour",
            drawn,
            ("requests an hour", "cost of a month"),
            (_plain, usd),
            marks,
        ),
        paragraph(
            "Lines are by the formula; dots were simulated, at other rates on the beginning of the "
            "traffic, stretched."
            if any(line.simulated for line in e.lines)
            else "Lines are by the formula."
        ),
    )


def _changes(a: Advice) -> str:
    if not a.changes:
        return ""
    ids = [o.id for o in a.changes[0].outcomes]
    head = ("", "best", *ids)
    rows = [
        [
            f"{c.what} x{c.factor:g}",
            c.best,
            *(_outcome(o.month_usd, o.cold_rate, o.holds) for o in c.outcomes),
        ]
        for c in a.changes
    ]
    return section(
        "How the answer changes",
        paragraph(
            "Simulated anew for the finalists, but where nothing is decided by prices, or nothing is "
            "started: then the same "
            "replicas are billed anew."
        ),
        table(head, rows),
    )


def _outcome(month: float, cold: float, holds: bool) -> str:
    return f"{usd(month)}, {part(cold)}{'' if holds else ' (too many)'}"


def _plain(x: float) -> str:
    return f"{x:,.6g}"


def _explained(a: Advice) -> str:
    p = a.prices
    known: Sequence[str] = [
        f"A request is cold when its first token comes after {time(a.needs.wait)}. A start takes "
        f"{time(a.start_time)} "
        f"({a.start_time_from}).",
        f"A month has 730 hours. A GPU costs {usd(p.gpu_month_usd)} a month, on demand {p.premium:g} "
        f"times that; {from_where(a)}.",
        "Intervals: of the cost by a block bootstrap over days or hours, of the cold rate by "
        "Wilson's formula, for as many "
        "requests as their spread over the blocks is worth.",
        "Dominated: another setting costs no more and has no more cold requests.",
        *(f"Price: {entry}" for entry in p.used),
    ]
    return section("What the figures mean", points(known))
