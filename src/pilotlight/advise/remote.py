"""What is tried where inference is remote: a program on CPUs that calls a model of somebody else, such as an agent.

Each is played like any fleet: a function is a replica that takes one request at a time and is let go when its
seller's idle time is over; an instance takes as many as its CPUs and memory allow. What it costs follows from what was
played, by the formulas of cost/tariffs.py.
"""

from collections.abc import Callable, Iterator
from typing import TypeVar

import msgspec
import numpy as np

from pilotlight.advise.candidates import Candidate, Maker, Tier
from pilotlight.advise.needs import Needs
from pilotlight.cost import tariffs
from pilotlight.cost.book import Book, Entry, Managed
from pilotlight.sim.oracle import evaluated
from pilotlight.sim.result import Result
from pilotlight.sim.starts import StartTimes, constant
from pilotlight.sim.trace import Floats, Trace

GB = 2.0**30
IDLE = 300.0
"""Seconds after which a function is let go [G]: sellers do so after 5 to 7 minutes."""
START = 5.0
"""Seconds of a start of a function with an agent's libraries [G]: 3 to 8 s are published."""
INSTANCE_START = 30.0
"""Seconds until one more instance takes requests [G]: "tens of seconds"."""
VCPUS, INSTANCE_MEMORY = 2.0, 8 * GB
"""Of the instance whose price the book has as its example."""
FULL = 0.7
"""Share of an instance's slots from which another is started [G]."""
KEPT = (0.01, 0.2)
"""Shares of the time: so many functions are provisioned as are needed for more than that."""

E = TypeVar("E", bound=Entry)


class Kind(msgspec.Struct, frozen=True):
    """What is known of the work."""

    trace: Trace
    needs: Needs
    seconds: Floats
    """That each request runs."""
    starts: StartTimes
    given: bool
    """Whether somebody said what a start takes."""

    @property
    def gb(self) -> float:
        return self.needs.memory / GB

    @property
    def mean(self) -> float:
        return float(self.seconds.mean())

    @property
    def start(self) -> float:
        return self.starts.mean("") if self.given else START

    def slots(self) -> int:
        """Of an instance: while one request waits for its model others compute."""
        by_cpu = VCPUS * self.mean / max(self.needs.cpu_seconds, 1e-3)
        return max(1, int(min(by_cpu, INSTANCE_MEMORY / self.needs.memory)))


def candidates(make: Callable[[int], Maker], kind: Kind) -> Iterator[Candidate]:
    """`make`: a maker of candidates whose replicas have so many slots."""
    one, many = make(1), make(kind.slots())
    start = constant(kind.start)
    at_once = {"batch_deadline": 0} if kind.trace.is_batch.any() else {}  # a platform has no other queue
    alone = {"max_requests": 1, "target_requests": 1, "ttl": f"{IDLE:g}s", "base": 0, **at_once}
    yield one.make(
        "function", Tier.FUNCTION, "a function, paid by use", alone, starts=start, tariff="function"
    )
    yield one.make(
        "function-active-cpu", Tier.FUNCTION, "a function that pays for its CPU only while it computes", alone,
        starts=start, tariff="active_cpu",
    )  # fmt: skip
    for share in KEPT:
        kept = one.sizes.above(share)
        if any(kept.values()):
            own = {m: {"min_replicas": n} for m, n in kept.items()}
            n = sum(kept.values())
            yield one.make(
                f"function-provisioned-{n}", Tier.FUNCTION, f"a function of which {n:,} are kept ready", alone, own,
                starts=start, tariff="provisioned", setting=float(n),
            )  # fmt: skip
    start = constant(kind.starts.mean("") if kind.given else INSTANCE_START)
    slots = kind.slots()
    several = {"max_requests": slots, "target_requests": max(1, int(FULL * slots)), "base": 0}
    asked = {m: {"min_replicas": 1} for m in one.sizes.peak}
    yield many.make(
        "managed", Tier.MANAGED, f"managed instances of {slots} slots, one at least",
        {**several, "ttl": "10m", **at_once}, asked,
        starts=start, tariff="managed",
    )  # fmt: skip
    yield many.make(
        "container-to-zero", Tier.CONTAINER, f"containers of {slots} slots that scale to zero",
        {**several, "ttl": "10m"}, starts=start, tariff="container",
    )  # fmt: skip
    peak = {m: {"min_replicas": n, "max_replicas": n} for m, n in many.sizes.peak.items()}
    n = sum(many.sizes.peak.values())
    yield many.make(
        "container-peak", Tier.CONTAINER, f"{n:,} container{'s' if n > 1 else ''} of {slots} slots, always on",
        {**several, "ttl": 0}, peak, fixed=True, starts=start, tariff="container",
    )  # fmt: skip


