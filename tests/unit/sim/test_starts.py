"""How long simulated starts take, and the files they are read from."""

from pathlib import Path

import pytest
from arro3.core import Array, DataType, Table
from arro3.io import write_parquet

from pilotlight.errors import TraceError
from pilotlight.sim.start_file import read_starts
from pilotlight.sim.starts import UNKNOWN, StartTimes, constant, empirical


def test_nothing_known_is_the_default():
    starts = StartTimes()
    assert (starts.seconds("m", "m-1", 0), starts.mean("m"), starts.source) == (UNKNOWN, UNKNOWN, "default")
    assert starts.known("m") is None


def test_what_was_learned_is_each_models_own_and_known_beforehand():
    starts = StartTimes(learned={"a": 3.0}.get, source="learned")
    assert (starts.seconds("a", "a-1", 0), starts.known("a")) == (3.0, 3.0)
    assert (starts.seconds("b", "b-1", 0), starts.known("b")) == (UNKNOWN, None)


def test_a_constant_has_to_be_seen_before_it_is_known():
    starts = constant(7.0)
    assert (starts.seconds("a", "a-1", 0), starts.mean("a"), starts.known("a")) == (7.0, 7.0, None)


def test_draws_are_from_the_file_and_repeat():
    starts = empirical([30.0, 10.0, 20.0], "f")
    drawn = [starts.seconds("a", f"a-{i}", 1) for i in range(300)]
    assert drawn == [starts.seconds("a", f"a-{i}", 1) for i in range(300)]
    assert drawn != [starts.seconds("a", f"a-{i}", 2) for i in range(300)]
    assert set(drawn) == {10.0, 20.0, 30.0}
    assert sum(drawn) / 300 == pytest.approx(starts.mean("a"), rel=0.1)


def file(tmp_path: Path, text: str, name: str = "starts.txt") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "3\n1.5\n\n2\n",
        "# measured\n3\n1.5\n2",
        "seconds\n3\n1.5\n2\n",
        "kind,seconds\nbase,3\nlora,1.5\nlora,2\n",
        "\ufeffkind;Duration_S\nbase;3\nlora;1.5\nlora;2\n",
        'x\t"duration"\na\t3\nb\t1.5\nc\t2\n',
    ],
)
def test_files_of_start_times_are_read(tmp_path: Path, text: str):
    found = read_starts(file(tmp_path, text))
    assert (found.drawn, found.source) == ((1.5, 2.0, 3.0), "starts.txt")


def test_a_parquet_column_is_read(tmp_path: Path):
    path = tmp_path / "starts.parquet"
    write_parquet(Table({"seconds": Array([3.0, 1.5, 2.0], DataType.float64())}), path)
    assert read_starts(path).drawn == (1.5, 2.0, 3.0)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "has no start time"),
        ("seconds\n", "has no start time"),
        ("3\nsoon\n", r"starts\.txt:2: 'soon' is no start time"),
        ("seconds\n3\n-1\n", r"starts\.txt:3: '-1'"),
        ("3\nnan\n", "'nan' is no start time"),
        ("3\n1e9\n", "'1e9' is no start time"),
        ("kind,seconds\nbase\n", r"starts\.txt:2: ''"),
        ("kind,took\nbase,3\n", "has no column of start times"),
    ],
)
def test_what_is_no_start_time_is_told(tmp_path: Path, text: str, fault: str):
    with pytest.raises(TraceError, match=fault):
        read_starts(file(tmp_path, text))


def test_a_folder_is_no_file_of_start_times(tmp_path: Path):
    with pytest.raises(TraceError, match="cannot be read"):
        read_starts(tmp_path)
