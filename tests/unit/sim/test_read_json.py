"""JSON lines: our own request log, and Mooncake's."""

import gzip
import json
from pathlib import Path

import pytest

from pilotlight.clock import VirtualClock
from pilotlight.errors import TraceError
from pilotlight.sim.traces.read import read
from pilotlight.telemetry.request_log import RequestLog
from pilotlight.telemetry.rotate import RotatingFile
from unit.telemetry.records import record


def write(tmp_path: Path, *lines: str, name: str = "requests.jsonl") -> Path:
    path = tmp_path / name
    path.write_text("\n".join(lines) + "\n")
    return path


def line(t: object, model: object = "chat", **more: object) -> str:
    return json.dumps(
        {"t": t, "model": model, "request_id": "r", "prompt_tokens": 3, "output_tokens": 4, **more}
    )


def test_what_the_server_logs_can_be_replayed(tmp_path: Path):
    log = RequestLog(RotatingFile(tmp_path / "log", 2**20), VirtualClock(), lambda r: {"load": 1.5})
    log.told(record(arrived_unix=1.7e9 + 2))
    log.told(record(arrived_unix=1.7e9, model="other", session=None, prompt_tokens=None, output_tokens=None))
    log.told(record(arrived_unix=1.7e9 + 1, model="-", status=401, outcome="refused"))
    log.close()
    trace = read(tmp_path / "log", strict=True)
    assert trace.models == ("chat", "other")
    assert (trace.t.tolist(), trace.epoch) == ([0.0, 2.0], 1.7e9)
    assert (trace.prompt_tokens.tolist(), trace.output_tokens.tolist()) == ([0, 5], [0, 7])
    assert trace.session is not None and trace.session.tolist() == [-1, 0]
    assert trace.notes == (f"{tmp_path / 'log'}: left out 1 that were refused before their model was known",)


def test_the_class_that_the_server_logs_and_that_a_stand_in_may_answer_are_replayed(tmp_path: Path):
    log = RequestLog(RotatingFile(tmp_path / "log", 2**20), VirtualClock(), lambda r: {})
    log.told(record(request_class="batch", key=None))
    log.told(record(request_class="critical", may_stand_in=True))
    log.told(record(served_model="small"))
    log.close()
    trace = read(tmp_path / "log", strict=True)
    assert [trace.asked_by(i) for i in range(3)] == [
        ("", "batch"),
        ("team-a", "critical"),
        ("team-a", "standard"),
    ]
    assert trace.is_batch.tolist() == [True, False, False]
    assert trace.stand_in is not None and trace.stand_in.tolist() == [False, True, False]


def test_a_last_line_that_is_cut_off_is_no_fault(tmp_path: Path):
    path = tmp_path / "requests.jsonl.1"
    path.write_text(line(1.7e9) + "\n" + line(1.7e9 + 1)[:30])
    trace = read(path, strict=True)
    assert len(trace) == 1
    assert trace.notes == (f"{path}:2: the last line is cut off; left out",)


def test_a_log_that_begins_in_the_middle_of_a_line_loses_that_line(tmp_path: Path):
    path = write(tmp_path, line(1.7e9)[25:], line(1.7e9 + 1), line(1.7e9 + 2))
    trace = read(path)
    assert (len(trace), trace.skipped) == (2, 1)
    assert trace.faults[0].startswith(f"{path}:1: is no JSON object (")


