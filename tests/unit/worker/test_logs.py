import os
from pathlib import Path

import pytest

from pilotlight.worker import logs


@pytest.mark.parametrize(
    ("model", "folder"),
    [
        ("chat", "chat"),
        ("org/chat:1", "org%2Fchat%3A1"),
        ("..", "%2E."),
        (".hidden", "%2Ehidden"),
        ("a b", "a%20b"),
    ],
)
def test_any_model_has_a_folder_of_its_own(model: str, folder: str) -> None:
    assert logs.folder_name(model) == folder


def test_long_names_stay_apart() -> None:
    one, two = logs.folder_name("m" * 300), logs.folder_name("m" * 301)
    assert one != two and len(one) < 128


def test_each_replica_has_a_log_and_old_ones_go(tmp_path: Path) -> None:
    first = logs.new(tmp_path, "a/b", ())
    logs.rotated(first).write_text("older")
    for _ in range(20):
        logs.new(tmp_path, "a/b", [first])
    kept = [log.name for log in logs.paths(tmp_path, "a/b")]
    assert kept == ["1.log", *(f"{n}.log" for n in range(16, 22))]
    logs.new(tmp_path, "a/b", ())
    assert not first.exists() and not logs.rotated(first).exists()
    assert logs.paths(tmp_path, "other") == []


def test_a_log_is_its_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        log = logs.new(tmp_path / "state" / "logs", "a/b", ())
    finally:
        os.umask(before)
    modes = [path.stat().st_mode & 0o777 for path in (log, log.parent, log.parent.parent)]
    assert modes == [0o600, 0o700, 0o700]


def test_tail_reads_over_a_rotation(tmp_path: Path) -> None:
    log = tmp_path / "1.log"
    assert logs.tail(log, 5) == ()
    log.write_bytes(b"three\n\x1b[31mfo\xffur\x1b[0m\n")
    logs.rotated(log).write_text("one\ntwo\n")
    assert logs.tail(log, 1) == ("fo�ur",)
    assert logs.tail(log, 3) == ("two", "three", "fo�ur")
    assert logs.tail(log, 0) == ()


def test_tail_of_a_long_log_reads_its_end_only(tmp_path: Path) -> None:
    log = tmp_path / "1.log"
    log.write_text("".join(f"{n}\n" for n in range(200_000)))
    assert logs.tail(log, 2) == ("199998", "199999")


@pytest.mark.parametrize(
    ("lines", "line"),
    [
        ([], ""),
        (["all is well", ""], "all is well"),
        (["Traceback:", "  raise", "torch.OutOfMemoryError: no memory", "bye"], "torch.OutOfMemoryError: no memory"),
        (["0.00.1 E srv start: couldn't bind it", "0.00.2 E srv init: HTTP error"], "srv start: couldn't bind it"),
        (["sh: vllm: command not found"], "sh: vllm: command not found"),
    ],
)  # fmt: skip
def test_the_telling_line(lines: list[str], line: str) -> None:
    assert logs.telling(lines) == line


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("\x1b[31mred\x1b[0m\x1b[2K\x1b[?25h", "red"),
        ("a\x1b]0;title\x07b", "ab"),
        ("a\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\b", "alinkb"),
        ("a\x1b]52;c;cm0gLXJm\x1b\\b\x1bPq\x1b\\", "ab"),
        ("a\x1b(B\x1b=\x1bcb", "ab"),
        ("a\x00\x07\x08\x9b\x7fb\tc", "ab\tc"),
        ("10 %\r20 %\r\n", "10 %\n20 %\n"),
        ("cut \x1b[3", "cut 3"),
        ("ünïcode ✓", "ünïcode ✓"),
    ],
)
def test_what_a_terminal_would_obey_is_left_out(written: str, shown: str):
    assert logs.plain(written) == shown


def test_a_pipe_in_the_place_of_a_log_says_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "1.log")
    assert logs.tail(tmp_path / "1.log", 9) == ()
