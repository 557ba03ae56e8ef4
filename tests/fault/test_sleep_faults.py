"""Replicas that sleep, in a real server, and everything that can go wrong with it, as a client sees it."""

import os
import signal
import subprocess
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fault.guardian_kit import linux_only
from fault.server_kit import PILOTLIGHT, Answer, Load, Server, until
from fault.sleep_kit import SleepyServer, SleepyStub

pytestmark = linux_only

WATCHED = {"probe_interval": "100ms", "probe_timeout": "500ms"}
"""Often enough that a sleeping replica that were asked would be condemned in these tests."""


@contextmanager
def asleep(folder: Path, **model: Any) -> Generator[tuple[Server, SleepyStub]]:
    """A server with one model that sleeps."""
    stub = SleepyStub(folder, **model)
    with SleepyServer(folder, stub) as server:
        assert server.chat().status == 200
        assert server.post("/models/m/sleep").status == 202
        server.until_states("asleep")
        yield server, stub


def metric(server: Server, name: str) -> float:
    line = next(
        line for line in server.ask("/metrics").text.splitlines() if line.startswith(f'{name}{{model="m"}}')
    )
    return float(line.split()[-1])


@contextmanager
def asked(server: Server) -> Generator[list[Answer]]:
    """A request that is under way meanwhile; its answer is there at the end."""
    answers: list[Answer] = []
    thread = threading.Thread(target=lambda: answers.append(server.chat(user="meanwhile")))
    thread.start()
    try:
        yield answers
    finally:
        thread.join()


def test_a_request_wakes_it(tmp_path: Path):
    with asleep(tmp_path, **WATCHED) as (server, stub):
        answer = server.chat()
        assert (answer.status, answer.headers["x-pilotlight-start"]) == (200, "woken")
        assert stub.told() == ["/sleep?level=1", "/wake_up"]
        assert stub.starts() == 1
        assert stub.journal("request", asleep=True) == []


@pytest.mark.parametrize("said_by", ["the configuration", "the order", "the command line"])
def test_level_2_is_woken_in_steps(tmp_path: Path, said_by: str):
    stub = SleepyStub(tmp_path, sleep_level=2 if said_by == "the configuration" else 1)
    with SleepyServer(tmp_path, stub) as server:
        assert server.chat().status == 200
        if said_by == "the command line":
            subprocess.run([PILOTLIGHT, "sleep", "m", "--level", "2"], env=server.env, check=True)
        else:
            assert server.post(f"/models/m/sleep{'?level=2' if said_by == 'the order' else ''}").status == 202
        server.until_states("asleep")
        assert server.chat().status == 200
        assert stub.told() == [
            "/sleep?level=2",
            "/wake_up?tags=weights",
            "/collective_rpc",
            "/wake_up?tags=kv_cache",
        ]


def test_one_that_is_killed_in_its_sleep_is_started_anew_when_it_is_asked_for(tmp_path: Path):
    with asleep(tmp_path) as (server, stub):
        os.kill(server.pid(), signal.SIGKILL)
        until(lambda: not server.running(), "its death is noticed")
        answer = server.chat()
        assert (answer.status, answer.headers["x-pilotlight-start"]) == (200, "cold")
        assert stub.starts() == 2


def test_one_that_is_killed_while_it_wakes(tmp_path: Path):
    with asleep(tmp_path) as (server, stub):
        stub.switch("drowsy")
        with asked(server) as answers:
            server.until_states("waking")
            os.kill(server.pid(), signal.SIGKILL)
            stub.switch("drowsy", False)
        assert answers[0].status == 200 and stub.starts() == 2


def test_a_wake_that_hangs_is_given_up_and_another_is_started(tmp_path: Path):
    with asleep(tmp_path, startup_timeout="2s") as (server, stub):
        stub.switch("drowsy")
        answer = server.chat()
        assert answer.status == 200, "the replica that replaced it served the request"
        assert stub.starts() == 2
        assert "m-1 is failing: the wake failed: it did not answer within 1" in server.log()


def test_a_sleep_that_frees_nothing_ends_the_replica_and_is_counted(tmp_path: Path):
    stub = SleepyStub(tmp_path)
    stub.switch("restless")
    with SleepyServer(tmp_path, stub) as server:
        assert server.chat().status == 200
        server.post("/models/m/sleep")
        until(lambda: not server.running(), "it is stopped")
        assert metric(server, "pilotlight_sleep_failures_total") == 1
        assert "it gave too little back: it took" in server.log()
        answer = server.chat()
        assert (answer.status, answer.headers["x-pilotlight-start"]) == (200, "cold")


def test_one_that_sleeps_by_itself_and_frees_nothing_is_restarted_and_counted(tmp_path: Path):
    stub = SleepyStub(tmp_path, sleep_after="500ms", ttl="1h")
    stub.switch("restless")
    with SleepyServer(tmp_path, stub) as server:
        assert server.chat().status == 200
        until(lambda: stub.starts() == 2, "it is restarted")
        server.until_states("ready")
        assert metric(server, "pilotlight_sleep_failures_total") == 1
        assert "the one before could not sleep" in server.log()
        answer = server.chat()
        assert (answer.status, answer.headers["x-pilotlight-start"]) == (200, "warm")


def test_a_request_that_comes_while_it_goes_to_sleep_is_answered(tmp_path: Path):
    stub = SleepyStub(tmp_path)
    with SleepyServer(tmp_path, stub) as server:
        assert server.chat().status == 200
        stub.switch("lull")
        server.post("/models/m/sleep")
        server.until_states("going_to_sleep")
        with asked(server) as answers:
            until(server.held, "it waits")
            stub.switch("lull", False)
        assert (answers[0].status, answers[0].headers["x-pilotlight-start"]) == (200, "woken")
        assert stub.starts() == 1 and stub.journal("request", asleep=True) == []


def test_one_with_requests_in_flight_is_not_put_to_sleep(tmp_path: Path):
    stub = SleepyStub(tmp_path)
    with SleepyServer(tmp_path, stub) as server:
        stream = server.stream(n=10_000, every=0.02)
        stream.first()
        assert server.post("/models/m/sleep").json["replicas"] == {"ready": 1}
        assert "choices" in stream.first(), "it goes on"
        stream.leave()
        assert stub.told() == []


def test_put_to_sleep_again_and_again_under_load_nothing_is_lost(tmp_path: Path):
    stub = SleepyStub(tmp_path, sleep_after="0s", **WATCHED)
    with SleepyServer(tmp_path, stub) as server:
        with Load(server, clients=2) as load:
            load.more(40)
        assert load.bad == []
        server.until_states("asleep")
        assert stub.starts() == 1 and stub.journal("request", asleep=True) == []


def test_a_sleeping_one_goes_with_the_server_and_with_its_ttl(tmp_path: Path):
    with asleep(tmp_path) as (server, stub):
        server.write(models={"m": {**stub.model, "ttl": "100ms"}})
        assert server.post("/reload").status == 200
        until(lambda: not server.running(), "its time is over")
