import json
from pathlib import Path

import msgspec

from pilotlight.clock import VirtualClock
from pilotlight.telemetry.request_log import RequestLine, RequestLog
from pilotlight.telemetry.rotate import RotatingFile
from unit.telemetry.records import record


def log(path: Path, clock: VirtualClock) -> RequestLog:
    return RequestLog(RotatingFile(path, 2**20), clock, lambda r: {"load": 1.5})


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_line_says_what_a_replay_needs(tmp_path: Path):
    it = log(tmp_path / "log", VirtualClock())
    it.told(record())
    it.close()
    (line,) = lines(tmp_path / "log")
    assert line == {
        "t": 1000.0, "model": "chat", "request_id": "r-1", "path": "/v1/chat/completions", "status": 200,
        "outcome": "ok", "start": "warm", "stream": True, "prompt_tokens": 5, "output_tokens": 7,
        "tokens_from": "usage", "session": "s",
        "key": "team-a", "replica": "chat-1", "ttft": 1.0, "duration": 2.0,
        "start_wait": 0.0, "queue": 0.0,
    }  # fmt: skip


def test_a_line_says_the_class_and_whether_a_stand_in_may_answer_where_they_are_not_the_usual(tmp_path: Path):
    it = log(tmp_path / "log", VirtualClock())
    it.told(record(request_class="batch"))
    it.told(record(may_stand_in=True, served_model="small"))
    it.close()
    said = [
        (line.get("request_class"), line.get("stand_in"), line.get("served_model"))
        for line in lines(tmp_path / "log")
    ]
    assert said == [("batch", None, None), (None, "allow", "small")]


def test_a_cold_one_has_its_stages(tmp_path: Path):
    it = log(tmp_path / "log", VirtualClock())
    it.told(record(replica_ready_at=10.9))
    it.close()
    (line,) = lines(tmp_path / "log")
    assert (line["start"], line["start_wait"], line["stages"]) == ("cold", 0.9, {"load": 1.5})


def test_lines_can_be_read_back(tmp_path: Path):
    it = log(tmp_path / "log", VirtualClock())
    requests = [
        record(),
        record(status=499, outcome="client_left", replica=None, first_byte_at=None),
        record(key=None),
    ]
    for r in requests:
        it.told(r)
    it.close()
    read = [
        msgspec.json.decode(line, type=RequestLine) for line in (tmp_path / "log").read_bytes().splitlines()
    ]
    assert [(r.t, r.outcome, r.output_tokens, r.ttft) for r in read] == [
        (1000.0, "ok", 7, 1.0), (1000.0, "client_left", 7, None), (1000.0, "ok", 7, 1.0),
    ]  # fmt: skip


def test_lines_are_written_together_and_soon(tmp_path: Path):
    clock = VirtualClock()
    it = log(tmp_path / "log", clock)
    for _ in range(3):
        it.told(record())
    assert lines(tmp_path / "log") == []
    clock.run_until(0.5)
    assert len(lines(tmp_path / "log")) == 3
    it.told(record())
    clock.run_until(0.9)
    assert len(lines(tmp_path / "log")) == 3
    clock.run_until(1.0)
    assert len(lines(tmp_path / "log")) == 4
    it.close()
    assert len(lines(tmp_path / "log")) == 4


def test_a_line_tells_what_is_not_as_usual(tmp_path: Path):
    it = log(tmp_path / "log", VirtualClock())
    for request_class in ("standard", "critical", "batch"):
        it.told(record(request_class="".join(request_class)))  # not the very same text as the default
    it.told(record(served_model="small"))
    it.close()
    found = lines(tmp_path / "log")
    assert [line.get("request_class") for line in found] == [None, "critical", "batch", None]
    assert [line.get("served_model") for line in found] == [None, None, None, "small"]
    assert {line["model"] for line in found} == {"chat"}
