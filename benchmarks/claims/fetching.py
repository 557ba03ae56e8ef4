"""A start that has to fetch its weights, by benchmarks/stream_load.py in small."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from claim import REFINED, REFUTED, Claim
from live import median, stage

RUNS = 5
MODEL, SECONDS = "50m", 0.5
"""And what its download takes."""
SCRIPT = Path(__file__).parents[1] / "stream_load.py"


def claims(pilotlight: str) -> Iterator[Claim]:
    yield from judged(measured(pilotlight))


def judged(rows: Mapping[str, Mapping[str, Any]]) -> Iterator[Claim]:
    plain, stream, fetch = median(rows, "plain"), median(rows, "stream"), stage(rows, "plain", "fetch")
    cached = sum(stage(rows, "plain", s) for s in ("spawn", "import", "load", "first_token"))
    yield Claim(
        "overlap and parallel fetch",
        "1.7-4.7 x",
        "paper",
        f"{MODEL.upper()}, a download of {SECONDS:g} s, first token: {plain:.2f} s plain, {stream:.2f} s loading "
        f"while the weights arrive: {plain / stream:.1f} x; longer downloads gain less "
        "([performance](performance.md)). Overlap of two stages makes 2 x at most. More takes several connections or "
        "hosts to fetch from; pilotlight has one connection.",
        REFINED if plain > stream else REFUTED,
        "measured",
    )
    off = 1 - cached / plain
    yield Claim(
        "container-level model cache",
        "30-50 % off loading",
        "article",
        f"The same runs: fetching takes {fetch:.2f} s of the plain {plain:.2f}; the stages without it add up to "
        f"{cached:.2f} s, {100 * off:.0f} % off. How much it is follows from the download: 30-50 % is what comes off "
        "where that takes 0.4 to 1 times as long as all the rest.",
        REFINED if off > 0 else REFUTED,
        "measured and computed",
    )


def measured(pilotlight: str) -> dict[str, dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        into = Path(folder) / "found.json"
        command = [sys.executable, str(SCRIPT), "--pilotlight", pilotlight, "--runs", str(RUNS)]
        command += ["--model", MODEL, "--seconds", str(SECONDS), "--with", "stream", "--json", str(into)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        found = json.loads(into.read_text())
    return {row["technique"]: row for row in found[f"{MODEL} {SECONDS:g} s"]["results"]}
