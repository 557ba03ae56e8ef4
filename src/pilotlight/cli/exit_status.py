"""The exit status of a verb that only reads and reckons: what goes wrong there is wrong in what it was given."""

import sys
from collections.abc import Callable

from pilotlight.errors import ConfigError, PilotlightError


def of(work: Callable[[], None]) -> int:
    """0, or 2 after saying what is wrong. ConfigError goes on: it says by itself where."""
    try:
        work()
    except ConfigError:
        raise
    except PilotlightError as e:
        print(f"pilotlight: {e}", file=sys.stderr)
        return 2
    return 0
