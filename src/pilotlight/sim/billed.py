"""The bill of a replay as a live server has it: by what replicas did, and what else the traffic could have cost.

The ledger is the live one (cost/ledger.py). It is told of the requests after the replay and not during it, so that the
loop pays nothing for a bill that nobody asks for. Its sums are those of cost/capacity.py, which the figures are of.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pilotlight.cost import declared
from pilotlight.cost.capacity import ONE, Devices, Floats, Price
from pilotlight.cost.history import History, Traffic
from pilotlight.cost.ledger import Ledger
from pilotlight.cost.levels import Levels, scale_to_zero
from pilotlight.cost.report import Report, report
from pilotlight.cost.rows import BURST, PINGS, RENTED, Amount, Row, Rows, add
from pilotlight.fleet.actions import Moved, Rented
from pilotlight.sim import pool
from pilotlight.sim.columns import column
from pilotlight.sim.placed import Placed
from pilotlight.sim.providers import Charge
from pilotlight.sim.service import service
from pilotlight.sim.starts import StartTimes
from pilotlight.sim.trace import Trace
from pilotlight.spec.model import Config, Model

BLOCK = 4096
"""Events that are there as Python's numbers at once."""
ENDS, MOVES, BEGINS = 0, 1, 2
"""In this order at one moment: a replica takes a request when it is up."""


class Told(Protocol):
    """What a replay has told of money."""

    @property
    def log(self) -> Sequence[Moved | Rented]: ...
    @property
    def charges(self) -> Sequence[Charge]: ...


def rows(
    trace: Trace,
    log: Sequence[Moved | Rented],
    placed: Placed,
    came: Floats,
    ran: Floats,
    price: Price,
    devices: Mapping[str, Devices],
    since: float,
    until: float,
) -> Rows:
    """What replicas took between the two moments. `came`: when each request came to its replica; `ran`: seconds."""
    ledger = Ledger(price, lambda name: devices.get(name, ONE))
    counted = False
    for at, kind, i in _in_order(trace, log, placed, came, ran):
        if at >= since and not counted:
            ledger.settle(since)
            ledger.take()
            counted = True
        if at > until:
            break
        if kind == BEGINS:
            ledger.began(str(i), placed.names[placed.replica[i]], at, *trace.asked_by(i))
        elif kind == ENDS:
            ledger.ended(str(i), at)
        else:
            action = log[i]
            ledger.moved(action) if isinstance(action, Moved) else ledger.rented(action)
    if not counted:
        ledger.settle(since)
        ledger.take()
    ledger.settle(until)
    return ledger.take()


def _in_order(
    trace: Trace, log: Sequence[Moved | Rented], placed: Placed, came: Floats, ran: Floats
) -> Iterator[tuple[float, int, int]]:
    """When, what, and of which request or entry of the log."""
    coming = _Coming()
    coming.add(np.array([action.at for action in log], np.float64), MOVES, np.arange(len(log)))
    for rows in trace.pieces(placed.replica, came, ran):
        begins, ends = came[rows], came[rows] + ran[rows]
        # What takes no time is never in a replica.
        some = np.flatnonzero((placed.replica[rows] > 0) & (ends > begins))
        coming.add(begins[some], BEGINS, some + rows.start)
        coming.add(ends[some], ENDS, some + rows.start)
        yield from coming.until(_next(trace, rows))


def _next(trace: Trace, rows: slice) -> float:
    """When the first request comes after these."""
    return float(trace.t[rows.stop]) if rows.stop < len(trace) else np.inf


class _Coming:
    """What happens to requests that are gone through piece by piece: it is told of before it can be said what comes
    first, for later pieces have some of it."""

    def __init__(self) -> None:
        self._at: Floats = np.zeros(0)
        self._kind, self._which = np.zeros((2, 0), np.int64)

    def add(self, at: Floats, kind: int, which: npt.NDArray[np.int64]) -> None:
        self._at = np.append(self._at, at)
        self._kind = np.append(self._kind, np.full(len(at), kind))
        self._which = np.append(self._which, which)

    def until(self, end: float) -> Iterator[tuple[float, int, int]]:
        """All before `end`, in order."""
        order = np.lexsort((self._which, self._kind, self._at))
        at, kind, which = self._at[order], self._kind[order], self._which[order]
        n = int(np.searchsorted(at, end))
        self._at, self._kind, self._which = at[n:], kind[n:], which[n:]
        for begin in range(0, n, BLOCK):
            some = slice(begin, min(begin + BLOCK, n))
            yield from zip(at[some].tolist(), kind[some].tolist(), which[some].tolist(), strict=True)


