"""A real server that is killed, crowded, starved of memory or disk, or told to leave: what is seen from outside."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fault.guardian_kit import alive, linux_only, marked
from fault.server_kit import Load, Server, Stub, until

pytestmark = linux_only

# -- killed ----------------------------------------------------------------------------------------------------------


def test_nothing_survives_kill_9_of_the_server_and_the_next_one_serves(tmp_path: Path):
    stub = Stub(tmp_path, "m", "--family")
    with Server(tmp_path, stub) as server:
        stream = server.stream(n=1000, every=0.02)
        stream.first()
        pids = until(lambda: len(p := stub.pids()) == 4 and p, "the family is complete")
        assert all(map(alive, pids))
        server.kill()
        until(lambda: not any(map(alive, pids)), "all of it is gone, also what left its session")
        until(lambda: not marked(tmp_path), "guardian and keepers are gone")
        stream.leave()
        server.start()
        assert server.chat().status == 200
        assert server.states() == ["ready"]


def test_a_killed_guardian_is_replaced_and_replicas_serve_on(tmp_path: Path):
    stub, other = Stub(tmp_path), Stub(tmp_path, "other")
    with Server(tmp_path, stub, other) as server:
        stream = server.stream(until=str(tmp_path / "end"))
        stream.first()
        first = server.pid()
        for pid in marked(tmp_path, commands=False):
            with contextlib.suppress(ProcessLookupError):
                if Path(f"/proc/{pid}/stat").read_text().split()[3] == str(server.process.pid):
                    os.kill(pid, signal.SIGKILL)
        (tmp_path / "end").touch()
        assert stream.rest()[-1] == "[DONE]"
        assert server.chat("other").status == 200, "a new guardian has started it"
        assert server.pid() == first
        server.post("/models/m/stop")
        until(lambda: not alive(first), "the keeper without a guardian still ends its engine")


def test_guardian_and_keepers_killed_costs_replicas_and_no_request_after(tmp_path: Path):
    stub = Stub(tmp_path, "m", "--family")
    with Server(tmp_path, stub) as server:
        server.chat()
        pids = until(lambda: len(p := stub.pids()) == 4 and p, "the family is complete")
        for pid in marked(tmp_path, commands=False):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        until(lambda: not any(map(alive, pids)), "what nobody watches any more is ended")
        assert server.chat().status == 200


# -- crowds ----------------------------------------------------------------------------------------------------------


def test_200_at_once_to_a_model_at_zero_are_one_start_and_none_is_lost(tmp_path: Path):
    stub = Stub(tmp_path)
    stub.switch("wait")
    with Server(tmp_path, stub) as server:
        with server.chatting(200) as chats:
            until(lambda: server.held() == 200, "all of them wait")
            stub.switch("wait", False)
        assert [chat.result().status for chat in chats] == [200] * 200
        assert stub.starts() == 1
        assert sorted(stub.requests()) == sorted(f"m{i}" for i in range(200))
        assert server.held() == 0


def test_they_are_released_in_the_order_in_which_they_came(tmp_path: Path):
    stub = Stub(tmp_path, max_requests=1)
    stub.switch("wait")
    with Server(tmp_path, stub) as server:
        streams = []
        for i in range(20):
            streams.append(server.stream(user=str(i), n=1))
            until(lambda i=i: server.held() == i + 1, "it is held")
        stub.switch("wait", False)
        assert all(s.rest()[-1] == "[DONE]" for s in streams)
        assert stub.requests() == [str(i) for i in range(20)]


def test_one_more_than_may_wait_is_told_when_to_come_again(tmp_path: Path):
    stub = Stub(tmp_path, max_pending_requests=3)
    stub.switch("wait")
    with Server(tmp_path, stub) as server:
        with server.chatting(10) as chats:
            until(lambda: sum(chat.done() for chat in chats) == 7, "no more than three wait")
            stub.switch("wait", False)
        answers = [chat.result() for chat in chats]
        assert sorted(a.status for a in answers) == [200] * 3 + [429] * 7
        refused = next(a for a in answers if a.status == 429)
        assert (refused.headers["Retry-After"], refused.error["code"]) == ("2", "too_many_pending_requests")


def test_a_client_that_leaves_while_held_leaves_the_start_alone(tmp_path: Path):
    stub = Stub(tmp_path, ttl="500ms")
    stub.switch("wait")
    with Server(tmp_path, stub) as server:
        stream = server.stream()
        until(lambda: server.held() == 1, "it is held")
        stream.leave()
        until(lambda: server.held() == 0, "its place is free")
        stub.switch("wait", False)
        until(lambda: "m-1 is ready" in server.log(), "it comes up all the same")
        assert stub.requests() == []
        server.until_states()
        assert "its keep-alive" in server.log()
        assert stub.starts() == 1


def test_a_client_that_leaves_while_it_is_served_cancels_the_engine_s_work(tmp_path: Path):
    stub = Stub(tmp_path)
    with Server(tmp_path, stub) as server:
        stream = server.stream(n=1000, every=0.01, user="gone")
        stream.first()
        stream.leave()
        until(lambda: stub.journal("left"), "the engine sees it")
        assert not stub.journal("streamed")
        until(lambda: server.running()[0]["in_flight"] == 0, "its slot is free")


# -- memory ----------------------------------------------------------------------------------------------------------


def test_two_that_fight_for_memory_are_both_served_and_take_turns(tmp_path: Path):
    a, b = (Stub(tmp_path, name, memory="1GiB") for name in "ab")
    with (
        Server(tmp_path, a, b, memory="1500MiB") as server,
        Load(server, "a", 3) as left,
        Load(server, "b", 3) as right,
    ):
        left.more(6), right.more(6)
        until(lambda: a.starts() + b.starts() >= 4, "they have swapped some times")
    assert not left.bad
    assert not right.bad
    swaps = a.starts() + b.starts()
    served = len(left.answers) + len(right.answers)
    assert served > 5 * swaps, "requests are collated; nobody is started for one request each"


def test_one_that_can_never_fit_is_refused_with_the_numbers(tmp_path: Path):
    kept, big = Stub(tmp_path, "kept", memory="1GiB", min_replicas=1), Stub(tmp_path, "big", memory="2GiB")
    with Server(tmp_path, kept, big, memory="2500MiB") as server:
        server.until_states("ready", model="kept")
        answer = server.chat("big")
        assert (answer.status, answer.error["code"]) == (503, "model_does_not_fit")
        for number in (
            "2.0 GiB of host memory",
            "the budget is 2.4 GiB",
            "1.0 GiB is held by replicas that stay",
        ):
            assert number in answer.error["message"]
        assert big.starts() == 0
        assert server.chat("kept").status == 200


def test_models_share_a_device_and_a_third_waits_for_its_room(tmp_path: Path):
    gpu = {"gpus": 1, "gpu_memory": "10GiB"}
    a, b, c = (Stub(tmp_path, name, **gpu) for name in "abc")
    whole = Stub(tmp_path, "whole", gpus=1)
    with Server(tmp_path, a, b, c, whole, gpus=[{"id": 3, "memory": "24GiB"}]) as server:
        stream = server.stream("a", until=str(tmp_path / "end"))
        stream.first()
        assert server.chat("b").status == 200
        assert {r["model"]: r["devices"] for r in server.ask("/running").json["replicas"]} == {
            "a": [3],
            "b": [3],
        }
        assert server.chat("c").status == 200, "b was idle and has made room; a was busy"
        (tmp_path / "end").touch()
        assert stream.rest()[-1] == "[DONE]"
        assert (a.starts(), b.starts(), c.starts()) == (1, 1, 1)
        assert server.chat("whole").status == 200
        server.until_states("ready", model="whole")
        assert [s.journal("born", kind="main")[0]["cuda"] for s in (a, b, c, whole)] == ["3"] * 4


def test_two_devices_are_two_replicas(tmp_path: Path):
    stub = Stub(tmp_path, gpus=1, max_replicas=2, target_requests=1, max_requests=1)
    gpus = [{"id": 0, "memory": "24GiB"}, {"id": 1, "memory": "24GiB"}]
    with Server(tmp_path, stub, gpus=gpus) as server:
        assert {a.status for a in server.chats(4, every=0.1)} == {200}
        assert sorted(e["cuda"] for e in stub.journal("born", kind="main")) == ["0", "1"]


# -- disks -----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def small_disk(folder: Path, size: str, *options: str) -> Iterator[Path]:
    """A file system of its own; skips, loudly, where none may be mounted."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", ",".join([f"size={size}", *options]), "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("NOT TESTED: a full disk; mounting a small one needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


