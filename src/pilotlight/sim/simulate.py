"""One trace, one config: replayed through the code that decides, and what came of it."""

import gc
import time
from collections.abc import Iterable, Mapping

import msgspec
import numpy as np

from pilotlight.cost.capacity import Bill, in_use
from pilotlight.cost.declared import devices, price, told
from pilotlight.cost.report import Report
from pilotlight.fleet.declared import MONTH, goal
from pilotlight.policy import cold_rate
from pilotlight.sim import classes, declared, loop, pool
from pilotlight.sim.billed import by_rung
from pilotlight.sim.ledger import Ledger
from pilotlight.sim.loop import Beside
from pilotlight.sim.oracle import Oracle, evaluated, oracle
from pilotlight.sim.outcomes import Tally, outcomes
from pilotlight.sim.placed import Placed
from pilotlight.sim.requests import Replayed
from pilotlight.sim.result import Result, Series, waits
from pilotlight.sim.service import first_tokens
from pilotlight.sim.sessions import turns
from pilotlight.sim.starts import DEFAULT, StartTimes
from pilotlight.sim.trace import Bools, Floats, Trace
from pilotlight.sim.world import SimulatedWorld
from pilotlight.spec.model import Config, Model
from pilotlight.units import FOREVER

PATIENCE = 3600.0
"""Seconds after the last arrival for which requests that still wait are served [G]."""

PIECES = 240
"""Of a plot's axis of time, at most."""


class _Played(msgspec.Struct):
    """What went in and what happened."""

    trace: Trace
    config: Config
    starts: StartTimes
    names: list[str]
    """The deployment of each of the trace's models."""
    models: Mapping[str, Model]
    """By deployment."""
    requests: Replayed
    ledger: Ledger
    since: float
    """What is counted lies between these two moments of the trace."""
    until: float
    end: float
    """Until then requests are served that still wait."""
    placed: Placed | None = None
    """The replica of each request, where a bill is wanted, or the trace has sessions or allows stand-ins."""
    billed: str = ""
    """By what the lines of a bill are; empty where none is wanted."""
    cold_usd: float = 0.0
    """What a cold request counted for in the end."""
    notes: tuple[str, ...] = ()


def simulate(
    trace: Trace,
    config: Config,
    starts: StartTimes = DEFAULT,
    seed: int = 0,
    *,
    name: str = "default",
    bill: bool = False,
    by: str = "model",
    beside: Beside | None = None,
) -> Result:
    """`name`: what the config is called. `bill`: whether it is wanted by what replicas did, which takes longer; `by`:
    what its lines are sorted by (cost/report.py). `beside`: who decides beside the kernel (loop.py). The figures are
    the same for the same arguments, but for the timings."""
    given = config.simulation
    names = [declared.deployment_of(config, model) for model in trace.models]
    models = declared.models(config, trace.models)
    bursting = {n for n, model in models.items() if model.burst is not None and model.leave_house}
    stand_ins = [models[n].stand_in for n in names]
    requests = Replayed(trace, names, given, bursting, seed, stand_ins)
    since, until = evaluated(trace, given.warm_up) if len(trace) else (0.0, 0.0)
    end = until + PATIENCE + _longest_deadline(trace, (models[n] for n in names))
    traced = bill or trace.session is not None or trace.stand_in is not None
    played = _Played(trace, config, starts, names, models, requests, Ledger(logs=traced), since, until, end)
    if config.providers and bursting.isdisjoint(names):
        said = f"burst names only {', '.join(sorted(bursting))}" if bursting else "no model has burst"
        played.notes = (f"no request of this trace may leave: {said}",)
    if trace.stand_in is not None and not any(stand_ins):
        played.notes += ("none of this trace's requests finds a stand-in: its models name no `stand_in`",)
    if given.kinds:
        played.notes += pool.notes(given.kinds, models)
    played.billed, played.placed = by if bill else "", Placed(len(trace)) if traced else None
    cpu_s, wall_s = _play(played, seed, beside)
    return _result(played, name, seed, cpu_s, wall_s)


