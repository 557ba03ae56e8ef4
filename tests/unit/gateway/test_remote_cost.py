"""What a request at a provider owes."""

import math

import pytest

from pilotlight.fleet.provider import Tariff
from pilotlight.gateway.remote_cost import FRAME, TEXTLESS, Meter
from pilotlight.gateway.usage import Tokens

TARIFF = Tariff(second=1.0, request=10.0, input_token=100.0, output_token=1000.0)


def meter(**more: object) -> Meter:
    m = Meter(TARIFF, body=30, inputs=30, outputs=50)
    for name, value in more.items():
        setattr(m, name, value)
    return m


def test_what_was_not_sent_owes_nothing():
    assert meter(events=3).usd(100.0) == 0.0


def test_what_is_said_and_can_be_is_what_is_charged():
    m = meter(sent_at=1.0, events=3, told=Tokens(7, 2, "usage"))
    assert m.usd(now=3.0) == 10 + 2 + 700 + 2000
    assert m.tokens() == Tokens(7, 2, "usage")
    assert not m.lied


def test_its_end_stops_its_seconds():
    assert meter(sent_at=1.0, ended_at=2.0, told=Tokens(1, 0, "usage")).usd(now=50.0) == 10 + 1 + 100


def test_one_that_was_refused_owes_time_alone():
    assert meter(sent_at=1.0, only_time=True, events=9).usd(now=3.0) == 2.0


@pytest.mark.parametrize("prompt", [0, -1, 31, 10**18, None])
def test_a_prompt_that_cannot_be_is_counted_here(prompt: int | None):
    m = meter(sent_at=0.0, events=4, told=Tokens(prompt, 4, "usage"))
    assert m.tokens() == Tokens(10, 4, "estimated")


@pytest.mark.parametrize("output", [-1, 51, 10**18, None])
def test_an_answer_that_cannot_be_is_counted_here(output: int | None):
    m = meter(sent_at=0.0, events=4, told=Tokens(7, output, "usage"))
    assert m.tokens() == Tokens(7, 4, "estimated")
    assert m.lied


def test_fewer_than_came_are_not_believed():
    m = meter(events=40, told=Tokens(7, 40 - TEXTLESS - 1, "usage"))
    assert m.tokens().output == 40
    assert meter(events=40, told=Tokens(7, 40 - TEXTLESS, "usage")).tokens().output == 40 - TEXTLESS


def test_what_is_counted_is_bounded_by_what_was_asked_for():
    assert meter(events=10_000).tokens().output == 50
    assert meter(came=10_000).tokens().output == 50


@pytest.mark.parametrize(
    "told", [Tokens(None, None, None), Tokens(None, 9, "chunks"), Tokens(-1, -1, "usage")]
)
def test_it_is_never_less_than_nothing_and_never_nan(told: Tokens):
    m = meter(sent_at=5.0, told=told)
    for now in (0.0, 5.0, 1e12):
        assert m.usd(now) >= 0
        assert math.isfinite(m.usd(now))


def test_an_event_with_more_than_its_frame_is_counted_by_its_text():
    assert meter(events=2, came=2 * FRAME).tokens().output == 2
    assert meter(events=2, came=2 * FRAME + 30).tokens().output == 10
    assert meter(events=2, came=10**9).tokens().output == 50
