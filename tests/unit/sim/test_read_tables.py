"""CSV and Parquet, with the columns of each format."""

import gzip
from pathlib import Path
from typing import Any

import pytest
from arro3.core import Array, DataType, Table
from arro3.io import write_parquet

from pilotlight.errors import TraceError
from pilotlight.fleet.classes import BATCH, CRITICAL, STANDARD
from pilotlight.sim.traces.read import read

OWN = "t,model,prompt_tokens,output_tokens\n"


def write(tmp_path: Path, text: str, name: str = "some.csv") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_our_own_columns_in_any_order_and_case(tmp_path: Path):
    path = write(
        tmp_path,
        "Model,output_tokens,T,note,prompt_tokens,session\na,5,0.5,x,7,s1\nb,6,1.5,y,8,\na,1,2,z,1,s1\n",
    )
    trace = read(path)
    assert (trace.name, trace.models) == ("some", ("a", "b"))
    assert trace.t.tolist() == [0.5, 1.5, 2.0]
    assert trace.model.tolist() == [0, 1, 0]
    assert (trace.prompt_tokens.tolist(), trace.output_tokens.tolist()) == ([7, 8, 1], [5, 6, 1])
    assert trace.session is not None and trace.session.tolist() == [0, -1, 0]
    assert (trace.skipped, trace.faults, trace.notes, trace.epoch) == (0, (), (), None)


def test_classes_and_stand_ins_where_the_table_has_them(tmp_path: Path):
    rows = "2,m,1,1,batch,\n1,m,1,1,,allow\n3,m,1,1, Critical , ALLOW\n4,m,1,1,standard\n"
    trace = read(write(tmp_path, "t,model,prompt_tokens,output_tokens,Class,stand_in\n" + rows))
    assert [trace.asked_by(i) for i in range(4)] == [
        ("", "standard"),
        ("", "batch"),
        ("", "critical"),
        ("", "standard"),
    ]
    assert trace.ranks is not None and trace.ranks.tolist() == [STANDARD, BATCH, CRITICAL, STANDARD]
    assert trace.is_batch.tolist() == [False, True, False, False]
    assert trace.stand_in is not None and trace.stand_in.tolist() == [True, False, True, False]


def test_a_row_of_another_clock_takes_its_class_with_it(tmp_path: Path):
    rows = "0,m,1,1,batch,\n1700000000,m,1,1,critical,allow\n2,m,1,1,,allow\n"
    trace = read(write(tmp_path, "t,model,prompt_tokens,output_tokens,class,stand_in\n" + rows))
    assert (trace.t.tolist(), trace.is_batch.tolist()) == ([0.0, 2.0], [True, False])
    assert trace.stand_in is not None and trace.stand_in.tolist() == [False, True]


def test_a_table_that_says_nothing_of_them_has_plain_requests(tmp_path: Path):
    for text in (OWN + "1,m,1,1\n", OWN.strip() + ",class,stand_in\n1,m,1,1,,\n2,m,1,1,standard,\n"):
        trace = read(write(tmp_path, text))
        assert (trace.ranks, trace.stand_in, trace.asked_by(0)) == (None, None, ("", "standard"))
        assert not trace.is_batch.any() and not trace.skipped


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ("1,m,1,1,urgent,", "the class is 'urgent', not critical, standard or batch"),
        ("1,m,1,1,7,allow", "the class is '7', not critical, standard or batch"),
        ("1,m,1,1,batch,yes", "the stand-in is 'yes', not allow; leave it empty where none may answer"),
        ("1,m,1,1,,deny", "the stand-in is 'deny', not allow; leave it empty where none may answer"),
        ("1,m,1,x,urgent,yes", "the number of output tokens is 'x', not a whole number"),
    ],
)
def test_a_class_or_a_stand_in_that_there_is_not_is_a_bad_row(tmp_path: Path, row: str, what: str):
    head = "t,model,prompt_tokens,output_tokens,class,stand_in\n"
    path = write(tmp_path, f"{head}0,m,1,1,batch,allow\n{row}\n2,m,1,1,,\n")
    trace = read(path)
    assert (trace.skipped, trace.faults, len(trace)) == (1, (f"{path}:3: {what}",), 2)
    assert trace.is_batch.tolist() == [True, False]
    with pytest.raises(TraceError, match="1 bad row"):
        read(path, strict=True)


