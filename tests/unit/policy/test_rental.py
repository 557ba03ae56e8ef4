"""When a replica is started for requests that providers answer."""

from hypothesis import given
from hypothesis import strategies as st

from pilotlight.fleet.fleet import Fleet
from pilotlight.fleet.provider import Provider, Remote, Tariff
from pilotlight.policy import rental
from unit.policy.test_burst import bursting

REMOTE = Remote(100)


def second(p) -> float:
    return rental.second(p.fleet, p.fleet.deployments["m"])


def test_one_starts_with_the_first_request_where_that_is_dearer_than_a_start():
    p = bursting(Provider("p", Tariff(request=1.0)))
    assert p.ask("r1", remote=REMOTE) == ["send r1 to p", "start m-1"]


def test_one_that_costs_nothing_while_it_starts_is_started_at_once():
    p = bursting(Provider("p"), start_seconds=0.0)
    p.fleet.deployments["m"].retry_at = 1e9  # else it would be up already
    assert p.ask("r1", remote=REMOTE) == ["send r1 to p"]
    p.fleet.deployments["m"].retry_at = 0.0
    assert p.ask("r2", remote=REMOTE) == ["hold r2", "start m-1", "start m-2"]


def test_where_providers_are_cheaper_none_ever_starts():
    p = bursting(Provider("p", Tariff(request=1e-6)))
    for i in range(300):
        assert p.ask(f"r{i}", remote=REMOTE) == [f"send r{i} to p"]
        p.wait(1.0)
        p.answered(f"r{i}")
        assert p.charged(f"r{i}", 0.9 * second(p)) == []


def test_where_they_are_dearer_one_starts_after_as_much_as_a_start():
    p = bursting(Provider("p", Tariff(request=1e-6)))
    paid, started = 0.0, []
    for i in range(300):
        started += p.ask(f"r{i}", remote=REMOTE)[1:]
        p.wait(1.0)
        p.answered(f"r{i}")
        usd = 3.0 * second(p)
        paid += usd
        started += p.charged(f"r{i}", usd)
        if p.fleet.replicas:
            break
    # Twice a second's price too much each second: after 20 s of 40 they have cost as much more as a start.
    assert 18 <= i <= 23


def test_dear_spells_far_apart_never_add_up():
    p = bursting(Provider("p", Tariff(request=1e-6)))
    for i in range(50):
        p.ask(f"r{i}", remote=REMOTE)
        p.answered(f"r{i}")
        assert p.charged(f"r{i}", 20 * second(p)) == []
        p.wait(60.0)
    assert not p.fleet.replicas


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 1)), max_size=60))
def test_never_more_than_twice_what_would_have_been_right(steps):
    """Of one replica's worth: what was spent, and a start, against always the cheaper one from the beginning."""
    p = bursting()
    d, b, now, spent = p.fleet.deployments["m"], p.fleet.deployments["m"].bursting, 0.0, 0.0
    fleet: Fleet = p.fleet
    price, second_usd, began = rental.start(fleet, d), rental.second(fleet, d), None
    rental.joins(fleet, d, b, 0.0, now)
    for seconds, usd in steps:
        if rental.pays(fleet, d, b, now):
            break
        now += seconds
        rental.owes(fleet, d, b, 0, usd, now)
        spent += usd
        last = usd
        began = now
    if began is not None:
        best = min(spent, price + second_usd * now)
        assert spent <= 2 * best + last + 1e-6
