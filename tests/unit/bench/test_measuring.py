"""In which order variants are asked."""

import contextlib
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from pilotlight.bench import measuring
from pilotlight.bench.result import Run
from pilotlight.bench.variants import Variant
from pilotlight.spec.model import Config, EngineSettings, Model

NAMES = ["plain", "zygote", "sleep", "all"]
SUBJECT = measuring.Subject(Model(), EngineSettings(), Config(), Path("/"))


class Lane:
    def __init__(self, variant: Variant) -> None:
        self.variant = variant

    def prepare(self, dice: object) -> None: ...

    def timed(self, dice: object) -> Run:
        return Run(1.0, (), "cold")


def test_each_is_asked_once_in_every_round_and_rounds_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextlib.contextmanager
    def lane(subject: object, variant: Variant, argv: object) -> Generator[Any]:
        yield Lane(variant)

    monkeypatch.setattr(measuring, "_lane", lane)
    asked: list[str] = []
    variants = [Variant(name, ()) for name in NAMES]
    found = measuring.measure(
        SUBJECT, variants, 6, (), lambda v, run: asked.append(v.name) if run is not None else None
    )
    rounds = [asked[i : i + len(NAMES)] for i in range(0, len(asked), len(NAMES))]
    assert len(rounds) == 6 and all(sorted(names) == sorted(NAMES) for names in rounds)
    assert len({tuple(names) for names in rounds}) > 1
    assert [(m.variant.name, len(m.runs)) for m in found] == [(name, 6) for name in NAMES]
