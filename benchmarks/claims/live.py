"""What is measured on this machine: llama.cpp behind the whole server, weights of 1B parameters in the page cache."""

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from claim import REFINED, REFUTED, REPRODUCED, Claim

RUNS = 5
CONFIG = """\
models:
  mapped: {source: "demo://1b"}
  copied: {source: "demo://1b", engine_args: {load_mode: none}}
"""


def claims(pilotlight: str) -> Iterator[Claim]:
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "pilotlight.yaml"
        config.write_text(CONFIG)
        found = {name: bench(pilotlight, name, config) for name in ("mapped", "copied")}
    mapped = found["mapped"]
    cold, warm = median(mapped, "plain"), stage(mapped, "plain", "first_token")
    yield Claim(
        "persistent workers",
        "5 s -> 50 ms",
        "article",
        f"llama.cpp, 1B, 2 cores: {cold:.2f} s cold, of which {warm:.2f} s are the first token itself: "
        f"{cold / warm:.1f} x. 100 x wants a GPU's start and a GPU's first token.",
        REFINED,
        "measured",
    )
    ready, woken = cold - warm, median(mapped, "sleep") - stage(mapped, "sleep", "first_token")
    yield Claim(
        "sleep mode",
        "18-200 x faster than a reload",
        "engine's blog",
        f"llama.cpp, weights in the page cache: {ready:.2f} s to ready for a start, {woken:.2f} s for a wake, "
        f"{ready / woken:.1f} x: a mapped model loads as fast as it wakes. For engines that copy to a GPU: not tested.",
        REFUTED if ready / woken < 18 else REPRODUCED,
        "measured, llama.cpp only",
    )
    copied = median(found["copied"], "plain")
    off = 1 - cold / copied
    yield Claim(
        "memory-mapped formats",
        "up to 40 % off start-up",
        "article",
        f"first token after {cold:.2f} s mapped, {copied:.2f} s copied: {100 * off:.0f} % off.",
        REPRODUCED if 0.2 < off <= 0.45 else REFINED,
        "measured",
    )


def bench(pilotlight: str, name: str, config: Path) -> dict[str, dict[str, object]]:
    command = [
        pilotlight,
        "bench",
        "cold-start",
        name,
        "--config",
        str(config),
        "--runs",
        str(RUNS),
        "--json",
    ]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=sys.stderr, text=True).stdout
    return {row["technique"]: row for row in json.loads(out)["results"]}


def median(rows: dict[str, dict[str, object]], technique: str) -> float:
    return statistics.median(rows[technique]["ttft_s"])  # type: ignore[arg-type]


def stage(rows: dict[str, dict[str, object]], technique: str, name: str) -> float:
    return float(rows[technique]["stages"][name])  # type: ignore[index,call-overload]