def charged(charges: Sequence[Charge], since: float, asked_by: Callable[[int], tuple[str, str]]) -> Rows:
    """What providers were paid for what was sent from then on."""
    found: Rows = {}
    for c in charges:
        if c.at >= since:
            key, of = ("", "") if c.is_ping else asked_by(int(c.request))
            add(found, Row(c.deployment, key, of, PINGS if c.is_ping else BURST, c.provider), 0.0, c.usd)
    return found


def traffic(
    trace: Trace,
    alone: Floats,
    models: Sequence[int],
    slots: int,
    devices: int,
    start: float,
    price: Price,
    since: float,
    until: float,
) -> Traffic:
    """What the traffic of a deployment, which is that of these of the trace's models, would have cost between the two
    moments, as if nothing ever made it wait. `alone`: seconds that each request runs."""
    levels = Levels(slots)
    counted = False
    for at, kind, _ in _changes(trace, alone, models):
        if at >= since and not counted:
            levels.take(since)
            counted = True
        if at > until:
            break
        levels.began(at) if kind == BEGINS else levels.ended(at)
    spells = levels.take(until)
    return Traffic(
        peak=spells.peak,
        one_usd=(until - since) * price.dedicated * devices,
        scale_to_zero_usd=scale_to_zero(spells, start, price.on_demand, devices),
    )


def _changes(trace: Trace, alone: Floats, models: Sequence[int]) -> Iterator[tuple[float, int, int]]:
    """When how many are in flight changes. At one moment ends come before arrivals: a slot is free at once."""
    coming = _Coming()
    for rows in trace.pieces(alone):
        begins, ends = trace.t[rows], trace.t[rows] + alone[rows]
        some = np.flatnonzero(np.isin(trace.model[rows], models) & (ends > begins))
        coming.add(begins[some], BEGINS, some)
        coming.add(ends[some], ENDS, some)
        yield from coming.until(_next(trace, rows))


def by_rung(
    trace: Trace,
    config: Config,
    names: Sequence[str],
    models: Mapping[str, Model],
    starts: StartTimes,
    ledger: Told,
    placed: Placed,
    wait: Floats,
    ran: Floats,
    *,
    cold: npt.NDArray[np.bool_],
    cold_usd: float,
    since: float,
    until: float,
    by: str,
) -> Report:
    """Of a replay, for what was between the two moments. `names`: the deployment of each of the trace's models;
    `wait`, `ran`: of each request, seconds, and `cold` whether it counts and was; `cold_usd`: what one counted for;
    `by`: what its lines are sorted by."""
    given, real = config.simulation, declared.price(config)
    alone = service(trace, given)
    came = column(np.float64, (trace.t[rows] + np.nan_to_num(wait[rows]) for rows in trace.pieces(wait)))
    sizes = {name: declared.devices(model) for name, model in models.items()}
    # A pool is paid for whatever is in it.
    each = Price(0.0, 0.0, real.commitment) if given.kinds else real
    history = _history(
        rows(trace, ledger.log, placed, came, ran, each, sizes, since, until),
        charged(ledger.charges, since, trace.asked_by),
    )
    if given.kinds:
        _, usd = pool.cost(given.kinds, until - since, real.dedicated)
        history.use(0, Row("", rung=RENTED), Amount(0.0, usd))
    for name in dict.fromkeys(names):
        codes = [i for i, n in enumerate(names) if n == name]
        slots, start, model = declared.slots(models[name]), starts.mean(name), history.of(0, name)
        model.plus(traffic(trace, alone, codes, slots, sizes[name].full, start, real, since, until))
        model.plus(_waiting(trace, codes, wait, cold, cold_usd, since))
    return report(history, by)


def _waiting(
    trace: Trace,
    models: Sequence[int],
    wait: Floats,
    cold: npt.NDArray[np.bool_],
    cold_usd: float,
    since: float,
) -> Traffic:
    """What requests for these of the trace's models waited that came from `since` on."""
    requests = n = 0
    waited = 0.0
    for rows in trace.pieces(wait, cold):
        of = np.isin(trace.model[rows], models)
        counted = of & (trace.t[rows] >= since)
        requests += int(np.count_nonzero(counted))
        n += int(np.count_nonzero(cold[rows] & of))
        waited += float(np.nan_to_num(wait[rows][counted & ~trace.is_batch_in(rows)]).sum())
    return Traffic(requests, n, waited, n * cold_usd)


def _history(*parts: Rows) -> History:
    """Of one span of time, as if it were an hour."""
    found = History()
    for part in parts:
        for row, amount in part.items():
            found.use(0, row, amount)
    return found
