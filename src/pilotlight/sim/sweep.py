"""What the values of a sweep come to: which are dominated, and which one to take."""

from collections.abc import Callable, Iterator

import msgspec

from pilotlight.fleet.declared import goal
from pilotlight.sim.result import Result
from pilotlight.sim.sweep_text import Sweep
from pilotlight.spec.model import Config


class Point(msgspec.Struct, frozen=True):
    value: str
    result: Result
    present: bool = False
    """It is what the config has."""
    dominated: bool = False
    """Another one costs no more, has no more cold requests and no longer a 99th percentile, and is better in one."""
    holds: bool = False
    """Its cold rate is not above the band."""
    recommended: bool = False
    """The cheapest that holds the band; of none that does, the one with the least cold requests."""


def sweep(config: Config, wanted: Sweep, simulated: Callable[[Config, str], Result]) -> list[Point]:
    """`simulated`: the config by its label. The present value comes first where it is none of those asked for."""
    results = list(_results(config, wanted, simulated))
    limit = goal(config).high
    holding = [r for _, r, _ in results if _cold(r) <= limit]
    best = (
        min(holding, key=lambda r: (r.cost_usd, _cold(r)))
        if holding
        else min((r for _, r, _ in results), key=lambda r: (_cold(r), r.cost_usd))
    )
    everything = [r for _, r, _ in results]
    return [
        Point(
            label, r, is_present, any(_beats(o, r) for o in everything), _cold(r) <= limit, r is best
        )
        for label, r, is_present in results
    ]  # fmt: skip


def _results(
    config: Config, wanted: Sweep, simulated: Callable[[Config, str], Result]
) -> Iterator[tuple[str, Result, bool]]:
    present = wanted.present(config)
    if present.label not in {v.label for v in wanted.values}:
        yield present.label, simulated(config, present.label), True
    for v in wanted.values:
        yield v.label, simulated(wanted.config(config, v.value), v.label), v.label == present.label


def _cold(result: Result) -> float:
    return result.cold_rate or 0.0


def _beats(a: Result, b: Result) -> bool:
    ours, theirs = ((r.cost_usd, _cold(r), r.ttft_p99 or 0.0) for r in (a, b))
    return ours != theirs and all(x <= y for x, y in zip(ours, theirs, strict=True))
