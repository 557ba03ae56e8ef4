"""`pilotlight explain`: what people see."""

from typing import Any

import pytest

from pilotlight.cli.explain_verb import show
from unit.cli.test_providers import FAR

ANSWER: dict[str, Any] = {
    "model": "chat", "wanted": 0, "bounds": {"min_replicas": 0, "max_replicas": 1}, "replicas": {}, "asks": [],
    "delays": None, "keep_alive": [], "base": [], "cold_request": {"usd": 1e-5, "because": "so"}, "decisions": [],
    "prices": {"examples": "prices are examples of a day"},
}  # fmt: skip


def test_the_providers_that_a_model_may_use_are_shown_with_their_budget(capsys: pytest.CaptureFixture[str]):
    show({**ANSWER, "providers": [FAR]}, 20)
    out = capsys.readouterr().out
    assert "what exceeds its replicas may go to\nPROVIDER" in out
    assert "$1.00, $4.00 left" in out
    assert "a request that waits longer for a start than `objective.wait` counts for $0.00001: so" in out


def test_a_model_that_may_use_none_has_no_word_of_them(capsys: pytest.CaptureFixture[str]):
    show({**ANSWER, "providers": []}, 20)
    assert "PROVIDER" not in capsys.readouterr().out


def test_what_its_warmer_asks_for_is_shown(capsys: pytest.CaptureFixture[str]):
    show({**ANSWER, "warmer": "one is to come up"}, 20)
    assert "warmer: one is to come up\n" in capsys.readouterr().out
    show({**ANSWER, "warmer": None}, 20)
    assert "warmer" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("examples", "text"), [("prices are examples of a day", "examples of a day"), ("", "prices are your own")]
)
def test_it_says_whose_the_prices_are(examples: str, text: str, capsys: pytest.CaptureFixture[str]):
    show({**ANSWER, "prices": {"examples": examples}}, 20)
    assert text in capsys.readouterr().out
