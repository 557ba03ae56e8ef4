"""Random deployments and random traffic for them.

Hypothesis chooses a seed, a length and the world; a plain generator fills them in, because drawing every field one
by one makes an example fifty times dearer, and what finds faults here is many examples.
"""

from random import Random
from typing import Any

import msgspec
from hypothesis import strategies as st

from pilotlight.fleet import events as ev
from pilotlight.fleet.classes import BATCH, CRITICAL, STANDARD
from pilotlight.fleet.deployment import Deployment, Device, Host, Need, Warmer
from pilotlight.fleet.provider import Budget, Burst, KeepWarm, Provider, Remote, Tariff
from pilotlight.spec.scaling import Window

GIB = 2**30
NAMES = ("a", "b", "c")
PROVIDERS = ("p", "q")
INF = float("inf")


def deployments(rng: Random) -> tuple[Deployment, ...]:
    return tuple(_deployment(rng, name) for name in NAMES[: rng.randint(1, 3)])


def _deployment(rng: Random, name: str) -> Deployment:
    low = rng.choice([0, 0, 0, 1])
    target = rng.randint(1, 4)
    return Deployment(
        id=name,
        fingerprint=rng.choice("xy"),
        need=Need(
            memory=rng.randint(1, 8) * GIB,
            gpus=rng.choice([0, 0, 1, 2]),
            gpu_memory=rng.choice([None, 10 * GIB, 30 * GIB]),
            estimated=rng.random() < 0.5,
            gpu_estimated=rng.random() < 0.5,
            exclusive=rng.choice([None, None, None, "port 1", "port 2"]),
        ),
        min_replicas=low,
        max_replicas=low + rng.randint(0 if low else 1, 3),
        target_requests=target,
        slots=rng.choice([None, target, target + 2]),
        ttl=rng.choice([0.0, 0.5, 5.0, 60.0, INF]),
        ttl_to_zero=rng.choice([0.0, 2.0, 90.0, INF]),
        startup_timeout=rng.choice([5.0, 100.0]),
        drain_timeout=rng.choice([1.0, 60.0]),
        max_pending_requests=rng.choice([0, 3, 50]),
        batch_deadline=rng.choice([0.0, 1.0, 20.0, 300.0]),
        pinned=rng.random() < 0.2,
        techniques=rng.choice([(), ("zygote",), ("zygote", "sleep"), ("sleep",)]),
        sleep_after=rng.choice([0.0, 0.4, 3.0, 30.0, INF]),
        sleep_level=rng.choice([1, 2]),
        warmer=_warmer(rng),
        burst=_burst(rng),
        **_scaling(rng),
    )


def _scaling(rng: Random) -> dict[str, Any]:
    """Policies that are up ahead, learn, or take their time."""
    windows = [
        Window(cron="* * * * *", lasts=20.0),
        Window(cron="1-59/3 * * * *", lasts=90.0, min_replicas=2, timezone="Europe/Berlin"),
        Window(cron="*/2 * * * *", until="1-59/2 * * * *"),
    ]
    return {
        "schedule": tuple(rng.sample(windows, rng.choice([0, 0, 0, 1, 2]))),
        "predictive": rng.random() < 0.2,
        "ttl_is_auto": rng.random() < 0.2,
        "base": rng.choice([0, 0, 0, 0, 1, None]),
        "scale_up_delay": rng.choice([0.0, 0.0, 0.5, 8.0]),
        "scale_down_delay": rng.choice([0.0, 0.0, 1.0, 40.0]),
        "start_seconds": rng.choice([None, 5.0, 70.0]),
    }


def _warmer(rng: Random) -> Warmer | None:
    if rng.random() < 0.6:
        return None
    gpus, gpu_memory = rng.choice([(0, None), (0, None), (1, None), (1, 5 * GIB), (1, 20 * GIB)])
    estimated = rng.random() < 0.5
    need = Need(rng.randint(1, 4) * GIB, gpus, gpu_memory, estimated, gpu_estimated=estimated)
    return Warmer(rng.choice("xswt"), need, rng.choice([None, 1, 2]), rng.choice([None, None, 0.002, 0.5]))


def _burst(rng: Random) -> Burst | None:
    if rng.random() < 0.4:
        return None
    return Burst(
        rng.choice([("p",), ("q", "p"), ("p", "unknown", "q")]),
        rng.random() < 0.2,
        rng.choice([INF, INF, 0.004]),
    )


def providers(rng: Random) -> tuple[Provider, ...]:
    return tuple(_provider(rng, name) for name in PROVIDERS[: rng.choice([0, 1, 2, 2])])


