"""`pilotlight` with one change: a `command` is put to sleep and woken by vLLM's routes, so that the stub can be."""

import sys
from typing import Any

import msgspec

from pilotlight.cli.main import main
from pilotlight.engines.command import CommandEngine

_launch = CommandEngine.launch


def launch(*args: Any) -> Any:
    return msgspec.structs.replace(_launch(*args), sleeps="http")


def techniques(*_: Any) -> tuple[str, ...]:
    return ("sleep",)


for ours in (launch, techniques):
    setattr(CommandEngine, ours.__name__, ours)

if __name__ == "__main__":
    sys.exit(main())
