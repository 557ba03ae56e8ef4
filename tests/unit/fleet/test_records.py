"""What a request is said to have waited for."""

import pytest

from unit.telemetry.records import record


@pytest.mark.parametrize(
    ("ready_at", "woken", "start", "wait"),
    [
        (1.0, False, "warm", 0.0),
        (1.0, True, "warm", 0.0),  # it was woken for somebody else, long ago
        (10.5, False, "cold", 0.5),
        (10.5, True, "woken", 0.5),
    ],
)
def test_a_wait_for_a_wake_is_no_cold_start(ready_at: float, woken: bool, start: str, wait: float):
    r = record(replica_ready_at=ready_at, woken=woken)
    assert (r.start, r.start_wait) == (start, wait)


@pytest.mark.parametrize("outcome", ["ok", "client_left", "start_failed"])
def test_a_batch_request_that_no_replica_took_waited_for_no_start(outcome: str):
    r = record(request_class="batch", replica_ready_at=None, assigned_at=None, outcome=outcome, in_vain=True)
    assert (r.start, r.start_wait) == ("none", 0.0)


def test_one_that_a_stand_in_answered_is_warm_and_says_so():
    r = record(served_model="small")
    assert (r.start, r.stood_in) == ("warm", True)
    assert not record().stood_in
