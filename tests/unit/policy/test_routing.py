"""Which replica takes a request."""

from unit.policy.play import Play, model


def two(**fields: object) -> Play:
    p = Play(model(max_replicas=2, target_requests=1, **fields))
    p.ask_all("a", "b")
    p.ready("m-1"), p.ready("m-2")
    p.done("a"), p.done("b")
    return p


def test_the_least_busy_one():
    p = two()
    assert p.ask("r1") == ["r1 -> m-1"]
    assert p.ask("r2") == ["r2 -> m-2"]
    p.done("r1")
    assert p.ask("r3") == ["r3 -> m-1"]


def test_no_more_than_its_slots_and_the_rest_in_order():
    p = Play(model(slots=2, target_requests=2))
    p.up()
    assert p.ask_all("r1", "r2", "r3", "r4") == ["r1 -> m-1", "r2 -> m-1", "hold r3", "hold r4"]
    assert p.done("r2") == ["r3 -> m-1"]
    assert p.ask("r5") == ["hold r5"]
    assert p.done("r1") == ["r4 -> m-1"]
    assert p.done("r3") == ["r5 -> m-1"]


def test_nobody_overtakes_those_who_wait():
    p = Play(model(slots=1, target_requests=1))
    p.up()
    p.ask_all("r1", "r2")
    p.leave("r1")
    assert p.ask("r3") == ["hold r3"]
    assert p.held() == ["r3"], "r2 runs"


def test_one_that_is_starting_suspect_or_to_go_takes_none():
    p = two()
    p.ask_all("r1", "r2")
    assert p.bounce("r1") == ["hold r1", "probe m-1", "r1 -> m-2"]
    assert p.ask("r3") == ["r3 -> m-2"]
    p.stop()
    assert p.states() == {"m-1": "stopping", "m-2": "draining"}
    assert p.ask("r4") == ["hold r4", "start m-3"]


def test_as_declared_before_outdated():
    p = Play(model(fingerprint="old", max_replicas=2, target_requests=1))
    p.up()
    p.ask("r1"), p.ask("r2")
    p.ready("m-2")
    p.ask("r3")  # two on one of the old ones
    p.configure(model(fingerprint="new", max_replicas=2, target_requests=1))
    assert p.ask("r4")[0] in ("r4 -> m-1", "r4 -> m-2"), "while there is no new one"
    p.ready("m-3")
    assert p.ask("r5")[0] == "r5 -> m-3"
    assert p.ask("r6")[0] == "r6 -> m-3", "though an old one is less busy"