def test_without_models_all_are_for_one_that_is_called_like_the_file(tmp_path: Path):
    trace = read(write(tmp_path, "t,prompt_tokens,output_tokens\n1,2,3\n", "chat.day1.csv"))
    assert (trace.models, trace.session) == (("chat.day1",), None)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_separators_line_ends_byte_order_marks_and_quotes(tmp_path: Path, separator: str, end: str):
    lines = ["\ufefft,model,prompt_tokens,output_tokens", "", '1,"my, model",2,3', '"2", b ,"3.0",4']
    quoted = [line.replace("my, model", "my model").replace(",", separator) for line in lines]
    trace = read(write(tmp_path, end.join(quoted), "x.csv"))
    assert (trace.models, trace.t.tolist(), trace.output_tokens.tolist()) == (
        ("my model", "b"),
        [1, 2],
        [3, 4],
    )
    assert read(write(tmp_path, "\n".join(lines), "y.csv")).models == ("my, model", "b")


def test_unix_times_start_at_zero_and_the_first_is_kept(tmp_path: Path):
    trace = read(write(tmp_path, OWN + "1700000000.5,a,1,1\n1700000002,a,1,1\n"))
    assert (trace.t.tolist(), trace.epoch) == ([0.0, 1.5], 1700000000.5)


def test_dates_with_and_without_a_zone(tmp_path: Path):
    dates = (
        "1970-01-11T00:00:00Z",
        "2026-01-31 12:00:00",
        "2026-01-31T13:00:01+01:00",
        "2026-01-31T12:00:02.5Z",
    )
    rows = "".join(f"{date},a,1,1\n" for date in dates)
    trace = read(write(tmp_path, OWN + rows))
    assert trace.t.tolist() == [0.0, 1.0, 2.5]
    assert trace.epoch == 1769860800.0
    assert "the time has no Unix time" in trace.faults[0]  # 1970 is nearer to a count from 0 than to a date


def test_azure_has_dates_of_seven_digits(tmp_path: Path):
    text = (
        "TIMESTAMP,ContextTokens,GeneratedTokens\n"
        "2023-11-16 18:17:03.9799600,4808,10\n2023-11-16 18:17:04.0319600,110,27\n"
    )
    trace = read(write(tmp_path, text, "azure.csv"))
    assert trace.models == ("azure",)
    assert trace.t.tolist() == pytest.approx([0.0, 0.052], abs=1e-6)
    assert trace.prompt_tokens.tolist() == [4808, 110]
    assert trace.epoch == pytest.approx(1700158623.97996)


def test_burstgpt_with_and_without_sessions(tmp_path: Path):
    head = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    trace = read(
        write(tmp_path, head + "5,ChatGPT,472,18,490,Conversation log\n45,GPT-4,1087,0,1087,API log\n")
    )
    assert (trace.models, trace.t.tolist()) == (("ChatGPT", "GPT-4"), [5, 45])
    assert (trace.output_tokens.tolist(), trace.session) == ([18, 0], None)
    head = head.replace("Model", "Session ID,Elapsed time,Model")
    trace = read(write(tmp_path, head + "5,3,1.2,ChatGPT,472,18,490,Conversation log\n"))
    assert trace.session is not None and trace.session.tolist() == [0]


def test_rows_out_of_order_are_sorted_and_it_is_said_where(tmp_path: Path):
    path = write(tmp_path, OWN + "1,a,1,1\n3,a,2,2\n2,b,3,3\n3,b,4,4\n")
    trace = read(path, strict=True)
    assert trace.t.tolist() == [1, 2, 3, 3]
    assert trace.prompt_tokens.tolist() == [1, 3, 2, 4]
    assert trace.notes == (f"{path}: not in order of time, first at line 4; sorted",)