def test_a_block_of_zeroes_as_a_power_cut_leaves_is_a_bad_row(tmp_path: Path):
    path = write(tmp_path, line(1.7e9), "\0" * 4096, line(1.7e9 + 2))
    trace = read(path)
    assert (len(trace), trace.skipped) == (2, 1)
    assert trace.faults[0].startswith(f"{path}:2: is no JSON object (")


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        ("{", "is no JSON object ("),
        ("[1]", "is no JSON object ("),
        (line("soon"), "the time is 'soon', which is neither"),
        (line(1.7e9, request_class="urgent"), "the class is 'urgent', not critical, standard or batch"),
        (line(1.7e9, request_class=["batch"]), "the class is a list, not critical, standard or batch"),
        (line(1.7e9, stand_in=True), "the stand-in is True, not allow; leave it empty"),
        (line(None), "the time is missing"),
        (line([1]), "the time is a list, which is neither"),
        (line(10**400), "the time is a number of many digits, which is neither"),
        (line(-5), "the time is -5, which is negative"),
        (line(1.7e12), "the time is 1700000000000.0, more than 100 years"),
        (line(1.7e9, None), "the model's name is missing"),
        (line(1.7e9, ["a"]), "the model's name is a list, not a name"),
        (line(1.7e9, True), "the model's name is True, not a name"),
        (line(1.7e9, 10**30), "the model's name is a number of many digits, not a name"),
        (line(1.7e9, output_tokens="many"), "the number of output tokens is 'many', not a whole number"),
        (
            line(1.7e9, output_tokens=10**400),
            "the number of output tokens is a number of many digits, not a whole",
        ),
        (line(1.7e9, prompt_tokens={"n": 1}), "the number of prompt tokens is a dict, not a whole number"),
    ],
)
def test_a_bad_line_is_left_out_and_named(tmp_path: Path, bad: str, what: str):
    path = write(tmp_path, line(1.7e9), bad, line(1.7e9 + 1, 17))
    trace = read(path)
    assert (len(trace), trace.skipped, trace.models) == (2, 1, ("chat", "17"))
    assert trace.faults[0].startswith(f"{path}:2: {what}"), trace.faults
    with pytest.raises(TraceError, match="1 bad row"):
        read(path, strict=True)


MOONCAKE = [
    {"timestamp": 0, "input_length": 6955, "output_length": 52, "hash_ids": [46, 47, 48, 49]},
    {"timestamp": 3052, "input_length": 6472, "output_length": 26, "hash_ids": [46, 47, 48, 2353]},
    {"timestamp": 3052, "input_length": 10, "output_length": 0, "hash_ids": [46]},
]


@pytest.mark.parametrize("packed", [False, True])
def test_mooncake_counts_in_milliseconds_and_its_first_blocks_are_the_session(tmp_path: Path, packed: bool):
    path = write(tmp_path, *map(json.dumps, MOONCAKE), name="toolagent_trace.jsonl")
    if packed:
        path = tmp_path / "toolagent_trace.jsonl.gz"
        path.write_bytes(gzip.compress((tmp_path / "toolagent_trace.jsonl").read_bytes()))
    trace = read(path, strict=True)
    assert (trace.models, trace.t.tolist()) == (("toolagent_trace",), pytest.approx([0, 3.052, 3.052]))
    assert (trace.prompt_tokens.tolist(), trace.output_tokens.tolist()) == ([6955, 6472, 10], [52, 26, 0])
    assert trace.session is not None and trace.session.tolist() == [0, 0, -1]


def test_bad_mooncake_lines_are_named(tmp_path: Path):
    bad = [
        {**MOONCAKE[0], "timestamp": -4},
        {**MOONCAKE[0], "timestamp": "x"},
        {"timestamp": 5, "hash_ids": 3},
    ]
    path = write(tmp_path, *map(json.dumps, [MOONCAKE[0], *bad]))
    assert [f.removeprefix(f"{path}:")[:28] for f in read(path).faults] == [
        "2: the time is -0.004, which",
        "3: the time is 'x', which is",
        "4: the number of prompt toke",
    ]


def test_json_lines_of_another_kind_are_refused_with_what_can_be(tmp_path: Path):
    with pytest.raises(TraceError, match=r"neither `t` and `model` nor.*request log.*Mooncake"):
        read(write(tmp_path, '{"level": "info", "msg": "hello"}'))
