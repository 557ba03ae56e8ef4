"""The bill of a real server: what it says it ran is what ran, through restarts, kills and damage."""

import asyncio
import csv
import io
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from fault.guardian_kit import linux_only
from fault.provider_kit import KEY_ENV, Provider, provider, well
from fault.server_kit import Server, Stub, until
from integration.test_cli import Shell

pytestmark = linux_only

DEMO = {
    "source": "demo://50m",
    "ttl": "10m",
    "max_requests": 2,
    "engine_args": {"n_ctx": 256, "n_threads": 1},
}


def cost(server: Server, by: str = "rung") -> dict[str, Any]:
    answer = server.ask(f"/cost?by={by}")
    assert answer.status == 200, answer.text
    return answer.json


def seconds(server: Server, **want: str) -> float:
    return sum(line["replica_seconds"] for line in cost(server)["lines"])


def by_name(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {line["name"]: line for line in answer["lines"]}


def states_in_metrics(server: Server) -> float:
    """Seconds of replicas by another count: that of the states in /metrics."""
    text = server.ask("/metrics").text
    found = re.findall(r"^pilotlight_replica_seconds_total\{.*\} (\S+)$", text, re.MULTILINE)
    return sum(map(float, found))


def logged_requests(tmp_path: Path, n: int) -> list[Any] | None:
    """None while there are fewer lines; they are written a moment later."""
    log = tmp_path / "state" / "requests.jsonl"
    lines = log.read_text().splitlines() if log.exists() else []
    return [json.loads(line) for line in lines] if len(lines) == n else None


def test_the_ledger_of_a_served_model_sums_to_the_seconds_that_its_replicas_ran(tmp_path: Path):
    with Server(tmp_path, models={"demo": DEMO}) as server:
        began = time.monotonic()
        for _ in range(3):
            assert all(a.status == 200 for a in server.chats(3, "demo", max_tokens=8))
        mine = {line["name"] for line in cost(server, "key")["lines"]}
        assert server.post("/models/demo/stop").status == 202
        until(lambda: not server.running("demo"), "the replica is gone")
        lasted = time.monotonic() - began
        rungs = by_name(cost(server))
        total, counted = seconds(server), states_in_metrics(server)
        assert total == pytest.approx(counted, rel=0.001)
        assert 0 < total <= lasted
        assert rungs["starting"]["replica_seconds"] > 0 and rungs["serving"]["replica_seconds"] > 0
        assert mine == {"", "local-cli"}, "the key that asked, and what was no request's"
        answer = cost(server, "model")
        assert answer["usd"] == pytest.approx(total * 2.5 * 2500 / (730 * 3600), rel=0.001)
        assert answer["waiting"]["requests"] == 9
        logged = sum(
            line["cost_usd"] for line in until(lambda: logged_requests(tmp_path, 9), "all are logged")
        )
        assert logged == pytest.approx(rungs["serving"]["usd"], rel=1e-5), "each has its share"
        metrics = server.ask("/metrics").text
        found = re.findall(r'^pilotlight_rung_seconds_total\{model="demo",.*\} (\S+)$', metrics, re.MULTILINE)
        assert sum(map(float, found)) == pytest.approx(total, rel=0.001)
        assert 'pilotlight_cost_usd_total{model="demo",rung="serving"}' in metrics


def test_what_waiting_cost_is_at_the_price_that_a_cold_request_is_said_to_have(tmp_path: Path):
    objective = {"wait": "1ms", "cold_request_cost_usd": 0.25}
    with Server(tmp_path, Stub(tmp_path), objective=objective) as server:
        for _ in range(3):  # of which the first one waits for the start
            assert server.chat().status == 200
        until(lambda: logged_requests(tmp_path, 3), "all are told")
        waiting = cost(server)["waiting"]
        assert (waiting["requests"], waiting["cold"], waiting["usd"]) == (3, 1, 0.25)
        assert 'pilotlight_waiting_usd_total{model="m"} 0.25' in server.ask("/metrics").text


STATES = {
    "starting": {"starting", "waking"},
    "asleep": {"going_to_sleep", "asleep"},
    "stopping": {"failing", "stopping"},
    "serving and idle": {"ready", "suspect", "draining"},
}
"""Of /metrics, which counts by itself, by what the bill calls them."""


def by_state(server: Server) -> dict[tuple[str, str], float]:
    """Seconds of replicas, by model and rung, as the states in /metrics have it."""
    text = server.ask("/metrics").text
    found: dict[tuple[str, str], float] = {}
    for labels, value in re.findall(r"^pilotlight_replica_seconds_total\{(.*)\} (\S+)$", text, re.MULTILINE):
        of = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        rung = next(rung for rung, states in STATES.items() if of["state"] in states)
        found[of["model"], rung] = found.get((of["model"], rung), 0.0) + float(value)
    return {of: seconds for of, seconds in found.items() if seconds}


def by_rung(server: Server) -> dict[tuple[str, str], float]:
    """The same, as the bill's rows have it."""
    found: dict[tuple[str, str], float] = {}
    for row in server.ask("/cost?rows=1").json["rows"]:
        rung = "serving and idle" if row["rung"] in ("serving", "idle") else row["rung"]
        if row["rung"] not in ("burst", "pings"):
            found[row["model"], rung] = found.get((row["model"], rung), 0.0) + row["seconds"]
    return {of: seconds for of, seconds in found.items() if seconds}


async def test_the_ledger_sums_with_several_models_one_that_sleeps_and_one_that_bursts(tmp_path: Path):
    async with provider(well(after=0.05)) as far:
        await asyncio.to_thread(_several, tmp_path, far)


def _several(tmp_path: Path, far: Provider):
    models = {
        "naps": DEMO,
        "bursts": {**DEMO, "max_requests": 1, "burst": {"provider": "far"}},
        "scales": {**DEMO, "max_requests": 1, "max_replicas": 2},
    }
    providers = {"far": far.declared(price={"request_usd": 0.125})}
    with Server(tmp_path, models=models, providers=providers, env=KEY_ENV) as server:
        began = time.monotonic()
        assert server.post("/models/bursts/warm").status == 202
        until(lambda: server.states("bursts") == ["ready"], "it is up")
        assert all(a.status == 200 for a in server.chats(4, "bursts", max_tokens=32))
        for _ in range(2):
            assert server.chat("naps", max_tokens=8).status == 200
            assert server.post("/models/naps/sleep").status == 202
            server.until_states("asleep", model="naps")
            until(lambda: by_name(cost(server)).get("asleep"), "sleep is on the bill")
            assert server.chat("naps", max_tokens=8).status == 200
        assert all(a.status == 200 for a in server.chats(4, "scales", max_tokens=16))
        for name in models:
            assert server.post(f"/models/{name}/stop").status == 202
        until(lambda: not server.ask("/running").json["replicas"], "all are gone")
        lasted = time.monotonic() - began

        sent = len(far.seen)
        assert sent > 0, "some of what came at once had to leave"
        assert by_rung(server) == pytest.approx(by_state(server), rel=0.001), "each model and rung"
        assert {("naps", "asleep"), ("naps", "starting"), ("bursts", "serving and idle")} <= set(
            by_rung(server)
        )
        total = seconds(server)
        assert total == pytest.approx(states_in_metrics(server), rel=0.001)
        assert 0 < total <= lasted * 4, "of no more replicas than there may be"
        usd = total * 2.5 * 2500 / (730 * 3600) + sent * 0.125
        for by in ("model", "key", "class", "rung", "provider", "hour"):
            answer = cost(server, by)
            assert answer["usd"] == pytest.approx(usd, rel=0.001)
            assert sum(line["usd"] for line in answer["lines"]) == pytest.approx(answer["usd"])
            assert sum(line["replica_seconds"] for line in answer["lines"]) == pytest.approx(total)
        assert by_name(cost(server))["burst"]["usd"] == pytest.approx(sent * 0.125)
        assert by_name(cost(server, "model"))["bursts"]["by_rung"]["burst"] == pytest.approx(sent * 0.125)
        text = server.ask("/metrics").text
        for name in ("cost", "key_cost"):
            found = re.findall(rf"^pilotlight_{name}_usd_total\{{.*\}} (\S+)$", text, re.MULTILINE)
            assert sum(map(float, found)) == pytest.approx(usd, rel=0.001)


def test_a_restart_in_the_middle_of_a_month_goes_on_with_the_bill(tmp_path: Path):
    stub = Stub(tmp_path)
    with Server(tmp_path, stub) as server:
        assert server.chat().status == 200
        before = cost(server)["usd"]
    with Server(tmp_path, stub) as server:
        kept = cost(server)["usd"]
        assert kept >= before > 0, "what came up to its end is there as well"
        assert server.chat().status == 200
        until(lambda: cost(server)["usd"] > kept, "it goes on")


def test_who_is_killed_loses_what_was_not_written_and_no_more(tmp_path: Path):
    stub = Stub(tmp_path)
    with Server(tmp_path, stub) as server:
        assert server.chat().status == 200
        written = cost(server)["replica_seconds"]  # an answer is of what is on the disk
        server.expected = -9
        server.kill()
    with Server(tmp_path, stub) as server:
        assert seconds(server) == pytest.approx(written, abs=6.0)
        assert seconds(server) >= written


def test_a_damaged_file_is_set_aside_and_nothing_else_happens(tmp_path: Path):
    stub = Stub(tmp_path)
    state = tmp_path / "state"
    state.mkdir()
    (state / "bill.sqlite").write_bytes(b"not a database " * 500)
    with Server(tmp_path, stub) as server:
        assert server.chat().status == 200
        assert seconds(server) > 0
        assert (state / "bill.sqlite.unusable").exists()
        assert "the bill begins anew" in server.log()


def test_the_command_asks_the_server_and_reads_the_state_folder_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    stub = Stub(tmp_path)
    with Server(tmp_path, stub) as server:
        assert server.chat().status == 200
        sh = Shell(tmp_path, server.runtime, monkeypatch, capsys)
        said = sh("cost", "--since", "1h")
        assert said.code == 0, said
        assert "replica-hours" in said.out and "SERVING" in said.out
        assert "prices are examples of" in said.out and "a cold request" not in said.err
        live = sh("cost", "--json", "--by", "class").json
        assert {line["name"] for line in live["lines"]} == {"", "standard"}
        wrong = sh("cost", "--since", "yesterday")
        assert wrong.code == 2 and "12h or 7d, or a day" in wrong.err
        assert server.ask("/cost?by=color").status == 400 and server.ask("/cost?since=x").status == 400
    later = sh("cost", "--json", "--config", str(server.config_path)).json
    assert later["usd"] >= live["usd"] > 0
    rows = list(csv.DictReader(io.StringIO(sh("cost", "--csv", "--config", str(server.config_path)).out)))
    assert sum(float(row["usd"]) for row in rows) == pytest.approx(later["usd"])
    assert {row["model"] for row in rows} == {"m"}
    empty = tmp_path / "empty.yaml"
    empty.write_text(json.dumps({"models": {"m": stub.model}, "state_dir": str(tmp_path / "none")}))
    none = sh("cost", "--config", str(empty))
    assert none.code == 1 and "no server has kept a bill" in none.err


def test_prices_of_ones_own_stand_in_the_place_of_examples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    sh = Shell(tmp_path, tmp_path / "run", monkeypatch, capsys)
    plain = sh("prices")
    assert plain.code == 0 and "examples of" in plain.out and "https://" in plain.out
    (tmp_path / "mine.yaml").write_text(
        "date: 2026-11-01\ndedicated: {l4: {hour_usd: 0.5, source: contract}}\n"
    )
    (tmp_path / "pilotlight.yaml").write_text(
        json.dumps({"models": {"m": {"source": "demo://50m"}}, "prices": {"book": "mine.yaml"}})
    )
    said = sh("prices", "--json").json
    mine = next(p for p in said["prices"] if p["own"])
    assert (mine["kind"], mine["name"], mine["hour_usd"], mine["date"]) == (
        "dedicated",
        "l4",
        0.5,
        "2026-11-01",
    )
    assert "month_usd" not in mine or mine["month_usd"] is None
    assert "yours: contract" in sh("prices").out
    (tmp_path / "bad.yaml").write_text("dedicated: {l4: {hour_usd: cheap}}\n")
    bad = sh("prices", "--book", "bad.yaml")
    assert bad.code == 2 and "bad.yaml:1: dedicated.l4.hour_usd" in bad.err
    (tmp_path / "mine.yaml").write_text("dedicated: {l4: {}}\n")
    checked = sh("check")
    assert checked.code == 2 and "give one of `month_usd` and `hour_usd`" in checked.err
    gone = sh("prices", "--book", "gone.yaml")
    assert gone.code == 2 and "does not exist" in gone.err