def test_a_column_that_is_there_twice_is_refused(tmp_path: Path):
    path = write(tmp_path, "t,T,prompt_tokens,output_tokens,note,note\n1,2,1,1,x,y\n")
    with pytest.raises(TraceError, match=r"some\.csv: has the column `t` more than once; leave one"):
        read(path)
    path = write(tmp_path, "t,prompt_tokens,output_tokens,note,note\n1,1,1,x,y\n")
    assert len(read(path)) == 1


def test_rows_that_are_the_same_are_all_kept(tmp_path: Path):
    assert len(read(write(tmp_path, OWN + "1,a,1,1\n" * 5))) == 5


@pytest.mark.parametrize(
    ("row", "what"),
    [
        (",a,1,1", "the time is missing"),
        ("soon,a,1,1", "the time is 'soon', which is neither a number of seconds nor a date"),
        ("nan,a,1,1", "the time is 'nan', which is neither"),
        ("inf,a,1,1", "the time is 'inf', which is neither"),
        ("-1,a,1,1", "the time is '-1', which is negative"),
        ("1700000000000,a,1,1", "the time is '1700000000000', more than 100 years; it must be in seconds"),
        ("1900-01-01,a,1,1", "the time is '1900-01-01', which is negative, or a date before 1970"),
        ("1700000000,a,1,1", "the time has Unix time (1700000000), most rows do not"),
        ("1,,1,1", "the model's name is missing"),
        (f"1,{'m' * 257},1,1", "the model's name is longer than 256 characters"),
        ("1,a\x1b[2J,1,1", r"the model's name is 'a\x1b[2J', which holds characters that cannot be printed"),
        ("1,a,,1", "the number of prompt tokens is missing"),
        ("1,a,1.5,1", "the number of prompt tokens is '1.5', not a whole number"),
        ("1,a,1,-1", "the number of output tokens is '-1', not in 0 to 1,000,000,000"),
        ("1,a,1,1000000001", "the number of output tokens is '1000000001', not in 0 to"),
        (f"1,a,{'9' * 400},1", "the number of prompt tokens is '99999"),
        ("1,a,1", "the number of output tokens is missing"),
        ('1,"a,1,1', "the number of prompt tokens is missing"),
    ],
)
def test_a_bad_row_is_left_out_and_named_with_its_line(tmp_path: Path, row: str, what: str):
    path = write(tmp_path, OWN + f"1,a,1,1\n\n{row}\n2,a,2,2\n")
    trace = read(path)
    assert trace.prompt_tokens.tolist() == [1, 2]
    assert trace.skipped == 1
    assert trace.faults[0].startswith(f"{path}:4: {what}"), trace.faults
    with pytest.raises(TraceError) as e:
        read(path, strict=True)
    assert f"{path}: 1 bad row, and strict" in str(e.value)
    assert trace.faults[0] in str(e.value)


def test_of_many_bad_rows_the_first_are_named_and_all_counted(tmp_path: Path):
    path = write(tmp_path, OWN + "1,a,1,1\n" + "x,a,1,1\n" * 1000)
    trace = read(path)
    assert (trace.skipped, len(trace.faults)) == (1000, 20)
    with pytest.raises(TraceError, match="1,000 bad rows") as e:
        read(path, strict=True)
    assert len(e.value.faults) == 20


def test_a_packed_file_reads_the_same(tmp_path: Path):
    plain = write(tmp_path, OWN + "1,a,1,1\n2,b,1,1\n", "x.csv")
    packed = tmp_path / "x.csv.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    one, other = read(plain), read(packed)
    assert (one.t.tolist(), one.models, one.name) == (other.t.tolist(), other.models, other.name)


