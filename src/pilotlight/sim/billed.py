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
from pilotlight.sim.providers import Charge
from pilotlight.sim.service import service
from pilotlight.sim.starts import StartTimes
from pilotlight.sim.trace import Trace
from pilotlight.spec.model import Config, Model

ENDS, MOVES, BEGINS = 0, 1, 2
"""In this order at one moment: a replica takes a request when it is up."""


class Told(Protocol):
    """What a replay has told of money."""

    @property
    def log(self) -> Sequence[Moved | Rented]: ...
    @property
    def charges(self) -> Sequence[Charge]: ...


def rows(
    log: Sequence[Moved | Rented],
    placed: Mapping[str, str],
    begins: Floats,
    ends: Floats,
    price: Price,
    devices: Mapping[str, Devices],
    since: float,
    until: float,
    asked_by: Callable[[int], tuple[str, str]],
) -> Rows:
    """What replicas took between the two moments. `placed`: the replica of each request, by its number as text;
    `begins`, `ends`: of each request of the trace, seconds; `asked_by`: its key and class."""
    ledger = Ledger(price, lambda name: devices.get(name, ONE))
    counted = False
    for at, kind, i in _in_order(log, placed, begins, ends):
        if at >= since and not counted:
            ledger.settle(since)
            ledger.take()
            counted = True
        if at > until:
            break
        if kind == BEGINS:
            ledger.began(str(i), placed[str(i)], at, *asked_by(i))
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
    log: Sequence[Moved | Rented], placed: Mapping[str, str], begins: Floats, ends: Floats
) -> Iterator[tuple[float, int, int]]:
    """When, what, and of which request or entry of the log."""
    at = np.array([action.at for action in log], np.float64)
    some = np.sort(np.fromiter(map(int, placed), np.int64, len(placed)))
    some = some[ends[some] > begins[some]]  # what takes no time is never in a replica
    times = np.concatenate([at, begins[some], ends[some]])
    kinds = np.repeat(np.array([MOVES, BEGINS, ENDS]), [len(at), len(some), len(some)])
    which = np.concatenate([np.arange(len(at)), some, some])
    order = np.lexsort((which, kinds, times))
    return zip(times[order].tolist(), kinds[order].tolist(), which[order].tolist(), strict=True)


def charged(charges: Sequence[Charge], since: float, asked_by: Callable[[int], tuple[str, str]]) -> Rows:
    """What providers were paid for what was sent from then on."""
    found: Rows = {}
    for c in charges:
        if c.at >= since:
            key, of = ("", "") if c.is_ping else asked_by(int(c.request))
            add(found, Row(c.deployment, key, of, PINGS if c.is_ping else BURST, c.provider), 0.0, c.usd)
    return found


def traffic(
    begins: Floats,
    ends: Floats,
    slots: int,
    devices: int,
    start: float,
    price: Price,
    since: float,
    until: float,
) -> Traffic:
    """What one model's traffic, as if nothing ever made it wait, would have cost between the two moments."""
    levels = Levels(slots)
    some = ends > begins
    times = np.concatenate([ends[some], begins[some]])
    changes = np.repeat(np.array([-1, 1]), int(some.sum()))
    order = np.lexsort((changes, times))  # at one moment ends come before arrivals: a slot is free at once
    counted = False
    for at, change in zip(times[order].tolist(), changes[order].tolist(), strict=True):
        if at >= since and not counted:
            levels.take(since)
            counted = True
        if at > until:
            break
        levels.began(at) if change > 0 else levels.ended(at)
    spells = levels.take(until)
    return Traffic(
        peak=spells.peak,
        one_usd=(until - since) * price.dedicated * devices,
        scale_to_zero_usd=scale_to_zero(spells, start, price.on_demand, devices),
    )


def by_rung(
    trace: Trace,
    config: Config,
    names: Sequence[str],
    models: Mapping[str, Model],
    starts: StartTimes,
    ledger: Told,
    placed: Mapping[str, str],
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
    came, hurried = trace.t + np.nan_to_num(wait), ~trace.is_batch
    sizes = {name: declared.devices(model) for name, model in models.items()}
    # A pool is paid for whatever is in it.
    each = Price(0.0, 0.0, real.commitment) if given.kinds else real
    history = _history(
        rows(ledger.log, placed, came, came + ran, each, sizes, since, until, trace.asked_by),
        charged(ledger.charges, since, trace.asked_by),
    )
    if given.kinds:
        _, usd = pool.cost(given.kinds, until - since, real.dedicated)
        history.use(0, Row("", rung=RENTED), Amount(0.0, usd))
    for name in dict.fromkeys(names):
        of = np.isin(trace.model, [i for i, n in enumerate(names) if n == name])
        begins, slots, start = trace.t[of], declared.slots(models[name]), starts.mean(name)
        model = history.of(0, name)
        model.plus(traffic(begins, begins + alone[of], slots, sizes[name].full, start, real, since, until))
        counted, n = of & (trace.t >= since), int(np.count_nonzero(cold & of))
        waited = float(np.nan_to_num(wait[counted & hurried]).sum())
        model.plus(Traffic(int(np.count_nonzero(counted)), n, waited, n * cold_usd))
    return report(history, by)


def _history(*parts: Rows) -> History:
    """Of one span of time, as if it were an hour."""
    found = History()
    for part in parts:
        for row, amount in part.items():
            found.use(0, row, amount)
    return found
