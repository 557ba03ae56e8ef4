"""The figures of simulations as a page that stands by itself."""

from collections.abc import Sequence

from pilotlight.cost.declared import said as prices_said
from pilotlight.report.frontier import Dot, Kind, frontier, legend
from pilotlight.report.page import page, paragraph, points, section, table
from pilotlight.report.series import Line, key_of, lines
from pilotlight.sim.result import Result
from pilotlight.sim.sweep import Point
from pilotlight.units import format_duration, format_fraction

HEAD = (
    "", "cold", "worst model", "p50", "p95", "p99", "cost", "oracle", "x oracle", "always on", "GPU h", "starts",
)  # fmt: skip
CLASS_HEAD = ("", "requests", "cold", "p50", "p95", "refused", "past their deadline")


def html(results: Sequence[Result]) -> str:
    """Of simulations without a sweep."""
    body = [_of_trace(found) for found in _by_trace(results)]
    return page("Simulated traffic", points(prices(results)), *body, _explained())


def sweep_html(key: str, swept: Sequence[tuple[Sequence[Point], float]]) -> str:
    """Of each trace its points, and the upper edge of the band."""
    body = [_of_sweep(key, found, limit) for found, limit in swept]
    said_of = prices([p.result for found, _ in swept for p in found])
    return page(f"What {key} buys", points(said_of), *body, _explained())


def prices(results: Sequence[Result]) -> list[str]:
    """What is to be known of the prices; of each config, where they differ."""
    found: dict[str, dict[str, None]] = {}
    for r in results:
        found.setdefault(prices_said(r.prices.examples), {})[r.config] = None
    if len(found) == 1:
        return list(found)
    return [f"{', '.join(configs)}: {text}" for text, configs in found.items()]


def usd(x: float) -> str:
    return f"${x:,.0f}" if x >= 100 else f"${x:,.2f}"


def _by_trace(results: Sequence[Result]) -> list[list[Result]]:
    n = len(dict.fromkeys(r.config for r in results)) or 1
    return [list(results[i : i + n]) for i in range(0, len(results), n)]


def _of_trace(found: Sequence[Result]) -> str:
    first = found[0]
    rows = [_row(r.config, r) for r in found]
    parts = (table(HEAD, rows), _classes(found), _notes(found), *map(_traffic, found))
    return section(first.trace, _about(first), *parts)


def _of_sweep(key: str, found: Sequence[Point], limit: float) -> str:
    first = found[0].result
    rows = [[*_row(f"{p.value} {said(p)}", p.result), f"{'yes' if p.holds else 'no'}"] for p in found]
    plots = [
        frontier("Cold rate over cost", _dots(found, "cold_rate"), ("cost", "cold rate"),
                 (usd, format_fraction), limit),
        frontier("The slowest of 100 first tokens over cost", _dots(found, "ttft_p99"),
                 ("cost", "99th percentile of the time to first token"), (usd, format_duration)),
    ]  # fmt: skip
    best = next(p for p in found if p.recommended)
    return section(
        first.trace,
        _about(first),
        paragraph(advice(key, best, limit)),
        legend(list(Kind)),
        *plots,
        table((key, *HEAD[1:], "holds the band"), rows),
        _notes([best.result]),
        _traffic(best.result),
    )


def advice(key: str, best: Point, limit: float) -> str:
    """In one sentence."""
    edge = format_fraction(limit)
    if best.holds:
        return f"Recommended: {key} {best.value}, the cheapest whose cold rate is not above {edge}."
    return f"None holds the cold rate at {edge}; {key} {best.value} comes nearest."


def said(p: Point) -> str:
    """What is to be known of a point, in brackets."""
    words = [w for w, so in (("present", p.present), ("recommended", p.recommended)) if so]
    words += ["dominated"] if p.dominated else []
    return f"({', '.join(words)})" if words else ""


