"""What capacity costs, and what the simulator assumes."""

from typing import Annotated

import msgspec
from msgspec import Meta

from pilotlight.spec.types import Duration, FilePath, Fraction, Memory, Name, Positive, PositiveDuration, Rate
from pilotlight.spec.types import doc as _doc

MOST_GPUS = 10_000
"""Of a pool; each is looked at for each start, so that more take a simulation for ever."""

MOST_HOSTS = 1_000
"""Of a pool, for the same reason; a host takes several times as long to look at as one of its GPUs."""


MOST_SLOWDOWN = 4.0
"""Of a request by another [G]; beyond that somebody has left the % away. Turns are 1, long prompts in between more."""


class Example(float):
    """A figure of a price that nobody has set: by its type it is told from the same figure that an operator pays."""

    __slots__ = ()


class Prices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What capacity costs. The defaults are examples; set what you pay."""

    gpu_month_usd: Annotated[
        Annotated[float, Meta(gt=0)],
        _doc("US dollars for one dedicated GPU for a month; an example until you set it."),
    ] = Example(2500.0)
    serverless_premium: Annotated[
        Annotated[float, Meta(ge=1)],
        _doc("How many times the dedicated price on-demand capacity costs; an example until you set it."),
    ] = Example(2.5)
    commitment: Annotated[
        PositiveDuration,
        _doc("The shortest time that dedicated capacity is rented for; an example until you set it."),
    ] = Example(3600.0)
    book: Annotated[
        FilePath | None,
        _doc(
            "A price book of your own, whose entries replace the shipped examples of the same name in "
            "`pilotlight prices` and `pilotlight advise`. Default: the examples."
        ),
    ] = None


class Hosts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A pool of GPUs that are always on and that all models share."""

    gpus: Annotated[Annotated[int, Meta(ge=1, le=MOST_GPUS)], _doc("How many there are.")]
    gpu_memory: Annotated[Memory, _doc("Memory of each.")] = 80 * 2**30
    memory: Annotated[Memory, _doc("Host memory of all together.")] = 2**40
    models_per_gpu: Annotated[
        Positive | None, _doc("Models awake on one GPU at most. Default: as many as its memory holds.")
    ] = None


class HostKind(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Hosts of one kind, of a pool of several kinds. The first host of the list that has room takes a replica."""

    name: Annotated[Name, _doc("A name of your own for the kind.")]
    memory: Annotated[Memory, _doc("Host memory of each.")]
    count: Annotated[Annotated[int, Meta(ge=1, le=MOST_HOSTS)], _doc("How many there are of the kind.")] = 1
    gpus: Annotated[
        Annotated[int, Meta(ge=0, le=MOST_GPUS)],
        _doc("GPUs of each. Where a kind has none, models whose `gpus` is 0 take no GPU on any host."),
    ] = 0
    gpu_memory: Annotated[Memory, _doc("Memory of each GPU.")] = 80 * 2**30
    models_per_gpu: Annotated[
        Positive | None,
        _doc(
            "Models awake on one GPU at most that set no `gpu_memory`. Default: as many as its memory holds."
        ),
    ] = None
    hour_usd: Annotated[
        Annotated[float, Meta(ge=0)] | None,
        _doc(
            "US dollars for one host of the kind for an hour. Default: `prices.gpu_month_usd` for each of its GPUs; "
            "nothing for a host without one."
        ),
    ] = None


class Outage(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"begins": "from", "lasts": "for"}
):
    """A time in which a provider cannot be reached."""

    begins: Annotated[Duration, _doc("When it begins, from the first request of the trace on.")]
    lasts: Annotated[PositiveDuration, _doc("How long it lasts.")]


class RemoteTroubles(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What goes wrong at a simulated provider."""

    fails: Annotated[Fraction, _doc("Share of its requests that get an error in place of a first token.")] = (
        0.0
    )
    rate: Annotated[
        Rate | None,
        _doc(
            "Requests that it takes in a minute, like `100/m`; more are answered with 429 and a `Retry-After`. "
            "Default: no limit."
        ),
    ] = None
    outages: Annotated[tuple[Outage, ...], _doc("When it cannot be reached.")] = ()


class Simulation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `pilotlight simulate` assumes where it has not been measured."""

    start_time: Annotated[
        PositiveDuration | None,
        _doc("How long a replica takes to start. Default: what was learned here, else 40 s."),
    ] = None
    wake_time: Annotated[
        Duration | None,
        _doc("How long one that sleeps takes to wake. Default: what was learned here, else nothing sleeps."),
    ] = None
    first_token: Annotated[
        Duration, _doc("From a request's start on a replica to its first token, what its prompt takes aside.")
    ] = 0.05
    per_token: Annotated[Duration, _doc("From one token to the next.")] = 0.03
    per_prompt_token: Annotated[
        Duration, _doc("How much later the first token comes for each token of the prompt.")
    ] = 0.0
    slowdown: Annotated[
        Annotated[float, Meta(ge=0, le=MOST_SLOWDOWN, extra={"kind": "percent"})],
        _doc(
            "How much longer a request's tokens take for each other request that its replica has when it begins; "
            "at 100% they take turns."
        ),
    ] = 0.0
    warm_up: Annotated[Fraction, _doc("The first part of a trace, which is played but not counted.")] = 0.1
    hosts: Annotated[
        Hosts | Annotated[tuple[HostKind, ...], Meta(min_length=1)] | None,
        _doc(
            "A pool that all models share: its GPUs, or a list of kinds of hosts. Default: dedicated replicas, as many "
            "as are asked for."
        ),
    ] = None
    hedged: Annotated[
        Fraction,
        _doc("Share of the requests that may leave that ask a provider and a replica at once."),
    ] = 0.0
    providers: Annotated[
        dict[Name, RemoteTroubles],
        _doc("What goes wrong at providers of this file, by their names. Default: nothing."),
    ] = {}

    @property
    def kinds(self) -> tuple[HostKind, ...]:
        """Of the pool's hosts, in the order of the file; empty without a pool. GPUs alone are of one host, `pool`."""
        pool = self.hosts
        if isinstance(pool, Hosts):
            return (HostKind("pool", pool.memory, 1, pool.gpus, pool.gpu_memory, pool.models_per_gpu),)
        return pool or ()
