"""`pilotlight` with one change: a `command` is put to sleep and woken by vLLM's routes, so that the stub can be, and
its configuration may say so."""

import sys
from typing import Any

import msgspec

from pilotlight.cli.main import main
from pilotlight.engines.command import CommandEngine
from pilotlight.spec import model_rules

_launch = CommandEngine.launch


def launch(*args: Any) -> Any:
    return msgspec.structs.replace(_launch(*args), sleeps="http")


def techniques(*_: Any) -> tuple[str, ...]:
    return ("sleep",)


for ours in (launch, techniques):
    setattr(CommandEngine, ours.__name__, ours)

for _name in ("RULES", "RUNNING"):
    _kept = tuple(
        rule for rule in getattr(model_rules, _name) if rule[0] is not model_rules.some_engines_do_not_sleep
    )
    setattr(model_rules, _name, _kept)

if __name__ == "__main__":
    sys.exit(main())