DEMO = {"source": "demo://50m", "engine_args": {"n_ctx": 256, "n_threads": 1}}


def test_a_disk_that_is_full_is_the_reason_and_the_server_lives(tmp_path: Path):
    stub = Stub(tmp_path)
    with small_disk(tmp_path / "cache", "20m") as cache:
        with Server(tmp_path, stub, models={"demo": DEMO}, cache_dir=str(cache)) as server:
            answer = server.chat("demo")
            assert (answer.status, answer.error["code"]) == (503, "start_failed")
            assert "are free in" in answer.error["message"]
            assert server.chat().status == 200, "other models do not suffer"
        assert not list(cache.rglob("*.gguf")), "no half file under its final name"


def test_a_disk_that_fills_up_meanwhile(tmp_path: Path):
    """There is room when the size is looked at, and none when it is written."""
    with (
        small_disk(tmp_path / "cache", "200m") as cache,
        Server(tmp_path, models={"demo": DEMO}, cache_dir=str(cache)) as server,
    ):
        stream = server.stream("demo")
        until(lambda: any(cache.rglob("*")), "it has begun")
        with contextlib.suppress(OSError), (cache / "ballast").open("wb") as ballast:
            while True:
                ballast.write(b"x" * 2**20)
        answer = stream.answer
        said = answer.read().decode()
        assert "start_failed" in said or answer.status == 200, said
        (cache / "ballast").unlink()
        assert server.chat("demo", max_tokens=2).status == 200, "once there is room again"