def _longest_deadline(trace: Trace, models: Iterable[Model]) -> float:
    """Seconds until the last batch request counts as standard, should none find idle capacity; of one that waits for
    ever nothing is known."""
    if not any(trace.is_batch_in(rows).any() for rows in trace.pieces()):
        return 0.0
    return max((m.batch_deadline for m in models if m.batch_deadline < FOREVER), default=0.0)


def _play(p: _Played, seed: int, beside: Beside | None) -> tuple[float, float]:
    """CPU and wall seconds that the loop took."""
    if not len(p.trace):
        return 0.0, 0.0
    at = float(p.trace.t[0])
    configured = declared.configured(p.config, p.trace.models, p.starts, at, p.trace.epoch or 0.0)
    world = SimulatedWorld(configured, p.starts, seed, p.requests, p.config.simulation)
    p.ledger.charges = world.providers.charges
    cpu, wall = time.process_time(), time.perf_counter()
    collecting = gc.isenabled()
    gc.disable()  # it makes no circles, and looking for them takes a tenth of the time
    try:
        lasts = p.requests.lasts if p.config.simulation.slowdown else None
        placed, written = (None, ()) if p.placed is None else (p.placed.put, (p.placed.replica,))
        arrivals = p.requests.arrivals(*written)
        fleet = loop.run(
            configured, arrivals, p.requests.waited, world, p.ledger.told, p.end, placed, lasts, beside
        )
    finally:
        if collecting:
            gc.enable()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    p.cold_usd = cold_rate.usd(fleet)
    p.requests.never_ran((*p.ledger.refused, *fleet.holding))
    return cpu, wall


def _result(p: _Played, name: str, seed: int, cpu_s: float, wall_s: float) -> Result:
    trace, limit, wanted = p.trace, p.config.objective.wait, goal(p.config)
    first = first_tokens(trace, p.config.simulation)
    deadlines = np.array([p.models[n].batch_deadline for n in p.names], np.float64)
    tally, by_class = Tally(trace, PIECES), classes.ByClass(trace, p.ledger.refused, limit, deadlines)
    for some in outcomes(trace, p.requests.wait, first, since=p.since, end=p.end, limit=limit):
        tally.add(some)
        by_class.add(some)
    found = waits(tally.ttft.array(), tally.model.array(), trace.models, limit, (wanted.low, wanted.high))
    bill, paid = _bill(p), p.ledger.paid(p.since)
    usd = bill.usd + sum(each.burst_usd + each.ping_usd for each in paid.values())
    best, always = _yardsticks(p, first)
    of_sessions = turns(trace, p.names, p.placed, p.requests.wait, p.ledger.log, p.since)
    return Result(
        trace=trace.name,
        config=name,
        requests=len(trace),
        evaluated=tally.evaluated,
        models=len(trace.models),
        span_s=trace.span,
        start_time=_start_time(p),
        start_time_from=p.starts.source,
        cold_rate=found.cold_rate,
        cold_rate_worst_model=max(found.by_model.values(), default=None),
        cold_rate_by_model=found.by_model,
        ttft_p50=found.p50,
        ttft_p95=found.p95,
        ttft_p99=found.p99,
        ttft_mean=found.mean,
        unserved=tally.unserved,
        refused=len(p.ledger.refused),
        starts=p.ledger.starts,
        replica_hours=bill.replica_seconds / 3600,
        gpu_hours=bill.gpu_seconds / 3600,
        dedicated_gpu_hours=bill.dedicated_seconds / 3600,
        cost_usd=usd,
        oracle_cost_usd=best.cost_usd,
        cost_over_oracle=usd / best.cost_usd if best.cost_usd else None,
        oracle_gpu_hours=best.gpu_hours,
        gpu_hours_over_oracle=bill.gpu_seconds / 3600 / best.gpu_hours if best.gpu_hours else None,
        always_on_usd=always * (p.until - p.since) * wanted.dedicated,
        windows=found.windows,
        windows_in_band=found.in_band,
        windows_above_band=found.above_band,
        burst_requests=sum(each.burst_requests for each in paid.values()),
        burst_usd=sum(each.burst_usd for each in paid.values()),
        ping_usd=sum(each.ping_usd for each in paid.values()),
        burst_declined=sum(each.declined for each in paid.values()),
        burst_hedged=sum(each.hedged for each in paid.values()),
        burst_cut=sum(each.cut for each in paid.values()),
        by_provider=paid,
        session_turns=None if of_sessions is None else of_sessions.counted,
        session_turns_kept=None if of_sessions is None else of_sessions.kept,
        by_class=by_class.found(),
        stood_in=classes.stood_in(trace, p.names, p.placed, p.ledger.log, p.since),
        seed=seed,
        faults=trace.skipped,
        notes=(*trace.notes, *p.notes, *p.ledger.notes()),
        wall_s=wall_s,
        cpu_s=cpu_s,
        requests_per_s=len(trace) / cpu_s if cpu_s else None,
        series=_series(p, tally),
        prices=told(p.config.prices),
        bill=_by_rung(p, tally.cold.array()) if p.billed and len(trace) else None,
    )


