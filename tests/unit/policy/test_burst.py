"""Requests for which no replica has a slot leave for a provider, where that is earlier."""

from typing import Any

import pytest

from pilotlight.fleet import events as ev
from pilotlight.fleet.classes import BATCH
from pilotlight.fleet.deployment import Goal
from pilotlight.fleet.provider import Budget, Burst, Provider, Remote, Tariff
from pilotlight.policy import budget
from pilotlight.policy.burst import IN_VAIN
from unit.policy.play import Play, model

REMOTE = Remote(input_tokens=100)
HEDGED = Remote(input_tokens=100, hedge=True)


def bursting(
    *providers: Provider, burst: Burst | None = None, play: dict[str, Any] | None = None, **fields: Any
) -> Play:
    """`m` starts in 40 s and has one slot; it may go to `p` (0.5 s), or to those that are given."""
    providers = providers or (Provider("p", first_token=0.5),)
    burst = burst or Burst(tuple(p.id for p in providers))
    fields = {"slots": 1, "target_requests": 1, "max_replicas": 4, "start_seconds": 40.0, **fields}
    return Play(model(burst=burst, **fields), providers=providers, **(play or {}))


def test_a_request_that_no_replica_can_take_goes_to_a_provider():
    p = bursting()
    assert p.ask("r1", remote=REMOTE) == ["send r1 to p"]
    assert p.answered("r1") == []
    assert p.charged("r1", 0.01) == []
    assert p.done("r1") == []
    assert p.fleet.sent == {}
    assert p.fleet.deployments["m"].in_flight == p.fleet.deployments["m"].away == 0


def test_nothing_leaves_that_must_not():
    p = bursting()
    assert p.ask("r1") == ["hold r1", "start m-1"]


def test_one_that_may_leave_no_more_waits_and_its_provider_is_none_the_worse():
    p = bursting(Provider("p", first_token=0.5), Provider("q", first_token=0.6))
    for i in range(6):
        assert p.ask(f"r{i}", remote=REMOTE) == [f"send r{i} to p"]
        assert f"hold r{i}" in p.declined(f"r{i}", kind="kept")
    assert p.ask("r9", remote=REMOTE) == ["send r9 to p"]
    assert p.fleet.providers["p"].failures == 0
    assert all(h.remote is None for h in p.fleet.deployments["m"].held.values())


def test_a_warm_replica_comes_first():
    p = bursting()
    p.up()
    assert p.ask("r1", remote=HEDGED) == ["r1 -> m-1"]
    assert p.ask("r2", remote=REMOTE) == ["send r2 to p"]


def test_a_start_that_is_nearly_over_is_waited_for():
    p = bursting(Provider("p", first_token=3.0))
    p.ask("r1")
    assert p.ask("r2", remote=REMOTE)[0] == "send r2 to p"
    p.charged("r2")
    p.leave("r1")
    p.wait(38.0)
    assert p.ask("r3", remote=REMOTE) == ["hold r3"]


def test_a_cold_provider_is_compared_with_its_cold_start():
    p = bursting(Provider("p", first_token=0.5, cold_start=60.0))
    assert p.ask("r1", remote=REMOTE) == ["hold r1", "start m-1"]


def test_a_short_queue_is_waited_for_and_a_long_one_is_not():
    p = bursting(Provider("p", first_token=2.0), slots=4, target_requests=4, max_replicas=1)
    p.up()
    p.ask_all("a", "b", "c", "d")
    # Four slots, five seconds each by the first guess: 1.6 of them come free in two seconds.
    assert p.ask("r1", remote=REMOTE) == ["hold r1"]
    assert p.ask("r2", remote=REMOTE) == ["send r2 to p"]


def test_only_cold_asks_while_no_replica_is_up():
    p = bursting(burst=Burst(("p",), only_cold=True))
    assert p.ask("r1", remote=REMOTE) == ["send r1 to p"]
    p.charged("r1")
    p.up()
    p.ask("r2", remote=REMOTE)
    assert p.ask("r3", remote=REMOTE)[0] == "hold r3"