def _provider(rng: Random, name: str) -> Provider:
    keep = KeepWarm("a", rng.randint(1, 3), rng.choice([3.0, 40.0]))
    return Provider(
        id=name,
        tariff=Tariff(rng.choice([0.0, 1e-3]), rng.choice([0.0, 0.01]), 1e-6, rng.choice([0.0, 1e-5])),
        budget=Budget(rng.choice([INF, 0.0, 1.0, 5.0]), rng.choice([INF, 6.0]), rng.choice([INF, 20.0])),
        max_requests=rng.choice([1, 3, 64]),
        first_token=rng.choice([0.1, 1.0]),
        cold_start=rng.choice([0.0, 0.0, 8.0]),
        idle_timeout=rng.choice([1.0, 50.0]),
        max_duration=rng.choice([30.0, 600.0]),
        keep_warm=rng.choice([None, None, keep]),
        fingerprint=rng.choice("uv"),
    )


def _remote(rng: Random) -> Remote | None:
    if rng.random() < 0.4:
        return None
    return Remote(rng.randint(1, 4000), rng.choice([None, 100]), rng.random() < 0.2)


def _arrived(rng: Random, at: float, request: str, name: str) -> ev.Arrived:
    return ev.Arrived(
        at,
        request,
        name,
        rng.choice([None, None, None, 0.0, 3.0, INF]),
        rng.choice([STANDARD, STANDARD, CRITICAL, BATCH]),
        rng.choice([None, None, *NAMES]),
        _remote(rng),
    )


KINDS = ["burst"] * 6 + [
    "leave",
    "warm",
    "stop",
    "sleep",
    "reload",
    "measure",
    "sized",
    "crash",
    "overhead",
    "clock",
    "spent",
]


def events(seed: int, length: int) -> list[ev.Event]:
    """Configured first, then arrivals, departures, operators, reloads and measurements."""
    rng = Random(seed)
    gpus = rng.randint(0, 3)
    hosts = (Host("local", rng.randint(4, 20) * GIB, tuple(Device(i, 40 * GIB) for i in range(gpus))),)
    declared = deployments(rng)
    found: list[ev.Event] = [ev.Configured(0.0, declared, hosts, unix=1.8e9, providers=providers(rng))]
    at, requests = 0.0, 0
    for _ in range(length):
        at += rng.choice([0.0, 0.01, 0.3, 2.0, 40.0]) + len(found) * 1e-6
        kind, name = rng.choice(KINDS), rng.choice(NAMES)
        if kind == "burst":
            for _ in range(rng.randint(1, 8)):
                requests += 1
                at += 1e-6
                found.append(_arrived(rng, at, f"r{requests}", name))
        elif kind == "leave":
            found.append(ev.Finished(at, f"r{rng.randint(1, max(1, requests))}", ok=False))
        elif kind == "warm":
            found.append(ev.WarmAsked(at, name))
        elif kind == "stop":
            found.append(ev.StopAsked(at, name))
        elif kind == "sleep":
            found.append(ev.SleepAsked(at, name, rng.choice([None, 1, 2])))
        elif kind == "clock":
            found.append(ev.ClockSet(at, 1.8e9 + rng.choice([-1e8, -3600.0, 0.0, 30.0, 86400.0, 1e7])))
        elif kind == "spent":
            found.append(ev.Spent(at, rng.choice(PROVIDERS), ((500_000, rng.choice([0.2, 3.0])),)))
        elif kind == "overhead":
            found.append(ev.Overhead(at, "local", rng.randint(0, 6) * GIB))
        elif kind == "reload":
            declared = deployments(rng)
            found.append(ev.Configured(at, declared, hosts, unix=1.8e9, providers=providers(rng)))
        elif kind == "measure":
            gpu = rng.choice([None, rng.randint(1, 35) * GIB])
            found.append(ev.Measured(at, f"{name}-{rng.randint(1, 4)}", rng.randint(1, 9) * GIB, gpu))
        elif kind == "crash":
            replica, gone = f"{name}-{rng.randint(1, 4)}", at + rng.choice([0.0007, 0.7, 7.0])
            found.append(ev.Failing(at, replica, "scripted"))
            found.append(ev.Died(gone, replica, "scripted"))
        else:
            need = next((d.need for d in declared if d.id == name), Need())
            gpu = None if need.gpu_memory is None else rng.randint(1, 35) * GIB
            memory = rng.randint(1, 30) * GIB
            small = rng.random() < 0.3
            need = msgspec.structs.replace(need, memory=memory, gpu_memory=gpu)
            found.append(ev.Sized(at, name, need, small))
    return sorted(found, key=lambda e: e.at)


TRAFFIC = st.builds(events, st.integers(0, 2**32), st.integers(0, 40))