def test_a_cache_that_cannot_be_written_is_the_reason(tmp_path: Path):
    stub = Stub(tmp_path)
    with contextlib.ExitStack() as stack:
        cache = stack.enter_context(small_disk(tmp_path / "cache", "1m", "ro"))
        server = stack.enter_context(Server(tmp_path, stub, models={"demo": DEMO}, cache_dir=str(cache)))
        answer = server.chat("demo")
        assert (answer.status, answer.error["code"]) == (503, "start_failed")
        assert "cannot be written" in answer.error["message"]
        assert server.chat().status == 200


def test_a_cache_that_is_a_file(tmp_path: Path):
    (tmp_path / "cache").write_text("no folder")
    with Server(tmp_path, models={"demo": DEMO}, cache_dir=str(tmp_path / "cache")) as server:
        answer = server.chat("demo")
        assert (answer.status, answer.error["code"]) == (503, "start_failed")


@pytest.mark.parametrize("how", ["read-only", "a file", "below a file"])
def test_a_state_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path, how: str):
    with contextlib.ExitStack() as stack:
        if how == "read-only":
            stack.enter_context(small_disk(tmp_path / "state", "1m", "ro"))
        else:
            (tmp_path / "state").write_text("")
        folder = tmp_path / "state" / ("deeper" if how == "below a file" else "")
        server = Server(tmp_path, Stub(tmp_path), state_dir=str(folder))
        server.launch()
        assert server.wait() == 1
        (line,) = server.log().splitlines()
        what, remedy = ("used: ", "a folder") if how == "a file" else ("written (", "one that can")
        assert line.startswith(f"pilotlight: the state folder {folder} cannot be {what}")
        assert line.endswith(f"set state_dir to {remedy}")
    server.nothing_is_left()


# -- the port --------------------------------------------------------------------------------------------------------


def test_a_port_in_use_is_one_clear_line(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = Server(tmp_path, Stub(tmp_path), port=port)
        server.launch()
        assert server.wait() == 1
        (line,) = server.log().splitlines()
        assert line.startswith(f"pilotlight: cannot listen on 127.0.0.1:{port}: ")
        assert "--port" in line
        server.nothing_is_left()


def test_a_second_server_on_one_state_folder_is_refused_and_harms_nothing(tmp_path: Path):
    stub = Stub(tmp_path)
    with Server(tmp_path, stub) as first:
        first.chat()
        pid = first.pid()
        second = Server(tmp_path / "second", stub, state_dir=str(first.state))
        with pytest.raises(AssertionError, match=f"another server .pid {first.process.pid}. uses the state"):
            second.start()
        assert alive(pid)
        assert first.chat().status == 200
        assert first.pid() == pid


# -- leaving ---------------------------------------------------------------------------------------------------------


def test_sigterm_lets_a_running_stream_finish_and_refuses_new_requests(tmp_path: Path):
    stub = Stub(tmp_path)
    with Server(tmp_path, stub) as server:
        stream = server.stream(until=str(tmp_path / "end"))
        stream.first()
        server.signal(signal.SIGTERM)
        until(lambda: server.ask("/health").status == 503, "it is leaving")
        assert server.chat().error["code"] == "shutting_down"
        (tmp_path / "end").touch()
        assert stream.rest()[-1] == "[DONE]"
        assert server.wait() == 0


def test_a_held_request_is_told_when_the_server_leaves(tmp_path: Path):
    stub = Stub(tmp_path, "m", "--after", "never")
    with Server(tmp_path, stub) as server:
        stream = server.stream()
        until(lambda: server.held() == 1, "it is held")
        server.signal(signal.SIGTERM)
        assert "shutting_down" in stream.answer.read().decode()
        assert server.wait() == 0


def test_a_second_sigterm_ends_it_at_once(tmp_path: Path):
    stub = Stub(tmp_path)
    with Server(tmp_path, stub) as server:
        stream = server.stream(n=10_000, every=0.02)
        stream.first()
        server.signal(signal.SIGTERM)
        until(lambda: "leaving" in server.log(), "it has heard the first one")
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        assert stream.rest()[-1] != "[DONE]"


def test_ctrl_c_is_a_leave_as_well_and_engines_do_not_hear_it(tmp_path: Path):
    stub = Stub(tmp_path)
    with Server(tmp_path, stub) as server:
        stream = server.stream(until=str(tmp_path / "end"))
        stream.first()
        os.killpg(os.getpgid(server.process.pid), 0)  # it is in our group; the engine must not be
        assert os.getpgid(server.pid()) != os.getpgid(server.process.pid)
        server.signal(signal.SIGINT)
        until(lambda: server.ask("/health").status == 503, "it is leaving")
        (tmp_path / "end").touch()
        assert stream.rest()[-1] == "[DONE]"
        assert server.wait() == 0


def test_a_log_folder_that_vanishes_does_not_stop_serving(tmp_path: Path):
    stub = Stub(tmp_path, ttl="0")
    with Server(tmp_path, stub) as server:
        assert server.chat().status == 200
        server.until_states()
        shutil.rmtree(server.state / "logs")
        assert server.chat().status == 200
