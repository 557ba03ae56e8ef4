"""The figures as Markdown."""

from collections.abc import Sequence

from goals import ALWAYS, BEST, DEFAULT, POOL, STAYS, TEN, Verdict, counted, has_windows
from rows import Cell, Row
from speed import Speed, interpreter

Piece = tuple[str, Sequence[Row]]
"""Its name, and what came of it with each start time."""

HEAD = (
    "policy", "cold %", "worst model %", "p50 s", "p99 s", "cost / oracle", "GPU h / oracle", "windows above %",
    "in band %", "requests/s",
)  # fmt: skip

SHORT_HEAD = (
    DEFAULT,
    POOL,
    BEST,
    "keep-alive 1 min",
    TEN,
    "Knative",
    "histogram",
    "one warmer",
    STAYS,
    ALWAYS,
)
"""The policies of the short table, by how their names begin."""

BURST = "burst"
"""Of the defaults with one thing changed, the one that can do most about windows."""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cells_of(row: Row) -> list[str]:
    return [
        row.policy,
        percent(row.cold),
        percent(row.worst),
        f"{row.p50:.2f}",
        f"{row.p99:.1f}",
        f"{row.over_oracle:.2f}",
        f"{row.gpu_over_oracle:.2f}",
        "-" if row.above is None else percent(row.above),
        "-" if row.in_band is None else percent(row.in_band),
        "-" if row.requests_per_s is None else f"{row.requests_per_s:,.0f}",
    ]


def percent(part: float) -> str:
    return f"{100 * part:.1f}"


def about(cell: Cell) -> str:
    return (
        f"{cell.requests:,} requests of {cell.models} model{'s' if cell.models != 1 else ''} in {cell.hours:,.1f} h; "
        f"the oracle pays ${cell.oracle_usd:,.2f}."
    )


def long(cell: Cell) -> str:
    return f"{cell.title}: {about(cell)}\n\n{table(HEAD, [cells_of(row) for row in cell.rows])}\n"


def verdicts(found: Sequence[Verdict]) -> str:
    rows = [[v.trace, f"{v.start:g} s", v.goal, v.value, v.target, v.floor, v.verdict] for v in found]
    head = ("trace", "start", "goal", "measured", "target", "floor", "")
    return f"{counted(found)}.\n\n{table(head, rows)}\n"


def short(cells: Sequence[Cell]) -> str:
    """Cold % / cost over the oracle's, one line for each trace and start time."""
    rows = [
        [cell.trace, f"{cell.start:g} s", *(_both(cell, begin) for begin in SHORT_HEAD)] for cell in cells
    ]
    return f"{table(('trace', 'start', *SHORT_HEAD), rows)}\n"


def _of(cell: Cell, begin: str) -> Row | None:
    return cell.row(begin) or next(
        (r for r in cell.rows if r.policy.startswith(begin) and begin != DEFAULT), None
    )


def _both(cell: Cell, begin: str) -> str:
    row = _of(cell, begin)
    return "-" if row is None else f"{percent(row.cold)} / {row.over_oracle:.2f}"


def windows(cells: Sequence[Cell]) -> str:
    """Share of the windows above the band / cost over the oracle's, of traces that have enough of them."""
    names = [name for name in SHORT_HEAD if name != POOL]
    if any(cell.variants for cell in cells):
        names.insert(1, BURST)
    rows = [
        [cell.trace, f"{cell.start:g} s", *(_windows(cell, begin) for begin in names)]
        for cell in cells
        if has_windows(cell)
    ]
    return f"{WINDOWS}:\n\n{table(('trace', 'start', *names), rows)}\n" if rows else ""


def _windows(cell: Cell, begin: str) -> str:
    row = _of(cell, begin) or next((r for r in cell.variants if r.policy == begin), None)
    return "-" if row is None or row.above is None else f"{percent(row.above)} / {row.over_oracle:.2f}"


def varied(cells: Sequence[Cell]) -> str:
    """Cold % (of the worst model) / cost over the oracle's of the defaults with one thing changed."""
    rows = [
        [cell.trace, f"{cell.start:g} s", *(f"{percent(r.cold)} ({100 * r.worst:.0f}) / {r.over_oracle:.2f}"
        for r in cell.variants)]
        for cell in cells
    ]  # fmt: skip
    names = [f"`{r.policy}`" if ":" in r.policy else r.policy for r in cells[0].variants] if cells else []
    return f"{table(('trace', 'start', *names), rows)}\n" if names else ""


def speeds(found: Sequence[Speed]) -> str:
    rows = [
        [s.trace, f"{s.start:g} s", f"{s.requests:,}", f"{s.ours:,.0f}", f"{s.bare:,.0f}", f"{s.ratio:.1f}"]
        for s in found
    ]
    head = (
        "trace",
        "start",
        "requests",
        "default policies, requests/s",
        "bare heapq loop, requests/s",
        "ratio",
    )
    return f"{table(head, rows)}\n" if rows else ""


def pieces(starts: Sequence[float], found: Sequence[Piece]) -> str:
    """One line for each, three columns for each start time."""
    if not found:
        return ""
    head = [
        "piece",
        *(f"{what}, {s:g} s" for s in starts for what in ("cold %", "cost / oracle", "windows above %")),
    ]
    rows = [[name, *(cell for row in of for cell in _one_piece(row))] for name, of in found]
    return f"{PIECES}:\n\n{table(head, rows)}\n"


def _one_piece(row: Row) -> list[str]:
    above = "-" if row.above is None else f"{percent(row.above)} of {row.windows}"
    return [percent(row.cold), f"{row.over_oracle:.2f}", above]


def summary(
    cells: Sequence[Cell],
    found: Sequence[Verdict],
    fast: Sequence[Speed],
    where: str,
    parts: Sequence[Piece] = (),
) -> str:
    """`where`: the machine and the date. `parts`: the default policies on pieces of the traces."""
    changed = varied(cells)
    starts = list(dict.fromkeys(cell.start for cell in cells))
    text = [
        f"**Machine and date:** {where}.\n" if where else "",
        f"Against the goals: {verdicts(found)}",
        f"Every cell is cold % / cost over the oracle's dollars:\n\n{short(cells)}",
        windows(cells),
        f"{VARIED}\n\n{changed}" if changed else "",
        pieces(starts, parts),
        f"{LOOP} ({interpreter()}):\n\n{speeds(fast)}" if fast else "",
    ]
    return "\n".join(part for part in text if part)


WINDOWS = "Windows of 1,000 requests with more than 5 % cold, % / cost over the oracle's dollars"

LOOP = "The loop, in CPU time, the fastest of three rounds in turns"

PIECES = "The default policies on pieces of the traces, each by itself"

VARIED = (
    "The defaults with one thing changed: cold % (that of the worst model) / cost over the oracle's dollars:"
)

BEGIN, END = "<!-- benchmarks/policies writes from here -->", "<!-- to here -->"


def put_into(page: str, text: str) -> str:
    """The page with the text between its two marks. Raises ValueError where it has none."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"it has no line {BEGIN}, followed by one {END}")
    return f"{before}{BEGIN}\n\n{text}\n{END}{after}"
