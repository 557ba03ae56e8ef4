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
