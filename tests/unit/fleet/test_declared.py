"""From what an operator declares of providers to what the kernel decides on."""

import math

import msgspec
import pytest

from pilotlight.fleet.declared import deployment, provider, providers
from pilotlight.fleet.deployment import Need
from pilotlight.fleet.plan import Plan
from pilotlight.fleet.provider import Burst, KeepWarm
from pilotlight.spec import provider as spec
from pilotlight.spec.model import Config, Model

SAID = spec.Provider(
    "https://api.example.com/v1",
    price=spec.Rates(0.1, 0.2, 3.0, 15.0),
    budget=spec.Spending(day_usd=10.0),
    idle_timeout=100.0,
    keep_warm=spec.KeepWarm("m", 2),
)


def burst_of(model: Model) -> Burst | None:
    return deployment("m", model, Plan(()), Need(), ()).burst


def test_prices_are_for_one_token_and_a_limit_that_is_not_said_is_none():
    found = provider("p", SAID)
    assert found.tariff.usd(10.0, 1_000_000, 1_000_000) == pytest.approx(1.0 + 0.2 + 3.0 + 15.0)
    assert (found.budget.hour, found.budget.day, found.budget.month) == (math.inf, 10.0, math.inf)
    assert found.keep_warm == KeepWarm("m", 2, 80.0)


def test_another_endpoint_has_another_fingerprint_and_another_price_does_not():
    def mark(**changed: object) -> str:
        return provider("p", msgspec.structs.replace(SAID, **changed)).fingerprint

    assert mark() == mark(price=spec.Rates(9.0))
    assert len({mark(), mark(base_url="https://b.example.com"), mark(headers={"x": "secret"})}) == 3
    assert "secret" not in mark(headers={"x": "secret"})


def test_whatever_is_said_of_a_provider_changes_its_declaration():
    found = {
        provider("p", msgspec.structs.replace(SAID, **changed)).declaration
        for changed in ({}, {"key_env": "OTHER"}, {"connect_timeout": 7.0}, {"max_requests": 9})
    }
    assert len(found) == 4


def test_all_that_are_declared():
    assert [p.id for p in providers(Config(providers={"a": SAID, "b": SAID}))] == ["a", "b"]


def test_where_a_model_may_burst_to():
    assert burst_of(Model(burst=spec.Burst("p", "cold", 0.5))) == Burst(("p",), True, 0.5)
    assert burst_of(Model(burst=spec.Burst(("p", "q", "p"), "overflow"))) == Burst(("p", "q"))
    assert burst_of(Model()) is None


def test_a_model_that_may_not_leave_the_house_bursts_nowhere():
    assert burst_of(Model(burst=spec.Burst("p", "overflow"), leave_house=False)) is None
