"""pilotlight run: what a model says does not reach the terminal as orders."""

import pytest

from pilotlight.cli.run_verb import inert


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("two\n\tlines, caf\u00e9 \u2603", "two\n\tlines, caf\u00e9 \u2603"),
        ("\x1b[2J\x1b[31mred", "[2J[31mred"),
        ("\x1b]0;title\x07", "]0;title"),
        ("\x9b31m\x90q\x9c\x7f", "31mq"),
        ("over\rwritten\x08\x00", "overwritten"),
    ],
)
def test_no_control_character_is_left_but_ends_of_lines_and_tabs(said: str, shown: str) -> None:
    assert inert(said) == shown
