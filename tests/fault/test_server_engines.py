"""A real server whose engines fail in every way they can: outcomes as a client sees them."""

import os
import signal
import time
from pathlib import Path

import pytest

from fault.guardian_kit import alive, linux_only
from fault.server_kit import Server, Stub, until

pytestmark = linux_only

LLAMA = {"source": "demo://50m", "ttl": "10m", "engine_args": {"n_ctx": 512, "n_threads": 1}}
QUICK = {"probe_interval": "100ms", "probe_timeout": "500ms"}


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory):
    """One server with the real engine, for the three tests that kill it."""
    with Server(tmp_path_factory.mktemp("llama"), models={"m": LLAMA}) as server:
        yield server


# -- killed ----------------------------------------------------------------------------------------------------------


def test_killed_while_starting_the_request_learns_why_and_the_next_one_is_served(llama: Server):
    before = len(llama.log())
    stream = llama.stream(max_tokens=4)
    os.kill(llama.pid(), signal.SIGKILL)
    answer = stream.answer
    if answer.status == 503:
        assert b"could not be started: the engine was killed by signal 9" in answer.read()
    else:
        assert answer.status == 200, "it was up before the signal came; then the request is tried again"
    assert llama.chat(max_tokens=4).status == 200, "after the back-off"
    until(lambda: "was killed by signal 9" in llama.log()[before:], "it is said")


def test_killed_while_idle_is_noticed_and_the_next_request_is_served(llama: Server):
    assert llama.chat(max_tokens=4).status == 200
    first = llama.pid()
    os.kill(first, signal.SIGKILL)
    until(lambda: not llama.running(), "its death is noticed")
    assert llama.chat(max_tokens=4).status == 200
    assert llama.pid() != first


def test_killed_mid_stream_ends_in_an_error_event(llama: Server):
    assert llama.chat(max_tokens=4).status == 200
    pid = llama.pid()
    stream = llama.stream(max_tokens=480, temperature=1.0, logit_bias={"2": False})
    assert "choices" in stream.first()
    os.kill(pid, signal.SIGKILL)
    *_, last = stream.rest()
    assert last["error"]["code"] == "engine_died"
    assert llama.chat(max_tokens=4).status == 200


def test_dying_mid_stream_by_itself_is_an_error_event_too(tmp_path: Path):
    stub = Stub(tmp_path)
    with Server(tmp_path, stub) as server:
        events = server.stream(n=5, die_after=2).rest()
        assert ["error" in e for e in events] == [False, False, True]
        assert events[-1]["error"]["code"] == "engine_died"


def test_dying_before_the_first_byte_is_tried_once_more_elsewhere(tmp_path: Path):
    stub = Stub(tmp_path)
    with Server(tmp_path, stub) as server:
        server.chat()
        first = server.pid()
        os.kill(first, signal.SIGSTOP)
        stream = server.stream(user="retried")
        until(lambda: server.running()[0]["in_flight"] == 1, "the request is on its way")
        os.kill(first, signal.SIGKILL)
        assert stream.rest()[-1] == "[DONE]"
        assert server.pid() != first


def test_a_crash_is_noticed_before_its_stop_command_is_done(tmp_path: Path):
    """The dead one takes nothing, and its successor serves, while what it left is still being cleared up."""
    stub = Stub(tmp_path)
    cleared = stub.folder / "cleared"
    stub.model["stop_cmd"] = f"sh -c 'until [ -e {cleared} ]; do sleep 0.02; done'"
    with Server(tmp_path, stub) as server:
        server.chat()
        first = server.pid()
        os.kill(first, signal.SIGSTOP)
        streams = [server.stream() for _ in range(3)]
        until(lambda: server.running()[0]["in_flight"] == 3, "they are on their way")
        os.kill(first, signal.SIGKILL)
        assert [s.rest()[-1] for s in streams] == ["[DONE]"] * 3
        assert server.chat().said.split() != [str(first)] * 3
        assert server.states() == ["failing", "ready"]
        assert 'pilotlight_replicas{model="m",state="failing"} 1.0' in server.ask("/metrics").text
        assert 'pilotlight_replicas_died_total{model="m"} 1.0' in server.ask("/metrics").text
        cleared.touch()
        server.until_states("ready")
        assert 'pilotlight_replicas_died_total{model="m"} 1.0' in server.ask("/metrics").text
        said = server.log()
        news = ["m-1 is failing", "m-2 is ready", "m-1 is gone"]
        assert sorted(news, key=said.index) == news


# -- hung ------------------------------------------------------------------------------------------------------------


def test_one_that_is_stopped_by_a_signal_is_found_by_its_probe_and_replaced(tmp_path: Path):
    stub = Stub(tmp_path, **QUICK)
    with Server(tmp_path, stub) as server:
        server.chat()
        first = server.pid()
        os.kill(first, signal.SIGSTOP)
        until(lambda: not alive(first), "the probe finds it")
        until(lambda: "hung: health did not answer" in server.log(), "it is said")
        assert server.chat().status == 200
        assert server.pid() != first


def test_one_that_accepts_and_never_answers_is_replaced_and_its_request_is_served(tmp_path: Path):
    stub = Stub(tmp_path, **QUICK)
    with Server(tmp_path, stub) as server:
        server.chat()
        stub.switch("hang")
        stream = server.stream()
        until(lambda: server.running()[0]["in_flight"] == 1, "the request is on its way")
        until(lambda: stub.starts() == 2, "another is started for it")
        stub.switch("hang", False)
        assert stream.rest()[-1] == "[DONE]"