def test_one_that_is_too_dear_is_not_asked():
    dear = Provider("dear", Tariff(request=1.0), first_token=0.1)
    p = bursting(dear, Provider("p"), burst=Burst(("dear", "p"), max_request_usd=0.5))
    assert p.ask("r1", remote=REMOTE) == ["send r1 to p"]


def test_a_full_provider_leaves_the_rest_to_a_start():
    p = bursting(Provider("p", max_requests=1))
    assert p.ask("r1", remote=REMOTE) == ["send r1 to p"]
    assert p.ask("r2", remote=REMOTE) == ["hold r2", "start m-1"]
    assert p.charged("r1") == ["send r2 to p"]


def test_a_full_queue_is_no_reason_to_refuse_what_a_provider_takes():
    p = bursting(Provider("p", first_token=100.0), max_pending_requests=0)
    assert p.ask("r1", remote=REMOTE) == ["send r1 to p"]
    assert p.ask("r2") == ["refuse r2 429 too_many_pending_requests"]


def test_a_declined_request_goes_to_the_next_provider_then_waits():
    p = bursting(Provider("p"), Provider("q"))
    assert p.ask("r1", remote=REMOTE) == ["send r1 to p"]
    assert p.declined("r1") == ["send r1 to q"]
    assert p.declined("r1", provider="q") == ["hold r1", "start m-1"]
    assert p.ready("m-1") == ["r1 -> m-1"]


def test_a_declined_request_whose_client_has_left_goes_nowhere():
    p = bursting(Provider("p"), Provider("q"))
    p.ask("r1", remote=REMOTE)
    p.leave("r1")
    assert p.declined("r1") == []
    assert p.fleet.sent == {}


def test_a_declined_request_finds_the_queue_full():
    p = bursting(max_pending_requests=0)
    p.ask("r1", remote=REMOTE)
    assert p.declined("r1") == ["refuse r1 429 too_many_pending_requests"]


def test_a_declined_request_of_a_model_that_is_gone_is_refused():
    p = bursting()
    p.ask("r1", remote=REMOTE)
    p.configure()
    assert p.declined("r1") == ["refuse r1 503 model_gone"]


def test_a_request_that_bounces_may_leave():
    p = bursting()
    p.up()
    p.ask("r1", remote=REMOTE)
    assert "send r1 to p" in p.play(ev.Bounced(p.now, "r1", REMOTE))


def test_those_that_wait_leave_when_the_start_fails():
    p = bursting(Provider("p", first_token=39.0), slots=2, target_requests=2)
    assert p.ask("r1", remote=HEDGED) == ["hold r1", "hedge r1 to p", "start m-1"]
    p.ask("r2")
    assert "refuse r2 503 start_failed" in p.fail("m-1")
    assert "r1" not in p.refused
    p.answered("r1")
    assert p.fleet.deployments["m"].away == 1


def test_held_ones_leave_for_a_provider_that_may_be_asked_again():
    p = bursting()
    p.ask("r0", remote=REMOTE)
    p.declined("r0", "busy", retry_after=10.0)
    assert p.ask("r1", remote=REMOTE)[0] == "hold r1"
    assert p.wait(10.0) == ["send r0 to p", "send r1 to p"] or p.held() == ["r0"]


# -- hedged ------------------------------------------------------------------------------------------------------


def test_a_hedged_request_is_taken_from_the_queue_by_the_first_answer():
    p = bursting()
    assert p.ask("r1", remote=HEDGED) == ["hold r1", "hedge r1 to p", "start m-1"]
    assert p.answered("r1") == []
    assert p.held() == []
    assert p.ready("m-1") == []
    p.charged("r1")
    assert p.fleet.deployments["m"].in_flight == 0


