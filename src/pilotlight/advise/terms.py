"""Classes and stand-ins of a traffic: who stands in for its models, what came of them, and where they mean little."""

from collections.abc import Iterator

from pilotlight.advise.advice import Advice
from pilotlight.advise.candidates import Tier
from pilotlight.advise.leaving import some
from pilotlight.advise.played import Played
from pilotlight.advise.written import part
from pilotlight.sim import declared
from pilotlight.sim.trace import Trace
from pilotlight.spec.model import Config

PLATFORMS = (Tier.FUNCTION, Tier.MANAGED)
"""Tiers whose seller starts what answers: no queue of ours is before it, and no other model beside it."""


def stand_ins(config: Config, trace: Trace) -> frozenset[str]:
    """Models that may answer requests of the traffic in the place of others."""
    if not _may_stand_in(trace):
        return frozenset()
    models = declared.models(config, trace.models)
    found = (models[declared.deployment_of(config, m)].stand_in for m in trace.models)
    return frozenset(name for name in found if name is not None)


def _may_stand_in(trace: Trace) -> int:
    return 0 if trace.stand_in is None else int(trace.stand_in.sum())


def why(a: Advice, trace: Trace) -> Iterator[str]:
    """Of a traffic whose requests have either."""
    allowed = _may_stand_in(trace)
    if trace.ranks is None and not allowed:
        return
    yield from _classes(a.recommended)
    yield from _stood_in(a, allowed)
    yield from _little(a, allowed)


def _classes(p: Played) -> Iterator[str]:
    of = {} if p.candidate.tier in PLATFORMS else p.result.by_class
    if "critical" in of:
        n, cold = of["critical"].requests, of["critical"].cold_rate
        yield f"{n:,} of the requests are critical: {part(cold)} of them cold."
    if "batch" in of:
        n, late = of["batch"].requests, of["batch"].past_deadline
        yield (
            f"{n:,} of the requests are batch, which count in no cold rate: {late:,} of them found "
            "no idle capacity within their `batch_deadline`."
        )


def _stood_in(a: Advice, allowed: int) -> Iterator[str]:
    if not allowed:
        return
    config = a.recommended.candidate.config
    if not any(m.stand_in for m in (config.default_model, *config.models.values())):
        yield (
            f"Another model may answer {allowed:,} of the requests, but no model of the config names one (`stand_in`): "
            "each was simulated to wait for its own."
        )
        return
    n = a.recommended.result.stood_in
    yield f"Another model may answer {allowed:,} of the requests; in what is recommended that was done for {n or 0:,}."
    if a.awake:
        yield (
            f"Nobody asks for {some(a.awake)}, which stands in for others: it was simulated as the config has it, and "
            "what it costs is in every figure."
        )


def _little(a: Advice, allowed: int) -> Iterator[str]:
    """In which tiers that were tried."""
    tiers = {p.candidate.tier: p for p in a.played}
    remote = tiers.get(Tier.PROVIDER)
    if remote is not None:
        nobody = " and none is answered by a stand-in" if allowed and not remote.result.stood_in else ""
        yield (
            "Where all goes to a provider classes mean little: no request goes before another, one of the class batch "
            f"leaves once its `batch_deadline` is over,{nobody}."
        )
    if any(t in tiers for t in PLATFORMS):
        yield (
            "Functions and managed instances know neither classes nor stand-ins: each request was simulated to run as "
            "soon as one is up for it."
        )