def test_an_engine_that_refuses_health_for_a_while_is_borne(tmp_path: Path):
    stub = Stub(tmp_path, probe_interval="100ms", probe_timeout="30s")
    stub.switch("refuse")
    with Server(tmp_path, stub) as server:
        stream = server.stream(user="early")
        until(lambda: stub.starts() == 1, "it is started")
        assert server.states() == ["starting"]
        stub.switch("refuse", False)
        assert stream.rest()[-1] == "[DONE]", "while it loads, 503 is no failure"
        stub.switch("refuse")
        assert server.chat().status == 200
        time.sleep(0.5)  # some probes
        stub.switch("refuse", False)
        assert server.chat().status == 200
        assert stub.starts() == 1


def test_one_that_refuses_health_for_too_long_is_replaced(tmp_path: Path):
    stub = Stub(tmp_path, **QUICK)
    with Server(tmp_path, stub) as server:
        server.chat()
        first = server.pid()
        stub.switch("refuse")
        until(lambda: not alive(first), "it is ended")
        stub.switch("refuse", False)
        assert server.chat().status == 200
        until(lambda: "hung: health answered 503" in server.log(), "it is said")


# -- starts that come to nothing ---------------------------------------------------------------------------------------


def test_a_start_that_never_gets_ready_ends_at_its_timeout(tmp_path: Path):
    stub = Stub(tmp_path, "m", "--after", "never", startup_timeout="1s")
    with Server(tmp_path, stub) as server:
        answers = server.chats(3)
        assert {a.status for a in answers} == {503}
        error = answers[0].error
        assert error["code"] == "start_failed"
        assert "not ready within 1.00 s (startup_timeout); nothing listens on port" in error["message"]
        assert "the stub is born" in error["message"], "the engine's last lines"
        until(lambda: not any(map(alive, stub.pids())), "it is gone")
        server.until_states()


def test_a_command_that_exits_1_says_why_and_works_once_the_cause_is_gone(tmp_path: Path):
    stub = Stub(tmp_path)
    stub.switch("fail")
    stub.switch("wait")
    with Server(tmp_path, stub) as server:
        with server.chatting(5) as chats:
            until(lambda: server.held() == 5, "all of them wait")
            stub.switch("wait", False)
        assert stub.starts() == 1, "one start for all"
        for answer in [chat.result() for chat in chats]:
            assert answer.status == 503
            message = answer.error["message"]
            assert "the engine exited with status 1" in message
            assert "Error: the stub was told to fail" in message
            assert "loading the weights of the stub" in message
            assert int(answer.headers["Retry-After"]) >= 1
        stub.switch("fail", False)
        assert server.chat().status == 200, "held for the rest of the back-off, then served"
        assert stub.starts() == 2


def test_a_stream_that_already_has_a_status_gets_the_reason_as_an_event(tmp_path: Path):
    stub = Stub(tmp_path, "m", "--after", "never", startup_timeout="3s")
    with Server(tmp_path, stub) as server:
        stream = server.stream()
        assert stream.answer.status == 200, "the first comment has committed it"
        (error,) = stream.rest()
        assert error["error"]["code"] == "start_failed"


@pytest.mark.parametrize(
    ("cmd", "said"),
    [
        ("/nonexistent/engine ${PORT}", "was not found"),
        ("pyproject.toml ${PORT}", "was not found on PATH"),
        ("/ ${PORT}", "permission denied"),
    ],
)
def test_a_command_that_cannot_be_run_says_so(tmp_path: Path, cmd: str, said: str):
    stub = Stub(tmp_path, cmd=cmd)
    with Server(tmp_path, stub) as server:
        answer = server.chat()
        assert (answer.status, answer.error["code"]) == (503, "start_failed")
        assert said in answer.error["message"]


# -- families and floods -----------------------------------------------------------------------------------------------


def test_a_command_that_forks_and_leaves_its_session_is_gone_after_a_stop(tmp_path: Path):
    stub = Stub(tmp_path, "m", "--family")
    with Server(tmp_path, stub) as server:
        server.chat()
        pids = until(lambda: len(p := stub.pids()) == 4 and p, "the family is complete")
        assert all(map(alive, pids))
        server.post("/models/m/stop")
        until(lambda: not any(map(alive, pids)), "all of it is gone")
        server.until_states()


def test_one_that_ignores_sigterm_does_not_hold_up_a_server_that_is_told_twice(tmp_path: Path):
    stub = Stub(tmp_path, "m", "--deaf")
    with Server(tmp_path, stub) as server:
        assert server.chat().status == 200
        (pid,) = stub.pids()
        server.signal(signal.SIGTERM)
        until(lambda: "leaving" in server.log(), "it has heard the first one")
        assert alive(pid), "it has ten seconds"
        server.signal(signal.SIGTERM)
        assert server.wait(5) == 0


def test_an_engine_that_floods_its_log_fills_two_capped_files(tmp_path: Path):
    stub = Stub(tmp_path, "m", "--flood", "5")
    with Server(tmp_path, stub, log_max_size="1MiB") as server:
        assert server.chat().status == 200
        folder = server.state / "logs" / "m"
    # Only now: while lines are still coming, a rotation may be under way.
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    assert set(sizes) == {"1.log", "1.log.1"}
    assert max(sizes.values()) <= 2**20
    assert b"5119 xxx" in (folder / "1.log").read_bytes() + (folder / "1.log.1").read_bytes(), (
        "the end is kept"
    )
