"""Whom of several providers a request goes to: the one that is preferred, unless it would be late."""

from hypothesis import given
from hypothesis import strategies as st

from pilotlight.fleet.provider import Burst, Provider, Tariff
from unit.policy.test_burst import REMOTE, bursting


def test_providers_are_asked_as_they_are_listed():
    p = bursting(Provider("p", first_token=1.9, max_requests=1), Provider("q", first_token=0.1))
    assert p.ask("r1", remote=REMOTE) == ["send r1 to p"]
    assert p.ask("r2", remote=REMOTE) == ["send r2 to q"], "the first one is full"
    p.answered("r1")
    p.charged("r1")
    assert p.ask("r3", remote=REMOTE) == ["send r3 to p"]
    assert p.declined("r3") == ["send r3 to q"]


def test_one_that_would_be_late_is_passed_over_for_one_that_is_not():
    p = bursting(Provider("p", first_token=0.5, cold_start=30.0), Provider("q", first_token=0.3))
    assert p.ask("r1", remote=REMOTE) == ["send r1 to q"]


def test_where_all_are_late_the_earliest_is_asked_and_of_equals_the_first():
    slow, quick = Provider("slow", first_token=4.0), Provider("quick", first_token=3.0)
    p = bursting(slow, quick, Provider("same", first_token=3.0))
    assert p.ask("r1", remote=REMOTE) == ["send r1 to quick"]


def test_where_the_preferred_one_is_later_than_a_start_here_a_quicker_one_is_asked():
    slow, quick = Provider("slow", first_token=1.9), Provider("quick", first_token=0.1)
    for listed in ((slow, quick), (quick, slow)):
        p = bursting(*listed, start_seconds=1.0)
        assert p.ask("r1", remote=REMOTE) == ["send r1 to quick"]
    p = bursting(slow, Provider("q", first_token=1.5), start_seconds=1.0)
    assert p.ask("r1", remote=REMOTE)[0] == "hold r1"
    p = bursting(slow, quick, start_seconds=30.0)
    assert p.ask("r1", remote=REMOTE) == ["send r1 to slow"]


def test_one_that_was_late_once_is_asked_again_by_one_request():
    """Nobody would learn otherwise that it is quick again: the others answer all."""
    p = bursting(Provider("p", first_token=0.5), Provider("q", first_token=0.5))
    for request, seconds in (("a", 0.5), ("b", 20.0)):
        assert p.ask(request, remote=REMOTE) == [f"send {request} to p"]
        p.wait(seconds)
        p.answered(request)
        p.charged(request)
    assert p.ask("c", remote=REMOTE) == ["send c to q"]
    p.wait(300.0)
    assert p.ask("d", remote=REMOTE) == ["send d to p"]
    assert p.ask("e", remote=REMOTE) == ["send e to q"], "one is enough to tell"
    p.wait(0.5)
    p.answered("d")
    assert p.ask("f", remote=REMOTE) == ["send f to p"]


def test_one_that_was_found_cold_is_asked_again_after_an_hour():
    p = bursting(Provider("p", first_token=0.5, idle_timeout=300.0), Provider("q", first_token=0.5))
    assert p.ask("a", remote=REMOTE) == ["send a to p"], "nobody has said that it goes cold"
    p.wait(30.0)
    p.answered("a")
    p.charged("a")
    p.wait(300.0)
    assert p.ask("b", remote=REMOTE) == ["send b to q"], "it may have gone cold again"
    p.wait(3300.0)
    assert p.ask("c", remote=REMOTE) == ["send c to p"], "it may be another one by now"
    assert p.ask("d", remote=REMOTE) == ["send d to q"]


LISTED = st.lists(
    st.tuples(
        st.sampled_from([0.1, 1.0, 2.0, 2.5, 30.0]), st.sampled_from(["well", "full", "dear", "paused"])
    ),
    min_size=1,
    max_size=5,
)


@given(LISTED)
def test_whoever_is_asked_is_the_first_in_time_or_else_the_earliest(listed: list[tuple[float, str]]):
    specs = [
        Provider(
            f"p{i}", Tariff(request=9.0 if how == "dear" else 0.0), max_requests=how != "full", first_token=s
        )
        for i, (s, how) in enumerate(listed)
    ]
    p = bursting(*specs, burst=Burst(tuple(spec.id for spec in specs), max_request_usd=1.0))
    for i, (_, how) in enumerate(listed):
        if how == "paused":
            p.fleet.providers[f"p{i}"].breaker.paused_until = p.now + 1.0
    able = [(s > p.goal.wait and s, i) for i, (s, how) in enumerate(listed) if how == "well"]
    wanted = f"send r to p{min(able)[1]}" if able else "hold r"
    assert p.ask("r", remote=REMOTE)[0] == wanted
