"""What pilotlight can be told to do, as configs: the default policies, and the simple ones that it is compared with."""

from collections.abc import Callable, Mapping
from math import ceil

import msgspec

from pilotlight.fleet.declared import MONTH
from pilotlight.sim.defaults import default_config
from pilotlight.sim.oracle import peak_levels
from pilotlight.sim.trace import Trace
from pilotlight.spec.model import Config, Hosts, Warmer
from pilotlight.spec.provider import Burst, Provider, Rates
from pilotlight.units import FOREVER

PARKED_PER_GPU = 4
WAKE = 1.5
"""Seconds that a parked model takes to wake."""

TTLS = (1, 5, 10, 30)
"""Minutes."""

SHORTEST, STEP, CLOSE = 1.0, 4.0, 1.12
"""Of the search for the best fixed keep-alive: seconds, the ratio of its first steps and of its last."""


def keep_alive(seconds: float) -> Config:
    """Fixed, and no base: everything on demand."""
    return replaced(ttl=seconds, base=0)


def warmer(seconds: float) -> Config:
    """The last replica of each model stays; what is beyond it has a fixed keep-alive."""
    return replaced(ttl=seconds, base=0, warmer=Warmer())


def silent(**changed: object) -> Config:
    """What has come up stays for ever, on demand: as few cold requests as without looking ahead. A rival, which stops
    replicas itself, goes by it too."""
    return replaced(ttl=FOREVER, base=0, **changed)


def always_on(trace: Trace) -> Config:
    """As many replicas of each model as its busiest moment needs, rented for all of the time."""
    config = replaced(ttl=0.0, base=0)
    peaks = peaks_of(trace, config)
    model = config.default_model
    models = {name: msgspec.structs.replace(model, min_replicas=n) for name, n in peaks.items()}
    return msgspec.structs.replace(config, models=models)


def peaks_of(trace: Trace, config: Config) -> Mapping[str, int]:
    given, slots = config.simulation, config.default_model.slots
    assert slots is not None
    return peak_levels(trace, slots=slots, first_token=given.first_token, per_token=given.per_token)


def pool(gpus: int) -> Config:
    """The default policies on GPUs that all models share, with host memory for all that are parked."""
    config = default_config()
    hosts = Hosts(gpus, memory=16 * 2**40, models_per_gpu=PARKED_PER_GPU)
    given = msgspec.structs.replace(config.simulation, hosts=hosts, wake_time=WAKE)
    return msgspec.structs.replace(config, simulation=given)


def smallest_pool(trace: Trace, holds: Callable[[int], bool]) -> int:
    """The fewest GPUs that hold the band: the size is an operator's choice, and here it is made with hindsight."""
    low, high = 0, 1
    most = 2 * ceil(sum(peaks_of(trace, default_config()).values()) / PARKED_PER_GPU)
    while high < most and not holds(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def shortest_keep_alive(longest: float, holds: Callable[[float], bool]) -> float | None:
    """The shortest fixed keep-alive in seconds that holds the band, to a tenth; None where even `longest` does not."""
    low, high = 0.0, SHORTEST
    while not holds(high):
        if high >= longest:
            return None
        low, high = high, min(longest, high * STEP)
    while low and high / low > CLOSE:
        middle = (low * high) ** 0.5
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def variants() -> dict[str, Config]:
    """The default policies with one thing changed."""
    config = default_config()
    objective = config.objective
    of_objective = {
        "per_model_max: 20%": msgspec.structs.replace(objective, per_model_max=0.2),
        "cold_rate: [0%, 1%]": msgspec.structs.replace(objective, cold_rate=(0.0, 0.01)),
    }
    return {
        "default": config,
        "base: 0": replaced(base=0),
        "ttl: 5m": replaced(ttl=300.0),
        "predictive: true": replaced(predictive=True),
        "warmer: {}": replaced(warmer=Warmer()),
        "scale_up_delay: 10s": replaced(scale_up_delay=10.0),
        "scale_down_delay: 5m": replaced(scale_down_delay=300.0),
        "burst": hybrid(),
        **{name: msgspec.structs.replace(config, objective=o) for name, o in of_objective.items()},
    }


def hybrid() -> Config:
    """The default policies, and a provider for what exceeds the base: a second of one of eight slots costs there what
    it costs in a full on-demand replica, and who meets it cold waits five seconds."""
    config = default_config()
    price = config.prices
    second = price.serverless_premium * price.gpu_month_usd / MONTH / (config.default_model.slots or 1)
    provider = Provider(
        "https://api.example.com/v1",
        price=Rates(second_usd=second),
        max_requests=100_000,
        first_token=0.5,
        cold_start=5.0,
        idle_timeout=300.0,
    )
    bursting = msgspec.structs.replace(config.default_model, burst=Burst("elsewhere", "overflow"))
    return msgspec.structs.replace(config, default_model=bursting, providers={"elsewhere": provider})


def replaced(**changed: object) -> Config:
    """The default policies, with this changed for every model."""
    config = default_config()
    return msgspec.structs.replace(
        config, default_model=msgspec.structs.replace(config.default_model, **changed)
    )
