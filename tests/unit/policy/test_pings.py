"""Small requests that keep a provider warm."""

from pilotlight.fleet.provider import Budget, KeepWarm, Provider, Remote, Tariff
from unit.policy.play import Play, model
from unit.policy.test_burst import bursting

PRICE = Tariff(request=1.0)


def pinged(requests: int = 2, every: float = 60.0, **fields) -> Play:
    """A provider that is kept warm; pinged at once, and those pings are answered."""
    p = bursting(Provider("p", keep_warm=KeepWarm("m", requests, every), **fields), start_seconds=1e6)
    assert p.first == []
    shown = p.wait(0.0)
    assert shown == [f"ping-p-{i + 1} to p" for i in range(requests)]
    end(p)
    return p


def end(p: Play, usd: float = 0.0) -> None:
    for request in [name for name in p.fleet.sent if name.startswith("ping")]:
        p.answered(request)
        p.charged(request, usd)


def test_so_many_at_once_after_so_many_seconds_without_traffic():
    p = pinged()
    assert p.wait(59.0) == []
    assert p.wait(1.0) == ["ping-p-3 to p", "ping-p-4 to p"]
    assert p.fleet.providers["p"].requests == 0


def test_traffic_puts_them_off():
    p = pinged()
    p.wait(30.0)
    for request in ("r1", "r2"):
        p.ask(request, remote=Remote(10))
    for request in ("r1", "r2"):
        p.answered(request)
        p.charged(request)
    assert p.wait(59.0) == []
    assert p.wait(1.0) == ["ping-p-3 to p", "ping-p-4 to p"]


def test_requests_one_at_a_time_keep_one_instance_warm_and_no_more():
    p = pinged()
    for i in range(6):
        p.ask(f"r{i}", remote=Remote(10))
        p.answered(f"r{i}")
        p.charged(f"r{i}")
        shown = p.wait(10.0)
    assert shown == ["ping-p-3 to p", "ping-p-4 to p"]
    p = pinged(requests=1)
    for i in range(6):
        p.ask(f"r{i}", remote=Remote(10))
        p.answered(f"r{i}")
        p.charged(f"r{i}")
        assert p.wait(10.0) == []


def test_those_that_are_there_count():
    p = pinged()
    p.ask("r1", remote=Remote(10))
    assert p.wait(60.0) == ["ping-p-3 to p"]
    p = pinged(requests=1)
    p.ask("r1", remote=Remote(10))
    assert p.wait(200.0) == []


def test_they_stay_within_the_budget():
    p = bursting(Provider("p", PRICE, Budget(day=3.0), keep_warm=KeepWarm("m", 2, 60.0)), start_seconds=1e6)
    assert len(p.wait(0.0)) == 2
    end(p, usd=1.0)
    assert p.wait(60.0) == ["ping-p-3 to p"]
    end(p, usd=1.0)
    assert p.wait(600.0) == []


def test_a_ping_tries_one_that_was_ill():
    p = pinged(requests=1)
    for i in range(5):
        p.ask(f"r{i}", remote=Remote(10))
        p.declined(f"r{i}")
    assert p.fleet.providers["p"].breaker.opened
    assert "ping-p-2 to p" in p.wait(60.0) or p.fleet.providers["p"].breaker.probe is not None


def test_one_that_fails_is_tried_again_later():
    p = pinged(requests=1)
    p.wait(60.0)
    assert p.declined("ping-p-2") == []
    assert p.wait(60.0) == ["ping-p-3 to p"]


def test_never_more_than_it_takes_at_once():
    assert len(pinged(requests=1, max_requests=1).fleet.sent) == 0
    p = bursting(Provider("p", keep_warm=KeepWarm("m", 5, 60.0), max_requests=2))
    assert len(p.wait(0.0)) == 2


def test_none_while_the_server_leaves_or_after_it_was_taken_away():
    p = pinged()
    p.shut_down()
    assert p.wait(500.0) == []
    p = pinged()
    p.providers = ()
    p.configure(p.fleet.deployments["m"].spec)
    assert p.wait(500.0) == []
    p.providers = (Provider("p", keep_warm=KeepWarm("m", 1, 60.0)),)
    p.configure(p.fleet.deployments["m"].spec)
    assert p.wait(0.0) == ["ping-p-3 to p"]


def test_a_reload_that_changes_nothing_pings_nobody_anew():
    p = pinged()
    p.wait(30.0)
    p.configure(p.fleet.deployments["m"].spec)
    assert p.wait(29.0) == []
    assert len(p.wait(2.0)) == 2


def test_timers_do_not_multiply():
    p = pinged()
    for _ in range(50):
        p.configure(p.fleet.deployments["m"].spec)
    assert len([t for t in p.fleet.timers if t[2] == "ping"]) <= 2


def test_a_model_that_nobody_declared_can_be_pinged():
    """Who it is asked for is a matter of the provider."""
    p = Play(model(), providers=(Provider("p", keep_warm=KeepWarm("other", 1, 60.0)),))
    assert p.wait(0.0) == ["ping-p-1 to p"]
