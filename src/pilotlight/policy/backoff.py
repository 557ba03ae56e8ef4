"""When a deployment whose start failed, or whose replica crashed, may start again."""

FIRST = 1.0
CAP = 30.0


def delay(failures: int) -> float:
    """Seconds after the `failures`-th failure in a row: 1, 2, 4, ... capped at 30.

    Never for ever: a deployment cannot stick in "failed".
    """
    return min(CAP, FIRST * 2.0 ** min(failures - 1, 10))


SLEEP_FIRST = 60.0
SLEEP_CAP = 3600.0


def sleep_delay(failures: int) -> float:
    """Seconds after the `failures`-th replica in a row that could not sleep: 1, 2, 4, ... minutes, at most an hour.

    A replica that could not is stopped, so each attempt costs the next request a start.
    """
    return min(SLEEP_CAP, SLEEP_FIRST * 2.0 ** min(failures - 1, 10))
