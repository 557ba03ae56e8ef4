"""The command itself, whatever the verb."""

import sys
from types import ModuleType

import pytest

from pilotlight.cli.main import main


def test_an_interrupt_while_it_imports_ends_it_quietly(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(ModuleType):
        def __getattr__(self, name: str) -> object:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "pilotlight.errors", Slow("pilotlight.errors"))
    assert main(["version"]) == 130
