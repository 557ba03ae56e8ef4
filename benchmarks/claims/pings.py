"""Pings that keep an endpoint of somebody else from going cold."""

from collections.abc import Iterator

import msgspec
from claim import REFINED, REFUTED, Claim
from worlds import config, percent, run, steady

from pilotlight.sim.result import Result
from pilotlight.spec.model import Burst, Config, KeepWarm, Provider, Rates

IDLE, EVERY = 360.0, 300.0
"""Seconds: after which the endpoint goes cold (5 to 7 minutes are published), and between two pings."""

COLD, WARM, SECOND = 8.0, 0.3, 0.0007
"""Seconds to its first token, and USD for a second of it."""

A_DAY, DAYS = 40, 14
FAR = 86_400.0
"""Seconds of a start of one's own: so long that everything goes to the endpoint."""


def claims() -> Iterator[Claim]:
    trace = steady(A_DAY / 86_400, DAYS * 86_400.0, 120, 5)
    bare, pinged = (run(trace, endpoint(keep), FAR) for keep in (None, KeepWarm("model-1", every=EVERY)))
    yield Claim(
        "keep-warm pings",
        "one every 5 minutes against an idle limit of 5-7 minutes: no cold starts",
        "article",
        f"{A_DAY} requests a day to an endpoint that goes cold after {IDLE / 60:g} minutes: {said(bare)} without, "
        f"{said(pinged)} with pings, which are billed like requests. One ping keeps one instance; it takes N at once "
        "for N, and a second request at the same time still finds the next one cold.",
        REFINED if (pinged.cold_rate or 0.0) < 0.1 * (bare.cold_rate or 0.0) else REFUTED,
        "simulated",
    )


def said(r: Result) -> str:
    return f"{percent(r.cold_rate)} cold, ${r.cost_usd:.2f}"


def endpoint(keep: KeepWarm | None) -> Config:
    plain = config(ttl=0.0, base=0, burst=Burst("elsewhere"))
    provider = Provider(
        "https://elsewhere.example/v1", price=Rates(second_usd=SECOND), first_token=WARM, cold_start=COLD,
        idle_timeout=IDLE, keep_warm=keep, max_output_tokens=1000,
    )  # fmt: skip
    return msgspec.structs.replace(plain, providers={"elsewhere": provider})
