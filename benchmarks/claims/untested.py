"""Claims that cannot be tried here, and why."""

from collections.abc import Iterator

from claim import NOT_HERE, Claim

NO_GPU = "needs a GPU"
NOT_BUILT = "pilotlight has nothing of the kind yet"

ROWS = (
    ("GPU memory snapshots", "vLLM 45 s -> 5 s; 2-4 s with warm pools", "vendor", NO_GPU),
    ("snapshot of the initialised process", "93-95 % off: 6.5 s -> 415 ms", "vendor", NOT_BUILT),
    ("INT8 weights", "half the bytes, about 1 s saved for 7B", "article", f"{NOT_BUILT}, and 7B {NO_GPU}"),
    (
        "container-level model cache",
        "30-50 % off loading",
        "article",
        "depends on the store; needs one in a cloud",
    ),
    ("scale-to-zero GPU containers", "driver ready < 5 s, first token ~19 s for 4B", "vendor", NO_GPU),
    (
        "multi-tier loading, start-aware placement",
        "10-200x lower latency",
        "paper",
        "needs a cluster of GPU hosts",
    ),
    (
        "overlap and parallel fetch",
        "1.7-4.7x",
        "paper",
        "measured apart: benchmarks/stream_load.py, in [performance](performance.md)",
    ),
    (
        "managed instances",
        "no cold starts, tens of seconds to add capacity, 15 % fee",
        "vendor",
        "needs the vendor's fleet",
    ),
    ("SDK clients at module scope", "once per container in place of per invocation", "article", NOT_BUILT),
)


def claims() -> Iterator[Claim]:
    for subject, claimed, source, why in ROWS:
        yield Claim(subject, claimed, source, "-", NOT_HERE, why)
