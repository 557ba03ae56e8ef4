"""What a cold start for each request wastes."""

from collections.abc import Iterator

import numpy as np
from claim import REFUTED, REPRODUCED, Claim
from worlds import on_demand, run

from pilotlight.sim.trace import Trace

WORK, START, GAP = 5.0, 30.0, 600.0
"""Seconds: of a request on a warm replica, of a start, between two requests."""


def claims() -> Iterator[Claim]:
    n = 1000
    config = on_demand(0.0)
    given = config.simulation
    tokens = round((WORK - given.first_token) / given.per_token)
    t = np.arange(n, dtype=np.float64) * GAP
    zeros, most = np.zeros(n, np.int32), np.full(n, tokens, np.int32)
    result = run(Trace("alone", ["model-1"], t, zeros, zeros, most), config, START)
    each = result.replica_hours * 3600 / result.evaluated
    waste = 1 - WORK / each
    yield Claim(
        "a cold start for each request",
        "inference of 5 s with a 30 s cold start wastes 85 % of the metered seconds",
        "article",
        f"{each:.1f} replica-seconds for {WORK:g} s of work: {100 * waste:.1f} % wasted; "
        f"by hand 30 / 35 = {100 * START / (START + WORK):.1f} %. Any keep-alive that is billed adds to it.",
        REPRODUCED if abs(waste - START / (START + WORK)) < 0.01 else REFUTED,
        "simulated",
    )
