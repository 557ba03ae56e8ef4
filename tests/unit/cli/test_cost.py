"""What `pilotlight cost` takes and prints."""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from pilotlight.cli import cost_verb, main, trace_verb
from pilotlight.cli.cost_view import usd
from pilotlight.telemetry.bill_store import FILE, BillStore


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0.0, "$0.00"), (0.3, "$0.30"), (1234.5, "$1,234.50"), (0.0117, "$0.0117"), (1.44e-05, "$0.0000144"),
        (0.09999, "$0.10"),
    ],
)  # fmt: skip
def test_an_amount_is_never_a_power_of_ten(amount: float, text: str):
    assert usd(amount) == text


def test_a_since_that_cannot_be_read_is_a_wrong_command_line(capsys: pytest.CaptureFixture[str]):
    assert main.main(["cost", "--since", "7x"]) == 2
    assert "--since 7x: write how long ago" in capsys.readouterr().err


def test_a_since_that_lies_in_the_future_is_a_wrong_command_line(capsys: pytest.CaptureFixture[str]):
    assert main.main(["cost", "--since", "2999-01-01"]) == 2
    assert "--since 2999-01-01 lies in the future" in capsys.readouterr().err


def test_a_provider_without_a_price_is_said_to_count_for_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    file = tmp_path / "pilotlight.yaml"
    providers: dict[str, Any] = {
        "far": {"base_url": "https://far.example"},
        "own": {"base_url": "https://own.example"},
    }
    providers["own"]["price"] = {"request_usd": 0.01}
    file.write_text(json.dumps({"state_dir": str(tmp_path), "providers": providers}))
    store = BillStore(tmp_path / FILE)
    store.open(0)
    store.close()
    assert main.main(["cost", "--config", str(file)]) == 0
    said = capsys.readouterr().out
    assert "far has no price in `providers`" in said
    assert "own has no price" not in said
    assert "0 of 0 requests waited longer for a start than `objective.wait`" in said


def test_a_server_that_is_named_is_asked_whatever_lies_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    Path("pilotlight.yaml").write_text("models: 5")
    assert main.main(["cost", "--url", "http://127.0.0.1:1"]) == 1
    assert "http://127.0.0.1:1 cannot be reached" in capsys.readouterr().err


def test_csv_and_json_are_not_written_at_once(capsys: pytest.CaptureFixture[str]):
    parser = argparse.ArgumentParser()
    cost_verb.arguments(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(["--csv", "--json"])
    assert "not allowed with" in capsys.readouterr().err


def test_a_trace_names_the_provider_and_what_it_charged():
    trace = {
        "request_id": "r-1",
        "model": "chat",
        "start": "burst",
        "outcome": "ok",
        "status": 200,
        "spans": [],
    }
    assert trace_verb.render(trace) == "r-1  chat  burst  ok (200)"
    assert trace_verb.render({**trace, "provider": "far", "cost_usd": 7.2e-6}) == (
        "r-1  chat  burst  ok (200)  by far, $0.0000072"
    )


def test_the_verbs_are_aligned(capsys: pytest.CaptureFixture[str]):
    assert main.main([]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    width = max(map(len, main.VERBS))
    assert all(line[2 + width] == " " and line[3 + width] != " " for line in lines)
