"""Providers as they are declared, and what is told of them."""

import msgspec
import pytest

from pilotlight.fleet.provider import Budget, Provider, Remote, Tariff
from pilotlight.policy import providers
from pilotlight.policy.explain import explain
from unit.policy.test_burst import bursting

REMOTE = Remote(100)
P = Provider("p", Tariff(request=0.5), Budget(day=4.0), first_token=0.5, fingerprint="a")


def known(p):
    return providers.known(p.fleet, p.fleet.providers["p"], p.now)


def test_what_is_known_of_one():
    p = bursting(P)
    p.ask("r1", remote=REMOTE)
    p.answered("r1")
    p.charged("r1", 0.25)
    p.ask("r2", remote=REMOTE)
    found = known(p)
    assert (found.id, found.breaker, found.pause_left_s) == ("p", "closed", 0.0)
    assert (found.requests, found.in_flight, found.cold_rate) == (2, 1, 0.0)
    assert found.spent == providers.Amounts(0.25, 0.25, 0.25)
    assert found.left == providers.Amounts(None, 3.25, None)
    assert found.reserved_usd == 0.5


def test_it_says_for_how_long_one_is_left_alone():
    p = bursting(P)
    p.ask("r1", remote=REMOTE)
    p.declined("r1", "busy", retry_after=30.0)
    p.wait(10.0)
    assert (known(p).breaker, known(p).pause_left_s) == ("paused", 20.0)
    assert known(p).last_reason == "scripted"


def test_to_look_changes_nothing():
    p = bursting(P)
    p.ask("r1", remote=REMOTE)
    before = msgspec.json.encode(p.fleet.providers)
    rows = providers.rows(p.fleet, p.now)
    assert msgspec.json.encode(p.fleet.providers) == before
    assert [row["id"] for row in rows] == ["p"]
    assert msgspec.json.encode(rows)


def test_one_that_was_removed_is_not_told_of_and_not_forgotten():
    p = bursting(P)
    p.ask("r1", remote=REMOTE)
    p.charged("r1", 0.5)
    p.providers = ()
    p.configure(p.fleet.deployments["m"].spec)
    assert providers.rows(p.fleet, p.now) == []
    assert p.fleet.providers["p"].spend.days == {0: 0.5}


def test_another_endpoint_of_the_same_name_is_met_afresh():
    p = bursting(P)
    p.ask("r1", remote=REMOTE)
    p.wait(3.0)
    p.answered("r1")
    p.charged("r1", 0.5)
    spec = p.fleet.deployments["m"].spec
    p.configure(spec)
    assert known(p).cold_rate == 1.0
    p.providers = (msgspec.structs.replace(P, fingerprint="b", first_token=0.2),)
    p.configure(spec)
    assert (known(p).first_token_s, known(p).cold_rate) == (0.2, None)
    assert known(p).spent.day == 0.5


@pytest.mark.parametrize(
    ("change", "state"),
    [({}, "paused"), ({"declaration": "b"}, "closed"), ({"fingerprint": "b"}, "closed"), (None, "closed")],
)
def test_a_reload_ends_a_pause_only_where_it_says_something_else_of_that_provider(
    change: dict[str, str] | None, state: str
):
    p = bursting(P)
    p.ask("r1", remote=REMOTE)
    p.declined("r1", "busy", retry_after=1800.0)
    spec = p.fleet.deployments["m"].spec
    if change is None:  # taken out, and put back
        p.providers = ()
        p.configure(spec)
    p.providers = (msgspec.structs.replace(P, **(change or {})),)
    p.configure(spec)
    assert known(p).breaker == state


def test_explain_tells_of_those_that_a_model_may_use():
    p = bursting(P, Provider("q"))
    found = explain(p.fleet, p.fleet.deployments["m"], p.now)
    assert [known.id for known in found.providers] == ["p", "q"]
