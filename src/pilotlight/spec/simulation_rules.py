"""What holds between the keys of `simulation`: a function for each rule."""

from collections.abc import Callable, Iterator

from pilotlight.spec.model_rules import Faults
from pilotlight.spec.simulation import MOST_GPUS, MOST_HOSTS, HostKind
from pilotlight.spec.whole import File
from pilotlight.spec.written import Where

HOSTS: Where = ("simulation", "hosts")


def _listed(file: File) -> Iterator[tuple[Where, HostKind]]:
    kinds = file.config.simulation.hosts
    if isinstance(kinds, tuple):
        yield from zip(file.written.items.get(HOSTS, []), kinds, strict=True)


def a_pool_has_hosts(file: File) -> Faults:
    if file.config.simulation.hosts == ():
        yield HOSTS, "names no kind of host; write one, or leave `hosts` out for dedicated replicas"


def kinds_of_hosts_differ_in_name(file: File) -> Faults:
    first: dict[str, Where] = {}
    for where, kind in _listed(file):
        at = (*where, "name")
        if kind.name in first:
            yield at, f"{kind.name!r} is the name of another kind: {file.place(first[kind.name])}"
        first.setdefault(kind.name, at)


def hosts_without_gpus_say_nothing_of_them(file: File) -> Faults:
    for where, kind in _listed(file):
        if kind.gpus or (*where, "gpus") in file.written.bad:
            continue
        for key in ("gpu_memory", "models_per_gpu"):
            if (*where, key) in file.written.lines:
                yield (*where, key), f"{kind.name!r} has no GPU; say how many with `gpus`, or leave this out"


def a_pool_can_be_looked_through(file: File) -> Faults:
    kinds = [kind for _, kind in _listed(file)]
    for n, most, what in (
        (sum(k.count for k in kinds), MOST_HOSTS, "hosts"),
        (sum(k.count * k.gpus for k in kinds), MOST_GPUS, "GPUs"),
    ):
        if n > most:
            yield HOSTS, f"{n} {what} in all are too many: at most {most}"


RULES: tuple[tuple[Callable[[File], Faults], tuple[Where, ...]], ...] = (
    (a_pool_has_hosts, (HOSTS,)),
    (kinds_of_hosts_differ_in_name, (HOSTS,)),
    (hosts_without_gpus_say_nothing_of_them, (HOSTS,)),
    (a_pool_can_be_looked_through, (HOSTS,)),
)
