"""The hybrid example: a base for 12 requests a minute, peaks of 2,000 at once."""

from collections.abc import Iterator, Sequence

import msgspec
from claim import REFINED, REFUTED, REPRODUCED, Claim
from worlds import STARTS, config, joined, percent, run, spike

from pilotlight.fleet.declared import MONTH
from pilotlight.sim import traffic
from pilotlight.sim.result import Result
from pilotlight.sim.trace import Trace
from pilotlight.spec.model import Burst, Config, Provider, Rates

TOKENS, PEAK = 120, 2000
CLAIMED, NEAR = 0.09, 1.5
"""Seconds on average, and how many times as long or as short still is about that."""
HOURS, AT, LASTS, RAMP = 24.0, 15 * 3600.0, 300.0, 60.0


def claims() -> Iterator[Claim]:
    trace = example()
    persistent = config(ttl=0.0, base=PEAK // 8)
    hybrids = {
        f"base 1, own burst, {start:g} s starts": run(trace, config(base=1), start) for start in STARTS
    }
    hybrids["base 1, burst to a provider"] = run(trace, to_provider(), STARTS[1])
    always = run(trace, persistent, STARTS[1])
    lines = [line(name, r, always) for name, r in hybrids.items()]
    quiet = run(everyday(), config(base=1), STARTS[0])
    yield Claim(
        "hybrid: cost",
        "40 % cheaper than persistent capacity for the peak",
        "article",
        f"Peaks of {LASTS / 60:g} minutes a day: "
        + "; ".join(lines)
        + ". With capacity billed by the second the "
        f"saving follows from how long peaks last: 1 - premium x duty. 40 % is what is left where the peak is "
        f"there for {100 * 0.6 / 2.5:.0f} % of the time.",
        REFINED,
        "simulated",
    )
    yield Claim(
        "hybrid: cold rate",
        "0 % cold normally, about 15 % in viral spikes",
        "article",
        "in the spike, and in the rest of the day: "
        + "; ".join(
            f"{name}: {percent(cold(r, True))} and {percent(cold(r, False))}" for name, r in hybrids.items()
        )
        + ". How many are cold in a spike is how long starts take over how long it lasts.",
        REFINED,
        "simulated",
    )
    yield Claim(
        "hybrid: latency",
        "90 ms on average",
        "article",
        "average, and p50 / p99, to the first token: "
        + "; ".join(
            f"{name}: {r.ttft_mean:.3f} s, {r.ttft_p50:.2g} / {r.ttft_p99:.2g} s"
            for name, r in hybrids.items()
        )
        + f". Without the spike, 5 s starts: {quiet.ttft_mean:.3f} s. The average holds, about, where starts are short "
        "and few requests of the spike are cold; with 15 % of them cold it does not: each waits 2 s or more, which is "
        "300 ms at least on average in the spike.",
        verdict([r.ttft_mean or 0.0 for r in hybrids.values()]),
        "simulated and computed",
    )


def verdict(means: Sequence[float]) -> str:
    """Of seconds to the first token on average, each with starts of another length, or with a provider."""
    near = [CLAIMED / NEAR <= mean <= CLAIMED * NEAR for mean in means]
    return REPRODUCED if all(near) else REFINED if any(near) else REFUTED


def everyday() -> Trace:
    return traffic.poisson(12 / 60, HOURS * 3600, name="base")


def example() -> Trace:
    service = 0.05 + 0.03 * TOKENS
    return joined("hybrid", [everyday(), spike(AT, RAMP, LASTS, PEAK / service, TOKENS, 1)])


def cold(r: Result, inside: bool) -> float:
    """Share of cold requests in the pieces of the day that the spike touches, or in all others."""
    pieces = [
        (n, cold)
        for i, (n, cold) in enumerate(zip(r.series.requests, r.series.cold, strict=True))
        if inside == (AT - r.series.seconds <= i * r.series.seconds <= AT + LASTS + 2 * RAMP)
    ]
    return sum(cold for _, cold in pieces) / max(1, sum(n for n, _ in pieces))


def to_provider() -> Config:
    """Priced as serverless GPUs are: the premium, shared by the slots of a replica."""
    plain = config(base=1, burst=Burst("elsewhere"))
    second = plain.prices.gpu_month_usd / MONTH * plain.prices.serverless_premium / 8
    provider = Provider(
        "https://elsewhere.example/v1", price=Rates(second_usd=second), max_requests=PEAK, first_token=0.3,
        cold_start=5.0,
    )  # fmt: skip
    return msgspec.structs.replace(plain, providers={"elsewhere": provider})


def line(name: str, r: Result, always: Result) -> str:
    less = 1 - r.cost_usd / always.cost_usd
    return f"{name}: ${r.cost_usd:,.0f} against ${always.cost_usd:,.0f}, {100 * less:.0f} % less"
