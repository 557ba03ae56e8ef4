"""The hosts of a pool that is tried: like the operator's, as many as have so many GPUs."""

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from pilotlight.spec.simulation import MOST_GPUS, MOST_HOSTS, HostKind

PARKED = 4
"""Models awake on a GPU of a pool at most [G]: a quarter of it each."""


class Tried(msgspec.Struct, frozen=True):
    written: Any
    """`simulation.hosts`, as a config has it."""
    gpus: int
    on: str = ""
    """Which hosts, in words after a number of GPUs."""


def tried(written: Any, kinds: Sequence[HostKind], gpus: int) -> Tried | None:
    """`written`: the operator's, which says `kinds`; None where there is no pool. Of a list it is the kind with the
    most GPU memory that is had more or less often, hosts without GPUs stay as they are, and None is answered where
    none has a GPU."""
    if not isinstance(written, list):
        return Tried({**(written or {"models_per_gpu": PARKED}), "gpus": gpus}, gpus)
    i = max(range(len(kinds)), key=lambda i: kinds[i].gpus * kinds[i].gpu_memory)
    each = kinds[i].gpus
    if not each:
        return None
    most = min(MOST_HOSTS - sum(k.count for k in kinds if not k.gpus), MOST_GPUS // each)
    n = min(math.ceil(gpus / each), most)
    hosts = [{**w, "count": n} if k is kinds[i] else w for w, k in zip(written, kinds, strict=True)]
    kept = [w for w, k in zip(hosts, kinds, strict=True) if k is kinds[i] or not k.gpus]
    return Tried(kept, n * each, f" on {n:,} host{'s' if n > 1 else ''} of the kind {kinds[i].name}")
