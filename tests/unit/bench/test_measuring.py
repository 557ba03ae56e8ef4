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

    def timed(self, prompt: str) -> Run:
        asked.append((self.variant.name, prompt))
        return Run(1.0, (), "cold")


asked: list[tuple[str, str]] = []


@pytest.fixture(autouse=True)
def lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextlib.contextmanager
    def lane(subject: object, variant: Variant, argv: object) -> Generator[Any]:
        yield Lane(variant)

    monkeypatch.setattr(measuring, "_lane", lane)
    asked.clear()


def test_each_is_asked_once_in_every_round_and_rounds_differ() -> None:
    told: list[str] = []
    variants = [Variant(name, ()) for name in NAMES]
    found = measuring.measure(
        SUBJECT, variants, 6, (), lambda v, run: told.append(v.name) if run is not None else None
    )
    rounds = [told[i : i + len(NAMES)] for i in range(0, len(told), len(NAMES))]
    assert len(rounds) == 6 and all(sorted(names) == sorted(NAMES) for names in rounds)
    assert len({tuple(names) for names in rounds}) > 1
    assert [(m.variant.name, len(m.runs)) for m in found] == [(name, 6) for name in NAMES]


def test_all_are_asked_the_same_in_a_round_and_something_new_in_the_next() -> None:
    measuring.measure(SUBJECT, [Variant(name, ()) for name in NAMES], 6, (), lambda variant, run: None)
    rounds = [{prompt for _, prompt in asked[i : i + len(NAMES)]} for i in range(0, len(asked), len(NAMES))]
    assert all(len(prompts) == 1 for prompts in rounds)
    assert len(set[str]().union(*rounds)) == 6
