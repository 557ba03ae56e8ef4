"""What --json prints: names and meanings are in docs/advise.md, and stay."""

from typing import Any

import msgspec

from pilotlight.advise.advice import Advice
from pilotlight.advise.intervals import Interval
from pilotlight.advise.played import Played

VERSION = 1
"""Of the form."""


def figures(a: Advice) -> dict[str, Any]:
    return {
        "version": VERSION,
        "trace": a.trace,
        "traffic": {**msgspec.to_builtins(a.shape), "word": a.shape.word},
        "needs": msgspec.to_builtins(a.needs),
        "prices": msgspec.to_builtins(a.prices),
        "start_time": a.start_time,
        "start_time_from": a.start_time_from,
        "recommended": a.recommended.id,
        "runner_up": None if a.runner_up is None else a.runner_up.id,
        "today": None if a.today is None else a.today.id,
        "holds": a.recommended.holds,
        "why": list(a.why),
        "warnings": list(a.warnings),
        "candidates": [_of(p) for p in a.played],
        "break_even": None if a.even is None else msgspec.to_builtins(a.even),
        "sensitivity": [msgspec.to_builtins(c) for c in a.changes],
        "flips": [msgspec.to_builtins(f) for f in a.flips],
        "simulations": a.simulations,
        "config": a.config,
    }


def _of(p: Played) -> dict[str, Any]:
    r = p.result
    return {
        "id": p.id,
        "tier": str(p.candidate.tier),
        "words": p.candidate.words,
        "month_usd": p.month_usd,
        "month_usd_interval": _both(p.month),
        "month_usd_interval_is_bounds": p.short,
        "cold_rate": r.cold_rate,
        "cold_rate_interval": _both(p.cold),
        "cold_rate_worst_model": r.cold_rate_worst_model,
        "ttft_p50": r.ttft_p50,
        "ttft_p95": r.ttft_p95,
        "ttft_p99": r.ttft_p99,
        "unserved": r.unserved,
        "starts": r.starts,
        "gpu_hours": r.gpu_hours,
        "dedicated_gpu_hours": r.dedicated_gpu_hours,
        "replica_hours": r.replica_hours,
        "burst_requests": r.burst_requests,
        "burst_usd": r.burst_usd,
        "session_turns": r.session_turns,
        "session_turns_kept": r.session_turns_kept,
        "by_class": msgspec.to_builtins(r.by_class),
        "stood_in": r.stood_in,
        "holds": p.holds,
        "dominated": p.dominated,
        "config": p.candidate.text,
    }


def _both(i: Interval) -> list[float]:
    return [i.low, i.high]
