"""The arithmetic of the benchmark harness, and that its C programs agree with each other."""

import json
import os
import shutil
import subprocess
import sys

import harness
import pytest
import rounds

needs_compiler = pytest.mark.skipif(
    shutil.which("cc") is None and os.environ.get("CI") != "true", reason="no C compiler (cc)"
)


def test_rounds_with_a_noisy_direct_are_dropped():
    assert rounds.quiet_rounds([100, 114, 116, 300, 101]) == [0, 1, 4]


def test_order_alternates_and_every_target_comes_first_sometimes():
    names = ["direct", "nginx", "pilotlight"]
    orders = [rounds.order_of_round(names, number) for number in range(6)]
    assert orders[0] == names
    assert orders[1] == names[::-1]
    assert all(sorted(order) == sorted(names) for order in orders)
    assert {order[0] for order in orders} == set(names)


def test_the_ratio_is_the_median_of_ratios_within_rounds():
    measured = rounds.Rounds()
    for direct, nginx, ours in [(10, 14, 84), (10, 28, 140), (20, 1, 1000), (11, 14, 98)]:
        measured.direct.append(direct)
        measured.add("nginx", {"cpu": nginx})
        measured.add("ours", {"cpu": ours})
    assert measured.kept() == [0, 1, 3]
    assert measured.ratio("ours", "cpu") == 6
    assert measured.difference("ours", "cpu", "nginx") == 84
    assert measured.ratio("ours", "cpu", base="haproxy") is None


def test_with_few_values_the_99th_percentile_is_the_largest():
    values = [float(value) for value in range(32, 0, -1)]
    assert rounds.quantile(values, 0.5) == 16
    assert rounds.quantile(values, 0.99) == 32
    assert rounds.quantile([7.0], 0.5) == 7


def test_the_table_lines_up():
    lines = rounds.table(["what", "figure"], [("long enough", 1234.5), ("x", None)]).splitlines()
    assert {len(line) for line in lines} == {len(lines[0])}
    assert "1,23" in lines[2]
    assert lines[3].endswith("| -      |")


def test_the_machine_is_named_without_host_or_path():
    about = rounds.machine()
    assert os.uname().nodename not in json.dumps(about)
    assert set(about) == {"date", "cpu", "cores", "memory", "kernel", "python"}


def test_a_tree_counts_the_cpu_of_its_children_and_ends_with_all_of_them(tmp_path):
    child = "import time; t = time.process_time()\nwhile time.process_time() - t < 0.2: pass\ntime.sleep(60)"
    argv = (
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}], start_new_session=True)"
    )
    tree = harness.Tree([sys.executable, "-c", argv], log=tmp_path / "log")
    try:
        harness.wait_until(lambda: tree.cpu_ns() > 0.2e9, 30, "CPU of the child")
        pids = tree.pids()
        assert len(pids) == 2
        assert tree.pss() > 0
    finally:
        tree.stop(grace=1)
    harness.wait_until(lambda: not tree.pids(), 10, "end of the tree")


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(harness, "CACHE", tmp_path_factory.mktemp("cache"))
        yield


@pytest.fixture
def upstream(programs, tmp_path):
    """Starts stand-in engines; each is there once `path` answers."""
    trees = []

    def start(*options: str, path: str = "/health") -> int:
        port = harness.free_port()
        argv = [harness.build("upstream"), "--port", str(port), *options]
        trees.append(harness.Tree(argv, log=tmp_path / "log"))
        harness.wait_for(port, trees[-1], path)
        return port

    yield start
    for tree in trees:
        tree.stop()


def run_client(port: int, *options: str, expect: int = 0) -> list[str]:
    argv = [harness.build("load"), "--port", str(port), "--timeout", "30", *options]
    run = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert run.returncode == expect, run.stderr
    return run.stdout.splitlines()


@needs_compiler
def test_the_stand_in_answers_one_kilobyte_with_usage(upstream):
    reply = harness.fetch(upstream(), "/v1/chat/completions", body={"messages": []})
    assert len(reply.body) == 1024
    assert json.loads(reply.body)["usage"]["completion_tokens"] > 0


@needs_compiler
def test_the_load_client_counts_what_the_stand_in_saw(upstream):
    port = upstream()
    lines = run_client(port, "--connections", "8", "--requests", "100")
    result, stats = json.loads(lines[-1]), json.loads(harness.fetch(port, "/stats").body)
    assert lines[0].startswith("sent ")
    assert (result["requests"], result["errors"]) == (100, 0)
    assert stats["requests"] == 100
    assert stats["ready_ns"] <= stats["arrivals_ns"][0] <= stats["arrivals_ns"][-1]


@needs_compiler
def test_streams_end_properly_and_every_chunk_carries_its_time(upstream):
    port = upstream("--rate", "1000", "--chunks", "20")
    lines = run_client(port, "--stream", "--connections", "5", "--requests", "10")
    result = json.loads(lines[-1])
    assert (result["chunks"], result["streams_done"], result["errors"]) == (200, 10, 0)
    assert 0 < result["p50_us"] < 1e6


@needs_compiler
@pytest.mark.parametrize("before", ["503", "refuse"])
def test_the_stand_in_notes_when_it_was_ready_and_when_the_first_request_came(upstream, tmp_path, before):
    events = tmp_path / "events"
    port = upstream("--ready-after", "0.1", "--before", before, "--events", str(events))
    harness.fetch(port, "/v1/chat/completions", body={})
    note = json.loads(events.read_text())
    assert note["started_ns"] + 0.1e9 <= note["ready_ns"] <= note["first_ns"]


@needs_compiler
def test_refusals_are_errors_and_never_requests(upstream):
    port = upstream("--ready-after", "1000", "--before", "503", path="/stats")
    result = json.loads(run_client(port, "--connections", "2", "--requests", "5", expect=1)[-1])
    assert (result["requests"], result["errors"]) == (0, 5)


@needs_compiler
def test_a_timed_run_marks_its_window_for_the_harness(upstream):
    load = harness.run_load(
        upstream(), ["--connections", "2", "--seconds", "0.2", "--warmup", "0.05"], cpu=iter([5, 12]).__next__
    )
    assert load.cpu_ns == 7
    assert load.result["requests"] > 0
    assert load.result["seconds"] >= 0.2
