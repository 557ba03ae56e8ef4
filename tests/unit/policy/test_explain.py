"""Why a model has the replicas that it has; and that looking changes nothing."""

import msgspec

from pilotlight.fleet.deployment import Goal
from pilotlight.policy import cold_rate, scaling
from pilotlight.policy.explain import explain
from pilotlight.spec.scaling import Window
from unit.policy.play import Play, model
from unit.policy.test_warmer import warm


def of(p: Play):
    return explain(p.fleet, p.fleet.deployments["m"], p.now)


def test_a_model_that_never_ran():
    told = of(Play(model(ttl=60.0, ttl_to_zero=600.0, max_replicas=3)))
    assert (told.wanted, told.asks, told.base, told.delays) == (0, [], [], None)
    (kept,) = told.keep_alive
    assert (kept.idle_s, kept.because) == (600.0, "declared as ttl_to_zero")
    assert told.cold_request.because.startswith("a first guess")


def test_every_policy_that_asks_is_there_and_the_most_counts():
    p = Play(model(min_replicas=1, base=2, max_replicas=3, target_requests=1))
    p.ask_all("r1", "r2", "r3", "r4")
    told = of(p)
    assert [(a.policy, a.replicas) for a in told.asks] == [("min_replicas", 1), ("base", 2), ("requests", 4)]
    assert told.wanted == 3 == scaling.wanted(p.fleet, p.fleet.deployments["m"], p.now)
    assert [k.because for k in told.keep_alive][:2] == ["it is to be up in any case"] * 2


def test_delays_and_an_operator():
    p = Play(model(max_replicas=3, target_requests=1, scale_up_delay=30.0))
    p.warm()
    assert [a.policy for a in of(p).asks] == ["warm"]
    p.ask_all("r1", "r2", "r3")
    told = of(p)
    assert told.delays is not None and told.delays.granted == 1
    assert told.wanted == 1


def learned() -> Play:
    p = Play(model(ttl_is_auto=True, base=None, max_replicas=3, target_requests=1))
    for i in range(30):
        p.ask(f"r{i}")
        for replica, state in p.states().items():
            if state == "starting":
                p.wait(5), p.ready(replica)
        p.wait(20), p.done(f"r{i}"), p.wait(100)
        for replica, state in p.states().items():
            if state == "stopping":
                p.gone(replica)
    return p


def test_what_was_learned_is_told_with_its_prices():
    told = of(learned())
    assert "gaps" in told.keep_alive[0].because
    assert told.base[0].replica == 1 and told.base[0].dedicated_usd > 0
    assert "% of the last" in told.cold_request.because or "first guess" in told.cold_request.because


def test_who_looks_changes_nothing():
    p = learned()
    before = msgspec.json.encode(msgspec.to_builtins(p.fleet, str_keys=True))
    of(p), of(p)
    assert msgspec.json.encode(msgspec.to_builtins(p.fleet, str_keys=True)) == before


def test_the_warmer_says_what_it_asks_for():
    assert of(Play(model())).warmer is None
    p = Play(warm())
    p.up()
    assert of(p).warmer == "none, until the last full replica is no longer needed"
    p.wait(60)
    assert of(p).warmer == "m-2 is starting, for the first requests of a burst, until a full replica is up"
    p.ready("m-2"), p.gone("m-1")
    assert (of(p).wanted, of(p).warmer.split(",")[0]) == (0, "m-2 is ready")


def test_a_warmer_without_room_and_one_that_is_the_last_replica_say_so():
    p = Play(warm(), memory=4)
    p.up(), p.wait(60)
    assert of(p).warmer.startswith("none: there is no room for it")
    assert of(Play(warm(mark="full"))).warmer.startswith("the last replica stays")


def test_the_price_that_an_operator_named():
    p = Play(model())
    p.goal = Goal(cold_usd=0.5)
    p.configure(model())
    assert cold_rate.because(p.fleet) == "it is objective.cold_request_cost_usd"


def test_looks_that_are_asked_for_again_and_again_do_not_multiply():
    p = Play(
        model(ttl_is_auto=True, schedule=(Window(cron="0 0 * * *", lasts=60.0),), slots=1, scale_up_delay=5.0)
    )
    p.ask_all("r1", "r2", "r3")
    p.ready("m-1")
    p.wait(400)
    assert len(p.fleet.timers) <= 8