def test_a_hedged_request_that_a_replica_has_is_called_off_there():
    p = bursting()
    p.ask("r1", remote=HEDGED)
    assert p.ready("m-1") == ["r1 -> m-1"]
    p.answered("r1")
    assert p.fleet.replicas["m-1"].in_flight == 0
    assert p.done("r1") == []
    p.charged("r1")
    assert p.fleet.deployments["m"].in_flight == 0


def test_a_hedged_request_stays_where_it_was_first():
    p = bursting()
    p.ask("r1", remote=HEDGED)
    p.ready("m-1")
    p.charged("r1", 0.2, reason="a replica was faster")
    assert p.fleet.replicas["m-1"].in_flight == 1
    assert p.fleet.providers["p"].spend.hours == {0: 0.2}
    assert p.fleet.providers["p"].breaker.failures == 0


def test_a_hedged_request_asks_the_next_provider():
    p = bursting(Provider("p"), Provider("q"))
    p.ask("r1", remote=HEDGED)
    assert p.declined("r1") == ["hedge r1 to q"]


# -- beside the other policies -----------------------------------------------------------------------------------


def test_a_stand_in_that_is_up_comes_before_a_provider():
    p = Play(model(burst=Burst(("p",))), model("other"), providers=(Provider("p"),))
    p.up("other")
    assert p.ask("r1", stand_in="other", remote=REMOTE) == ["r1 -> other-1", "start m-1"]


def test_batch_requests_leave_only_past_their_deadline():
    p = bursting(batch_deadline=30.0)
    assert p.ask("r1", remote=REMOTE, rank=BATCH) == ["hold r1"]
    assert p.wait(20.0) == []
    assert p.wait(20.0) == ["send r1 to p"]


def test_min_replicas_start_whoever_else_answers():
    p = bursting(min_replicas=1)
    assert p.first == ["start m-1"]


@pytest.mark.parametrize("seconds", [0.5, 3.0])
def test_a_request_is_cold_that_waits_too_long_for_a_provider(seconds: float):
    p = bursting(base=None)
    p.ask("r1", remote=REMOTE)
    p.wait(seconds)
    p.answered("r1")
    assert p.fleet.prices.past.cold == (1.0 if seconds > p.goal.wait else 0.0)


def test_nothing_is_sent_while_the_server_leaves():
    p = bursting(Provider("p"), Provider("q"))
    p.ask("r1", remote=REMOTE)
    p.shut_down()
    assert p.declined("r1") == ["refuse r1 503 model_gone"]
    assert p.ask("r2", remote=REMOTE) == ["refuse r2 503 shutting_down"]


def test_a_provider_that_a_reload_takes_away_still_ends_its_requests():
    p = bursting(Provider("p", Tariff(request=1.0), Budget(day=10.0)))
    assert p.ask("r1", remote=REMOTE)[0] == "send r1 to p"
    spec = p.fleet.deployments["m"].spec
    p.providers = ()
    p.configure(spec)
    assert p.ask("r2", remote=REMOTE)[0] == "hold r2"
    p.charged("r1", 1.0)
    p.providers = (Provider("p", Tariff(request=1.0), Budget(day=1.5)),)
    p.configure(spec)
    assert p.ask("r3", remote=REMOTE)[0] == "hold r3", "what was spent before the reloads is spent"


def test_one_that_fits_no_budget_does_not_keep_the_next_one_from_leaving():
    p = bursting(Provider("p", Tariff(input_token=1.0), Budget(day=50.0), max_requests=1), start_seconds=1e6)
    p.ask("r0", remote=Remote(1))
    p.ask("large", remote=Remote(100))
    p.ask("small", remote=Remote(1))
    assert p.held() == ["large", "small"]
    assert p.charged("r0")[0] == "send small to p"
    assert p.held() == ["large"]