def _by_rung(p: _Played, cold: Bools) -> Report:
    assert p.placed is not None
    return by_rung(
        p.trace, p.config, p.names, p.models, p.starts, p.ledger, p.placed, p.requests.wait,
        p.requests.service, cold=cold, cold_usd=p.cold_usd, since=p.since, until=p.until, by=p.billed,
    )  # fmt: skip


def _bill(p: _Played) -> Bill:
    kinds = p.config.simulation.kinds
    dedicated = p.config.prices.gpu_month_usd / MONTH
    sizes = {name: devices(model) for name, model in p.models.items()}
    bills = p.ledger.bills(price(p.config), sizes, p.since, p.until).values()
    replicas = sum(b.replica_seconds for b in bills)
    if kinds:
        seconds, usd = pool.cost(kinds, p.until - p.since, dedicated)
        return Bill(replicas, seconds, 0.0, usd)
    return Bill(
        replicas,
        sum(b.dedicated_seconds for b in bills),
        sum(b.on_demand_seconds for b in bills),
        sum(b.usd for b in bills),
    )


def _yardsticks(p: _Played, first: Floats) -> tuple[Oracle, int]:
    """The oracle, and the devices that always-on at the peak takes. `first`: seconds of each request to its first
    token."""
    given = p.config.simulation
    slots = [declared.slots(p.models[name]) for name in p.names]
    devices = [max(1, p.models[name].gpus) for name in p.names]
    best = oracle(
        p.trace,
        start=[p.starts.mean(name) for name in p.names],
        slots=slots,
        first_token=first,
        per_token=given.per_token,
        dedicated=p.config.prices.gpu_month_usd / MONTH,
        premium=p.config.prices.serverless_premium,
        warm_up=given.warm_up,
        devices=devices,
    )
    return best, sum(n * devices[i] for i, n in enumerate(best.peaks.values()))


def _start_time(p: _Played) -> float:
    """Of a start of the model that a request asks for, on average."""
    if not len(p.trace):
        return p.starts.mean("")
    of_model = np.zeros(len(p.names), np.int64)
    for rows in p.trace.pieces():
        of_model += np.bincount(p.trace.model[rows], minlength=len(p.names))
    return float(np.average([p.starts.mean(name) for name in p.names], weights=of_model))


def _series(p: _Played, tally: Tally) -> Series:
    if p.trace.span <= 0.0:
        return Series(0.0)
    spans = [span for of in p.ledger.up(float(p.trace.t[-1])).values() for span in of]
    return Series(
        p.trace.span / PIECES,
        tuple(tally.came.tolist()),
        tuple(tally.hurried.tolist()),
        tuple(tally.came_cold.tolist()),
        tuple(in_use(spans, tally.edges).tolist()),
    )
