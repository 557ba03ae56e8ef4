import pytest

from pilotlight.ports import Exit
from pilotlight.worker.failed import of_exit


@pytest.mark.parametrize(
    ("exit", "says", "see_log"),
    [
        (Exit(code=3), "the engine exited with status 3 after 2.00 s", True),
        (Exit(signal=6), "the engine was killed by signal 6 after 2.00 s", True),
        (Exit(signal=7), "the engine was killed by signal 7 after 2.00 s (SIGBUS: a file that it had mapped", False),
        (Exit(signal=9), "the engine was killed by signal 9 after 2.00 s (SIGKILL: by somebody, or by", False),
        (Exit(signal=99), "the engine was killed by signal 99 after 2.00 s", True),
        (Exit(), "the engine ended after 2.00 s", True),
    ],
)  # fmt: skip
def test_what_killed_an_engine_from_without_is_said_in_place_of_its_last_line(exit, says, see_log):
    failed = of_exit(exit, 2.0)
    assert failed.reason.startswith(says)
    assert failed.see_log is see_log