def _dots(found: Sequence[Point], figure: str) -> list[Dot]:
    dots: list[Dot] = []
    for p in found:
        y: float = getattr(p.result, figure) or 0.0
        text = f"{p.value}: {usd(p.result.cost_usd)}, cold {format_fraction(p.result.cold_rate or 0.0)}"
        label = f"{p.value} (present)" if p.present and p.recommended else p.value
        dots.append(Dot(label, p.result.cost_usd, y, _kind(p), text))
    return dots


def _kind(p: Point) -> Kind:
    if p.recommended:
        return Kind.RECOMMENDED
    return Kind.PRESENT if p.present else Kind.DOMINATED if p.dominated else Kind.GOOD


def _about(r: Result) -> str:
    return paragraph(
        f"{r.requests:,} requests of {r.models:,} model{'s' if r.models != 1 else ''} in {format_duration(r.span_s)}; "
        f"{r.evaluated:,} are counted, the first part of the trace is warm-up. A start takes "
        f"{format_duration(r.start_time)} on average ({r.start_time_from})."
    )


def _notes(found: Sequence[Result]) -> str:
    return points(list(dict.fromkeys(note for r in found for note in r.notes)))


def _classes(found: Sequence[Result]) -> str:
    """Of traces that have more than one."""
    rows = [
        [f"{r.config}, {name}", f"{c.requests:,}", _part(c.cold_rate), _time(c.ttft_p50), _time(c.ttft_p95),
         f"{c.refused:,}", "-" if c.past_deadline is None else f"{c.past_deadline:,}"]
        for r in found
        for name, c in r.by_class.items()
    ]  # fmt: skip
    return table(CLASS_HEAD, rows) if rows else ""


def _part(x: float | None) -> str:
    return "-" if x is None else format_fraction(x)


def _time(x: float | None) -> str:
    return "-" if x is None else format_duration(x)


def _row(name: str, r: Result) -> list[str]:
    over = "-" if r.cost_over_oracle is None else f"{r.cost_over_oracle:.2f}"
    return [
        name, _part(r.cold_rate), _part(r.cold_rate_worst_model), _time(r.ttft_p50), _time(r.ttft_p95),
        _time(r.ttft_p99), usd(r.cost_usd), usd(r.oracle_cost_usd), over, usd(r.always_on_usd), f"{r.gpu_hours:,.1f}",
        f"{r.starts:,}",
    ]  # fmt: skip


def _traffic(r: Result) -> str:
    s = r.series
    if not s.requests:
        return ""
    unit, name = _unit(r.span_s)
    texts = (_plain, _plain)
    shown = [
        Line("requests", [float(n) for n in s.requests], 0, filled=True),
        Line("cold requests", [float(c) for c in s.cold], 5),
    ]
    return section(
        f"Traffic with {r.config}",
        key_of([("requests", 0), ("cold requests", 5), ("replicas up", 2)]),
        lines("Requests", shown, s.seconds / unit, f"requests in {format_duration(s.seconds)}", texts, name),
        lines("Replicas", [Line("replicas up", s.replicas, 2)], s.seconds / unit, "replicas up", texts, name),
    )


def _plain(x: float) -> str:
    return f"{x:g}"


def _unit(span: float) -> tuple[float, str]:
    if span > 3 * 86400:
        return 86400.0, "days"
    return (3600.0, "hours") if span > 3 * 3600 else (60.0, "minutes")


def _explained() -> str:
    return section(
        "What the figures mean",
        points([
            "A request is cold when its first token comes later than objective.wait.",
            "The oracle knows all arrivals beforehand, has no cold starts and packs requests into slots without a gap; "
            "each replica it needs is paid on demand or always on, whichever is cheaper.",
            "Always on: as many replicas as the busiest moment needs, all the time, at the dedicated price.",
            "Dominated: another choice costs no more, has no more cold requests, and its slowest are no slower.",
        ]),
    )  # fmt: skip
