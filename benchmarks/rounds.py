"""Rounds of measurements, what is made of them, and how they are reported."""

import json
import math
import os
import platform
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness import CORES

NOISE = 0.15  # a round is dropped when "direct" is further than this from its best


def quantile(values: Iterable[float], q: float) -> float:
    """The nearest-rank quantile: with 32 values, p99 is the largest."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(q * len(ordered)) - 1)]


# ---- rounds --------------------------------------------------------------------------------------


def quiet_rounds(direct: Sequence[float]) -> list[int]:
    """The indices of the rounds in which "direct" (lower is better) was within NOISE of its best."""
    best = min(direct)
    return [i for i, value in enumerate(direct) if value <= best * (1 + NOISE)]


def order_of_round(names: Sequence[str], number: int) -> list[str]:
    """The order of round `number`: rotated by one each time, and every second one backwards."""
    turn = (number // 2) % len(names)
    rotated = [*names[turn:], *names[:turn]]
    return rotated[::-1] if number % 2 else rotated


@dataclass
class Rounds:
    """Rows of measurements, one per target and round."""

    rows: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    direct: list[float] = field(default_factory=list)

    def add(self, name: str, row: dict[str, float]) -> None:
        self.rows.setdefault(name, []).append(row)

    def kept(self) -> list[int]:
        return quiet_rounds(self.direct)

    def median(self, name: str, column: str) -> float:
        return statistics.median(self.rows[name][i][column] for i in self.kept())

    def ratio(self, name: str, column: str, base: str = "nginx") -> float | None:
        if base not in self.rows:
            return None
        pairs = [(self.rows[name][i][column], self.rows[base][i][column]) for i in self.kept()]
        return statistics.median(value / of for value, of in pairs if of)

    def difference(self, name: str, column: str, base: str) -> float | None:
        if base not in self.rows:
            return None
        return statistics.median(self.rows[name][i][column] - self.rows[base][i][column] for i in self.kept())


def run_rounds(
    names: Sequence[str], count: int, measure: Callable[[str], dict[str, float]], direct_column: str
) -> Rounds:
    """`count` rounds of `measure(name)` over all names; "direct" must be among them."""
    rounds = Rounds()
    for number in range(count):
        for name in order_of_round(names, number):
            row = measure(name)
            rounds.add(name, row)
            if name == "direct":
                rounds.direct.append(row[direct_column])
        print(f"round {number + 1} of {count} done", file=sys.stderr)
    return rounds


# ---- reports -------------------------------------------------------------------------------------


def machine() -> dict[str, str]:
    """The machine and the day, without its name or any path of it."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*: (.*)$", cpuinfo, re.MULTILINE)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return {
        "date": time.strftime("%Y-%m-%d"),
        "cpu": model.group(1).strip() if model else platform.machine(),
        "cores": str(len(CORES)),
        "memory": f"{memory:.0f} GiB",
        "kernel": re.match(r"[\d.]*\d", platform.release()).group(0),  # type: ignore[union-attr]
        "python": platform.python_version(),
    }


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; numbers to three figures, None as a dash."""

    def show(cell: object) -> str:
        if cell is None:
            return "-"
        if isinstance(cell, float):
            return f"{cell:,.0f}" if abs(cell) >= 100 else f"{cell:.3g}"
        return str(cell)

    lines = [[show(cell) for cell in row] for row in rows]
    widths = [max(len(line[i]) for line in [list(head), *lines]) for i in range(len(head))]
    padded = [[cell.ljust(w) for cell, w in zip(line, widths, strict=True)] for line in [list(head), *lines]]
    text = [f"| {' | '.join(line)} |" for line in padded]
    return "\n".join([text[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *text[1:]])


def report(name: str, figures: dict[str, object], text: str, json_path: str | None) -> None:
    """Prints the machine and the table, and writes all figures as JSON where `--json PATH` said."""
    about = machine()
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    print()
    print(text)
    if json_path:
        everything = {"benchmark": name, "machine": about, **figures}
        Path(json_path).write_text(json.dumps(everything, indent=1) + "\n")
