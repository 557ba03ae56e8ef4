"""Starts of llama.cpp in small, interleaved: what mapping, half the bytes and the context make of them."""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import f16
import guest
import msgspec
from claim import REFINED, REFUTED, REPRODUCED, Claim

from pilotlight.weights.cache import WeightCache

ROUNDS = 5
MODEL = "demo://1b"
CONTEXT, LONG, SLOTS = 2048, 8192, 4
"""Tokens of one slot; of each of SLOTS in the long case."""
KEYS_AND_VALUES = 32 * 1024
"""Bytes of a token's, of the 1B: 16 layers, 8 heads of 64, both, in half precision."""
COPIED = {"load_mode": "none"}
GIB = 2**30
HOW = f"measured, fastest of {ROUNDS}"


class Case(msgspec.Struct, frozen=True):
    weights: Path
    n_ctx: int = CONTEXT
    slots: int = 1
    args: Mapping[str, str] = {}


class Found(msgspec.Struct, frozen=True):
    """The least of each: what other work on the machine disturbed least."""

    runtime: float
    load: float
    first: float
    token: float
    cold: float


def claims(cache: Path) -> Iterator[Claim]:
    q8 = WeightCache(cache).fetch(MODEL)
    with tempfile.TemporaryDirectory(prefix="pilotlight-claims-") as folder:
        wide = Path(folder) / "f16.gguf"
        f16.write(q8, wide)
        share = q8.stat().st_size / wide.stat().st_size
        found = measured(
            {
                "mapped": Case(q8),
                "copied": Case(q8, args=COPIED),
                "wide": Case(wide, args=COPIED),
                "wide mapped": Case(wide),
                "long": Case(q8, LONG, SLOTS),
            }
        )
    yield whole(found["mapped"])
    yield runtime(found["mapped"])
    yield mapping(found["mapped"], found["copied"])
    yield int8(found, share)
    yield context(found["mapped"], found["long"])


def measured(cases: Mapping[str, Case], rounds: int | None = None) -> dict[str, Found]:
    """One start of each before it counts, so that what is read is in the page cache."""
    runs: dict[str, list[guest.Run]] = {name: [] for name in cases}
    for turn in range((ROUNDS if rounds is None else rounds) + 1):
        order = list(cases.items())
        for name, c in order if turn % 2 else reversed(order):
            run = guest.start(c.weights, {"n_ctx": c.n_ctx, **c.args}, c.slots)
            if turn:
                runs[name].append(run)
    columns = Found.__struct_fields__
    return {name: Found(*(min(getattr(r, c) for r in of) for c in columns)) for name, of in runs.items()}


def whole(mapped: Found) -> Claim:
    times = mapped.cold / mapped.token
    return Claim(
        "whole cold start",
        "2-8 s (providers, 7B), > 40 s from zero; a warm token ~30 ms: about 1,000 x",
        "article",
        f"By the claim's own numbers 2-8 s are {2 / 0.03:.0f} to {8 / 0.03:.0f} x 30 ms, and 40 s {40 / 0.03:,.0f} "
        f"x: 1,000 x is of a scale from zero only. llama.cpp, 1B, weights in the page cache: {mapped.cold:.2f} s "
        f"cold, {1000 * mapped.token:.0f} ms a warm token: {times:.0f} x. A 7B on a GPU: not tested.",
        REFINED,
        f"computed; {HOW}",
    )


def runtime(mapped: Found) -> Claim:
    return Claim(
        "runtime initialisation",
        "imports, CUDA context, framework: 1-2 s for small, 5-15 s with a GPU",
        "article",
        f"llama.cpp, process and imports: {mapped.runtime:.2f} s of {mapped.cold:.2f}. vLLM on a CPU, a whole "
        "plain start: 6.3 s ([performance](performance.md), 2026-11-22). A GPU's context and kernels: not tested.",
        REFINED,
        HOW,
    )


def mapping(mapped: Found, copied: Found) -> Claim:
    off = 1 - mapped.cold / copied.cold
    return Claim(
        "memory-mapped formats",
        "up to 40 % off start-up",
        "article",
        f"1B, to the first token {mapped.cold:.2f} s mapped, {copied.cold:.2f} s copied: {100 * off:.0f} % off; of "
        f"the load alone {100 * (1 - mapped.load / copied.load):.0f} %.",
        REPRODUCED if 0.2 < off <= 0.45 else REFINED if off > 0 else REFUTED,
        HOW,
    )


def int8(found: Mapping[str, Found], share: float) -> Claim:
    narrow, wide = found["copied"], found["wide"]
    saved = 1 - narrow.load / wide.load
    return Claim(
        "INT8 weights",
        "half the bytes, about 1 s saved for 7B",
        "article",
        f"1B as q8_0 and as f16: {100 * share:.0f} % of the bytes. Load {narrow.load:.2f} against {wide.load:.2f} s "
        f"copied from the page cache, {found['mapped'].load:.2f} against {found['wide mapped'].load:.2f} s mapped, "
        "as no bytes are moved then. 7 GB fewer in 1 s are 7 GB/s: from a link of 10 Gbit/s they are 5.6 s. "
        "A 7B on a GPU: not tested.",
        REFINED if share < 0.6 and saved > 0 else REFUTED,
        f"{HOW}; computed",
    )


def context(short: Found, long: Found) -> Claim:
    few, many = CONTEXT * KEYS_AND_VALUES / GIB, LONG * SLOTS * KEYS_AND_VALUES / GIB
    each = (long.load - short.load) / (many - few)
    return Claim(
        "KV-cache allocation",
        "0.5-2 s, grows with the context window",
        "article",
        f"1B, load with {CONTEXT:,} tokens ({few:.2g} GiB of keys and values) {short.load:.2f} s, with "
        f"{LONG * SLOTS:,} ({many:.2g} GiB) {long.load:.2f} s: {each:.2g} s a GiB on this CPU. It grows with the "
        f"context of all slots together; 0.5-2 s are {0.5 / each:.1f} to {2 / each:.1f} GiB here. GPUs: not tested.",
        REFINED if each > 0 else REFUTED,
        HOW,
    )
