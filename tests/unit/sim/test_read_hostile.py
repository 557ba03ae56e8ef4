"""Files that are no traces, or are meant to do harm."""

import gzip
import os
import random
from pathlib import Path

import pytest
from arro3.core import Array, DataType, Table
from arro3.io import write_parquet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pilotlight.errors import TraceError
from pilotlight.sim.traces.lines import LONGEST
from pilotlight.sim.traces.read import read

OWN = b"t,model,prompt_tokens,output_tokens\n"
MOONCAKE = b'{"timestamp": 1, "input_length": 2, "output_length": 3}\n'
LOG = b'{"t": 1, "model": "m"}\n'


def refusal(path: Path) -> str:
    with pytest.raises(TraceError) as e:
        read(path)
    assert str(path) in str(e.value)
    return str(e.value)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (gzip.compress(b"", mtime=0), "is empty"),
        (OWN, "holds no requests"),
        (OWN + b"x,y,z\n", "none of its 1 rows can be used"),
        (b'{"t": "x", "model": "m"}\n', "none of its 1 rows can be used"),
        (LOG[:-4], "its first line is"),
        (b"\x7fELF\x00\x00\x01" * 20, "is neither text nor Parquet"),
        (b"\x89PNG\r\n\x1a\nxyz", "is no trace that can be read"),
        (b"a,b,c\n1,2,3\n", "its first line is 'a', 'b', 'c'"),
        (b"t,prompt_tokens\n1,2\n", "has no column `output_tokens`, which pilotlight needs"),
        (b"TIMESTAMP,ContextTokens\n1,2\n", "has no column `GeneratedTokens`, which Azure LLM needs"),
        (b"[{}, {}]", "is no trace that can be read"),
        (b"[" * 100_000, "is no trace that can be read"),
        (b"PAR1", "begins like Parquet and does not end like it"),
        (b"PAR1" + b"x" * 100, "begins like Parquet and does not end like it"),
        (b"PAR1" + b"\xff" * 100 + b"\x10\0\0\0PAR1", "is damaged, or a kind of Parquet"),
        (gzip.compress(b"PAR1" + b"x" * 100, mtime=0), "is Parquet packed with gzip; unpack it first"),
        (gzip.compress(OWN + b"1,a,1,1\n" * 999, mtime=0)[:-9], "is damaged or cut off"),
        (b"\x1f\x8b", "is damaged or cut off"),
        (b"\x1f\x8b\x08\x00" + b"\xff" * 50, "is damaged or cut off"),
    ],
)
def test_what_is_no_trace_gets_one_error_that_says_why(tmp_path: Path, data: bytes, what: str):
    path = tmp_path / "x.csv"
    path.write_bytes(data)
    assert what in refusal(path)


def test_what_is_no_file(tmp_path: Path):
    assert "no such file" in refusal(tmp_path / "none.csv")
    assert "is a folder" in refusal(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert "is not a file" in refusal(tmp_path / "pipe")
    (tmp_path / "circle").symlink_to("circle")
    assert "cannot be read" in refusal(tmp_path / "circle")
    for name in ("a\0b", "x" * 5000):
        with pytest.raises(TraceError):
            read(name)


def test_a_panic_of_the_parquet_reader_does_not_reach_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    path = tmp_path / "x.parquet"
    for data in (b"\xff" * 100 + b"\x10\0\0\0", b"abcdefg"):
        path.write_bytes(b"PAR1" + data + b"PAR1")
        assert refusal(path).endswith("is damaged, or a kind of Parquet that cannot be read; fetch it again")
    assert capfd.readouterr().err == ""


def test_a_line_without_an_end_is_cut_and_costs_only_itself(tmp_path: Path):
    path = tmp_path / "x.csv"
    path.write_bytes(OWN + b"1,a,1,1\n" + b"9" * (5 * LONGEST) + b"\n2,a,1,1\n")
    trace = read(path)
    assert (trace.t.tolist(), trace.skipped) == ([1, 2], 1)
    assert f"{path}:3: the time is" in trace.faults[0]
    assert len(trace.faults[0]) < 400


def test_more_models_than_can_be_are_refused(tmp_path: Path):
    path = tmp_path / "x.csv"
    path.write_bytes(OWN + b"".join(b"1,%d,1,1\n" % i for i in range(100_001)))
    assert "more than 100,000 models" in refusal(path)


SEEDS = [OWN + b"1,a,1,1\n2,b,5,6\n", MOONCAKE * 3, LOG * 3, b"PAR1", b"\x1f\x8b\x08", b""]
TEXTS = st.sampled_from(
    ["1", "-1", "1e999", "nan", '"', '""', ",", "\n", "\r", "{", "}", "[", "\ufeff", "2026-01-01", "\u0661"]
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    head=st.sampled_from(SEEDS),
    tail=st.one_of(st.binary(max_size=200), st.lists(TEXTS, max_size=30).map(lambda t: "".join(t).encode())),
    packed=st.booleans(),
)
def test_any_bytes_give_a_trace_in_order_or_one_error(tmp_path: Path, head: bytes, tail: bytes, packed: bool):
    path = tmp_path / "x"
    path.write_bytes(gzip.compress(head + tail, 1) if packed else head + tail)
    try:
        trace = read(path)
    except TraceError:
        return
    assert len(trace) > 0
    assert (trace.t[1:] >= trace.t[:-1]).all()
    assert trace.t[0] >= 0 and trace.prompt_tokens.min() >= 0 and trace.output_tokens.min() >= 0
    assert 0 <= trace.model.min() <= trace.model.max() < len(trace.models)
    assert len(trace.faults) == min(20, trace.skipped)


def test_parquet_with_bytes_changed_gives_a_trace_or_one_error(tmp_path: Path):
    ones = Array([1] * 50, DataType.int32())
    t = Array([float(i) for i in range(50)], DataType.float64())
    model = Array(["m"] * 50, DataType.utf8())
    path = tmp_path / "x.parquet"
    write_parquet(
        Table.from_pydict({"t": t, "model": model, "prompt_tokens": ones, "output_tokens": ones}), path
    )
    good = path.read_bytes()
    dice = random.Random(1)
    refused = 0
    for _ in range(150):
        data = bytearray(good)
        for _ in range(dice.choice([1, 3, 10])):
            data[dice.randrange(4, len(data) - 4)] = dice.randrange(256)
        path.write_bytes(data)
        try:
            assert len(read(path)) > 0
        except TraceError:
            refused += 1
    assert refused > 0