def test_a_file_of_many_blocks_keeps_its_line_numbers(tmp_path: Path):
    rows = [f"{i},model-{i % 7},100,200" for i in range(150_000)]
    rows[120_000] = "x,a,1,1"
    path = write(tmp_path, OWN + "\n".join(rows))
    trace = read(path)
    assert (len(trace), len(trace.models)) == (149_999, 7)
    assert trace.faults[0].startswith(f"{path}:120002: ")


# -- Parquet -------------------------------------------------------------------------------------------------


def parquet(tmp_path: Path, columns: dict[str, Any], name: str = "p.parquet") -> Path:
    write_parquet(Table.from_pydict(columns), tmp_path / name)
    return tmp_path / name


def test_parquet_with_dictionaries_and_sessions(tmp_path: Path):
    model = Array(["a", "b", "a"], DataType.utf8()).cast(
        DataType.dictionary(DataType.int32(), DataType.utf8())
    )
    columns = {
        "t": Array([0.0, 1.0, 2.5], DataType.float64()), "model": model,
        "prompt_tokens": Array([1, 2, 3], DataType.int32()), "output_tokens": Array([4, 5, 6], DataType.int64()),
        "session": Array([9, None, 9], DataType.int32()),
    }  # fmt: skip
    trace = read(parquet(tmp_path, columns))
    assert (trace.name, trace.models, trace.model.tolist()) == ("p", ("a", "b"), [0, 1, 0])
    assert (trace.t.tolist(), trace.output_tokens.tolist()) == ([0.0, 1.0, 2.5], [4, 5, 6])
    assert trace.session is not None and trace.session.tolist() == [0, -1, 0]


def test_parquet_with_classes_and_stand_ins(tmp_path: Path):
    columns = {
        "t": Array([0.0, 1.0, 2.0, 3.0], DataType.float64()),
        "prompt_tokens": Array([1, 1, 1, 1], DataType.int64()),
        "output_tokens": Array([1, 1, 1, 1], DataType.int64()),
        "class": Array(["batch", None, "urgent", "critical"], DataType.string()),
        "stand_in": Array([None, "allow", None, ""], DataType.string()),
    }
    path = parquet(tmp_path, columns)
    trace = read(path)
    assert trace.ranks is not None and trace.ranks.tolist() == [BATCH, STANDARD, CRITICAL]
    assert trace.stand_in is not None and trace.stand_in.tolist() == [False, True, False]
    assert trace.faults == (f"{path}:3: the class is 'urgent', not critical, standard or batch",)


def test_parquet_with_dates(tmp_path: Path):
    stamps = Array([1_700_000_000_000, None, 1_700_000_001_500], DataType.int64()).cast(
        DataType.timestamp("ms")
    )
    ones = Array([1, 1, 1], DataType.int32())
    path = parquet(tmp_path, {"t": stamps, "prompt_tokens": ones, "output_tokens": ones})
    trace = read(path)
    assert (trace.t.tolist(), trace.epoch) == ([0.0, 1.5], 1.7e9)
    assert trace.faults == (f"{path}:2: the time is missing",)


def test_bad_values_in_parquet_are_named_with_their_row(tmp_path: Path):
    columns = {
        "t": Array([0.0, float("nan"), 2.0, 3.0], DataType.float64()),
        "model": Array(["a", "a", None, "a"], DataType.utf8()),
        "prompt_tokens": Array([1, 1, 1, -7], DataType.int32()),
        "output_tokens": Array([1, 1, 1, 1], DataType.int32()),
    }
    path = parquet(tmp_path, columns)
    assert [f.removeprefix(f"{path}:")[:40] for f in read(path).faults] == [
        "2: the time is nan, which is neither a n",
        "3: the model's name is missing",
        "4: the number of prompt tokens is -7, no",
    ]


def test_parquet_without_a_column_it_needs(tmp_path: Path):
    path = parquet(tmp_path, {"t": Array([0.0], DataType.float64())})
    with pytest.raises(
        TraceError, match="has no column `prompt_tokens`, `output_tokens`, which pilotlight needs"
    ):
        read(path)
