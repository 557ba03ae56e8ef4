"""What is measured on this machine: llama.cpp behind the whole server, weights of 1B parameters in the page cache."""

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from claim import REFINED, REFUTED, REPRODUCED, Claim

RUNS = 5
MODEL = "demo://1b"


def claims(pilotlight: str) -> Iterator[Claim]:
    yield from judged(bench(pilotlight))


def judged(rows: Mapping[str, Mapping[str, Any]]) -> Iterator[Claim]:
    cold, warm = least(rows, "plain"), stage(rows, "plain", "first_token")
    yield Claim(
        "persistent workers",
        "5 s -> 50 ms",
        "article",
        f"llama.cpp, 1B: {cold:.2f} s cold, of which {warm:.2f} s are the first token itself: "
        f"{cold / warm:.1f} x. 100 x wants a GPU's start and a GPU's first token.",
        REFINED,
        f"measured, fastest of {RUNS}",
    )
    ready = sum(stage(rows, "plain", s) for s in ("spawn", "import", "load"))
    woken = stage(rows, "sleep", "wake")
    yield Claim(
        "sleep mode",
        "18-200 x faster than a reload",
        "engine's blog",
        f"llama.cpp, weights in the page cache: {ready:.2f} s to ready for a start, {woken:.2f} s for a wake, "
        f"{ready / woken:.1f} x: a mapped model has little to reload. For engines that copy to a "
        "GPU, of which the claim is: not tested.",
        REFINED if ready / woken < 18 else REPRODUCED,
        "measured, llama.cpp only",
    )
    yield snapshot(rows)


def snapshot(rows: Mapping[str, Mapping[str, Any]]) -> Claim:
    plain = stage(rows, "plain", "spawn") + stage(rows, "plain", "import")
    fork = stage(rows, "zygote", "fork")
    off, whole = 1 - fork / plain, 1 - least(rows, "zygote") / least(rows, "plain")
    return Claim(
        "snapshot of the initialised process",
        "SnapStart, 93-95 % off: 6.5 s -> 415 ms; hooks close and reopen connections",
        "vendor",
        f"A zygote: process and imports {1000 * plain:.0f} ms, a fork {1000 * fork:.0f} ms: {100 * off:.0f} % off "
        f"these, {100 * whole:.0f} % off the first token of a 1B, most of which is load. vLLM on a CPU, 10M, the "
        "whole start: 6.3 -> 0.51 s, 92 % ([performance](performance.md), 2026-11-22). It is no SnapStart: no image "
        "on a disk but a live process, on this host alone, which costs its memory and has no model; hooks "
        "(`before_snapshot`, `after_restore`) it has too.",
        REFINED if off > 0 else REFUTED,
        f"measured; first token fastest of {RUNS}",
    )


def bench(pilotlight: str) -> dict[str, dict[str, Any]]:
    command = [pilotlight, "bench", "cold-start", MODEL, "--with", "zygote,sleep"]
    command += ["--runs", str(RUNS), "--json"]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=sys.stderr, text=True).stdout
    return {row["technique"]: row for row in json.loads(out)["results"]}


def median(rows: Mapping[str, Mapping[str, Any]], technique: str) -> float:
    return statistics.median(rows[technique]["ttft_s"])


def least(rows: Mapping[str, Mapping[str, Any]], technique: str) -> float:
    """What other work on the machine disturbed least."""
    return min(rows[technique]["ttft_s"])


def stage(rows: Mapping[str, Mapping[str, Any]], technique: str, name: str) -> float:
    """Median seconds."""
    return float(rows[technique]["stages"][name])