def test_what_a_request_may_cost_is_asked_of_its_own_size():
    """However small those before it were, and however large."""
    far = Provider("p", tariff=Tariff(input_token=1e-3), first_token=0.5)
    p = bursting(far, burst=Burst(("p",), max_request_usd=1.0), max_replicas=0)
    small, large = Remote(4 * 500, output_tokens=1), Remote(4 * 5000, output_tokens=1)
    for i in range(5):
        assert p.ask(f"s{i}", remote=small) == [f"send s{i} to p"]
        p.answered(f"s{i}")
        p.charged(f"s{i}", 0.1)  # a fifth of what it looked like
        p.done(f"s{i}")
    assert p.ask("l1", remote=large) == ["send l1 to p"], "a fifth of 5 USD"
    assert p.ask("l2", remote=Remote(4 * 5100, output_tokens=1)) == ["hold l2"]


def costing(cold_usd: float | None, usd: float, **fields: Any) -> Play:
    """A request costs `usd` at `p`, and here a USD a second, of which four at once share one, for 5 s."""
    p = bursting(Provider("p", Tariff(request=usd), first_token=0.5), target_requests=4, slots=4, **fields)
    p.goal = Goal(cold_usd=cold_usd, on_demand=1.0)
    p.configure(p.fleet.deployments["m"].spec)
    return p


@pytest.mark.parametrize(
    ("cold_usd", "usd", "leaves"),
    [(None, 100.0, True), (2.0, 3.24, True), (2.0, 3.26, False), (0.0, 1.3, False)],
)
def test_a_provider_is_too_dear_beyond_what_a_cold_request_costs(
    cold_usd: float | None, usd: float, leaves: bool
):
    assert costing(cold_usd, usd).ask("r", remote=REMOTE)[0] == ("send r to p" if leaves else "hold r")


def test_what_is_said_of_the_model_goes_before_what_a_cold_request_costs():
    p = costing(0.0, 5.0, burst=Burst(("p",), max_request_usd=6.0))
    assert p.ask("r", remote=REMOTE) == ["send r to p"]


def test_a_request_that_would_be_refused_is_worth_more_than_a_cold_one():
    p = costing(0.0, 5.0, max_pending_requests=1)
    assert p.ask("r1", remote=REMOTE) == ["hold r1", "start m-1"]
    assert p.ask("r2", remote=REMOTE) == ["send r2 to p"]


def test_thousands_who_wait_while_the_money_is_gone_are_not_all_looked_at(monkeypatch: pytest.MonkeyPatch):
    far = Provider("p", tariff=Tariff(request=1.0), budget=Budget(hour=1.0), first_token=0.5)
    p = bursting(far, max_pending_requests=9000, max_replicas=1)
    assert p.ask("r0", remote=REMOTE)[0] == "send r0 to p"
    for i in range(1, 2000):
        p.ask(f"r{i}", remote=REMOTE)
    looks = 0
    fits = budget.fits

    def counted(*of: Any) -> bool:
        nonlocal looks
        looks += 1
        return fits(*of)

    monkeypatch.setattr(budget, "fits", counted)
    p.answered("r0")
    p.charged("r0", 1.0)
    p.done("r0")
    assert looks <= 4 * IN_VAIN


def test_those_whom_a_provider_has_declined_do_not_stand_in_the_way_of_others():
    p = bursting(Provider("p", first_token=0.5, max_requests=40), max_pending_requests=9000, max_replicas=1)
    for i in range(40):
        assert p.ask(f"r{i}", remote=REMOTE) == [f"send r{i} to p"]
    p.ask("last", remote=REMOTE)
    sent = [word for i in range(40) for word in p.declined(f"r{i}", kind="busy", retry_after=1.0)]
    assert "send last to p" not in sent
    assert "send last to p" in p.wait(2.0)


def test_an_answer_in_one_piece_has_run_since_it_was_sent():
    p = bursting(max_replicas=0)
    b = p.fleet.deployments["m"].bursting
    assert b is not None
    for request, known in (("r1", None), ("r2", 20.0)):  # the first one may have met it cold
        p.ask(request, remote=REMOTE)
        p.wait(20.0)
        p.answered(request, whole=True)
        p.charged(request)
        p.done(request)
        assert b.service == known
