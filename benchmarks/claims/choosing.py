"""Which tier for which traffic: the published rule of thumb beside what `pilotlight advise` finds by simulation."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from claim import REFINED, REPRODUCED, Claim

CASES = {
    "steady, 300/h": (
        ("managed", "dedicated"),
        ("--rate", "300/h", "--days", "3"),
    ),
    "1/h with 50 in 15 minutes a day, somebody waits": (
        ("serverless",),
        ("--rate", "1/h", "--burst", "50@15m/d", "--days", "7"),
    ),
    "the same as a batch": (
        ("serverless",),
        ("--rate", "1/h", "--burst", "50@15m/d", "--days", "7", "--latency", "batch"),
    ),
    "20/h with 5,000 in 15 minutes a day": (
        ("hybrid",),
        ("--rate", "20/h", "--burst", "5000@15m/d", "--days", "3"),
    ),
    "a program that calls a model elsewhere, 20/h with 500 in 15 minutes a day": (
        ("function", "container"),
        ("--rate", "20/h", "--burst", "500@15m/d", "--days", "3", "--inference", "remote"),
    ),
}
"""Traffic, the tiers that the rule names for it, and how it is asked about."""


def claims(pilotlight: str) -> Iterator[Claim]:
    yield judged({name: (tiers, advised(pilotlight, words)) for name, (tiers, words) in CASES.items()})


def judged(found: Mapping[str, tuple[tuple[str, ...], Mapping[str, Any]]]) -> Claim:
    agrees = [any(t in best(a)["tier"] for t in tiers) for tiers, a in found.values()]
    lines = [
        f"{name}: {best(a)['tier']}, ${best(a)['month_usd']:,.0f} a month" for name, (_, a) in found.items()
    ]
    return Claim(
        "tier by traffic",
        "spiky: functions or container autoscaling; steady: managed or dedicated; near zero with bursts: serverless "
        "GPU; waiting users: minimum instances or snapshots; batch: cold starts do not matter; critical on persistent "
        "capacity, spikes on serverless",
        "article",
        f"`pilotlight advise`, starts of 40 s on GPUs, at most 5 % cold: {'; '.join(lines)}. "
        f"The rule's tier in {sum(agrees)} of {len(agrees)}.",
        REPRODUCED if all(agrees) else REFINED,
        "simulated",
    )


def advised(pilotlight: str, words: tuple[str, ...]) -> Mapping[str, Any]:
    start = () if "remote" in words else ("--start-time", "40s")
    command = [pilotlight, "advise", *words, *start, "--json"]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=sys.stderr, text=True).stdout
    return json.loads(out)[0]


def best(advice: Mapping[str, Any]) -> Mapping[str, Any]:
    return next(c for c in advice["candidates"] if c["id"] == advice["recommended"])
