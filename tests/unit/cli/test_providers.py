"""`pilotlight providers`: a provider as a line."""

from typing import Any

import pytest

from pilotlight.cli.providers_verb import HEADS, show

FAR: dict[str, Any] = {
    "id": "far", "breaker": "closed", "pause_left_s": 0.0, "first_token_s": 0.8, "cold_start_s": 31.2, "promise_s": 0.8,
    "cold_rate": 0.05, "requests": 40, "failures": 2, "pings": 3, "in_flight": 1, "max_requests": 64,
    "reserved_usd": 0.5, "spent": {"hour": 0.1, "day": 1.0, "month": 12.5},
    "left": {"hour": None, "day": 4.0, "month": 87.5},
    "priced": True, "last_reason": "it answered 500",
}  # fmt: skip


def shown(capsys: pytest.CaptureFixture[str], **more: Any) -> str:
    show([{**FAR, **more}])
    return capsys.readouterr().out


def test_one_that_is_well(capsys: pytest.CaptureFixture[str]):
    text = shown(capsys)
    head, row, *_ = text.splitlines()
    assert head.split() == " ".join(HEADS).split()
    assert "well" in row
    assert "5.0 %" in row
    assert "32 s" in row or "32s" in row
    (money,) = [line for line in text.splitlines() if "$" in line]
    assert money.startswith("far ")
    assert "$0.10  " in money
    assert "$1.00, $4.00 left" in money
    assert "$12.50, $87.50 left" in money
    assert "prices are your own, those that `providers` declares" in text
    assert max(map(len, text.splitlines())) <= 80
    assert "far, last failure: it answered 500" in text


def test_one_without_a_price_says_that_it_counts_for_nothing(capsys: pytest.CaptureFixture[str]):
    text = shown(capsys, priced=False)
    assert "far has no price in `providers`: what it answers counts as $0" in text
    assert "prices are your own" not in text


def test_one_that_is_left_alone_says_for_how_long(capsys: pytest.CaptureFixture[str]):
    assert "paused for 7" in shown(capsys, breaker="paused", pause_left_s=7.0)


def test_one_that_never_goes_cold_and_was_never_asked(capsys: pytest.CaptureFixture[str]):
    row = shown(capsys, cold_start_s=0.0, cold_rate=None, last_reason="").splitlines()[1]
    assert row.split()[3:5] == ["-", "-"] or " -  " in row
