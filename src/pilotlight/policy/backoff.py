"""When a deployment whose start failed, or whose replica crashed, may start again."""

FIRST = 1.0
CAP = 30.0


def delay(failures: int) -> float:
    """Seconds after the `failures`-th failure in a row: 1, 2, 4, ... capped at 30.

    Never for ever: a deployment cannot stick in "failed".
    """
    return min(CAP, FIRST * 2.0 ** min(failures - 1, 10))
