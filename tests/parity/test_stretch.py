"""Windows above the band: what is paid for them, and the limit of it, are decided on as the server decides."""

from collections.abc import Iterator
from random import Random
from unittest import mock

from pilotlight.fleet import events as ev
from pilotlight.fleet.deployment import Deployment, Host
from pilotlight.fleet.fleet import Fleet
from pilotlight.policy import surcharge, windows
from pilotlight.sim.starts import StartTimes

from .shipped import Scene, live, simulated

REQUESTS = 16_000
"""More than ten windows, before which nothing is paid."""

BURST = 40
"""Requests, a quarter of a second apart."""


def bursts(name: str, dice: Random) -> Iterator[ev.Arrived]:
    at = 0.0
    for k in range(REQUESTS // 3 // BURST):
        at += 60.0 * dice.lognormvariate(0.0, 1.2)
        for i in range(BURST):
            yield ev.Arrived(at + 0.25 * i, f"{name}{k}.{i}", name)


def scene() -> Scene:
    """Keep-alive and base learned, one of the two, and the other."""
    dice, many = Random(1), {"max_replicas": 3, "target_requests": 2}
    models = (
        Deployment("a", fingerprint="a", ttl_is_auto=True, base=None, **many),
        Deployment("b", fingerprint="b", ttl_is_auto=True, **many),
        Deployment("c", fingerprint="c", ttl=30.0, ttl_to_zero=30.0, base=None, **many),
    )
    asked = sorted((e for m in models for e in bursts(m.id, dice)), key=lambda e: e.at)
    configured = ev.Configured(0.0, models, (Host(),), unix=1.8e9)
    return Scene(configured, tuple((e, 0.8) for e in asked), StartTimes(constant=5.0), 0)


def test_a_price_that_is_stretched_and_limited():
    of, reckoned = scene(), list[float]()
    affordable = surcharge.affordable

    def spy(fleet: Fleet, now: float) -> float:
        reckoned.append(affordable(fleet, now))
        return reckoned[-1]

    with mock.patch.object(surcharge, "affordable", spy):
        log = simulated(of)
        here = reckoned.copy()
        reckoned.clear()
        assert live(of) == log
    assert here == reckoned
    assert any(1.0 < most < windows.UTMOST for most in here), "it is limited"
    with mock.patch.object(windows, "stretch", lambda w: 1.0):
        assert simulated(of) != log, "it makes a difference"