def usd(candidate: Candidate, result: Result, kind: Kind, book: Book) -> float:
    """For the counted part of the trace."""
    since, until = evaluated(kind.trace, candidate.config.simulation.warm_up)
    counted = kind.trace.t >= since
    requests, worked = float(counted.sum()), float(kind.seconds[counted].sum())
    cold_starts = result.starts * requests / max(1, result.requests)
    mean, starting = worked / max(1.0, requests), cold_starts * result.start_time
    match candidate.tariff:
        case "function":
            return tariffs.function(
                first(book.functions), memory_gb=kind.gb, requests=requests, seconds=mean, cold_starts=cold_starts,
                init_seconds=result.start_time,
            )  # fmt: skip
        case "active_cpu":
            return tariffs.active_cpu(
                first(book.active_cpu), active_seconds=requests * kind.needs.cpu_seconds + starting,
                present_seconds=worked + starting, memory_gb=kind.gb, requests=requests,
            )  # fmt: skip
        case "provisioned":
            n, span = candidate.setting, until - since
            inside = _inside(kind, counted, n)
            kept = tariffs.provisioned(
                first(book.provisioned), memory_gb=kind.gb, instances=n, kept_seconds=span,
                requests=requests * inside, seconds=mean,
            )  # fmt: skip
            return kept + tariffs.function(
                first(book.functions), memory_gb=kind.gb, requests=requests * (1 - inside), seconds=mean,
                cold_starts=max(0.0, cold_starts - n), init_seconds=result.start_time,
            )  # fmt: skip
        case "managed":
            return tariffs.managed(
                first(book.managed), instances=1, seconds=result.replica_hours * 3600, requests=requests
            )
        case _:
            plain = msgspec.structs.replace(first(book.managed), surcharge=0.0, million_requests_usd=0.0)
            assert isinstance(plain, Managed)
            return tariffs.managed(plain, instances=1, seconds=result.replica_hours * 3600)


def first(section: dict[str, E]) -> E:
    """The price that is used of a section: its first."""
    return next(iter(section.values()))


def _inside(kind: Kind, counted: np.ndarray[tuple[int], np.dtype[np.bool_]], n: float) -> float:
    """Share of the work that the first `n` functions do, which are taken first."""
    t = np.concatenate([kind.trace.t[counted], (kind.trace.t + kind.seconds)[counted]])
    change = np.concatenate([np.ones(int(counted.sum())), -np.ones(int(counted.sum()))])
    order = np.lexsort((change, t))
    running = np.cumsum(change[order])[:-1]
    lasts = np.diff(t[order])
    work = float((running * lasts).sum())
    return float((np.minimum(running, n) * lasts).sum()) / work if work else 1.0


SECTION = {"function": "functions", "active_cpu": "active_cpu", "provisioned": "provisioned", "managed": "managed",
           "container": "managed"}  # fmt: skip
"""Of the price book, by tariff."""


def used(book: Book, of: set[str]) -> list[tuple[str, str]]:
    """Section and name of the entries by which these tariffs were reckoned."""
    sections = dict.fromkeys(SECTION[t] for t in sorted(of & SECTION.keys()))
    return [(section, next(iter(book.sections()[section]))) for section in sections]


def entry(book: Book, section: str, name: str) -> str:
    """With its date and source."""
    found = book.sections()[section][name]
    return f"{section}.{name}, {book.date_of(found)}: {found.source}"
