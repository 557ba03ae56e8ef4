"""A changed file is applied without dropping a request; a wrong one changes nothing and says why."""

import signal
from pathlib import Path
from typing import Any

import pytest

from fault.guardian_kit import alive, linux_only
from fault.server_kit import Load, Server, Stub, until

pytestmark = linux_only


def reload(server: Server, how: str = "post") -> list[str]:
    """What is said to have changed."""
    if how == "post":
        answer = server.post("/reload")
        assert answer.status == 200, answer.text
        return answer.json["changes"]
    before = server.log().count("was reloaded")
    server.signal(signal.SIGHUP)
    until(lambda: server.log().count("was reloaded") > before, "it is reloaded")
    return [
        line.split("was reloaded: ")[1] for line in server.log().splitlines() if "was reloaded: " in line
    ][-1:]


def change(stub: Stub, **model: Any) -> None:
    stub.model = {**stub.model, **model}


@pytest.mark.parametrize("how", ["post", "sighup"])
def test_a_change_of_scaling_alone_touches_no_replica(tmp_path: Path, how: str):
    stub = Stub(tmp_path)
    with Server(tmp_path, stub) as server:
        server.chat()
        pid = server.pid()
        with Load(server) as load:
            load.more(5)
            change(stub, ttl="1h", max_replicas=3, target_requests=50, aliases=["alias"])
            server.write()
            (said,) = reload(server, how)
            load.more(5)
        assert not load.bad
        assert said.startswith("m: ")
        for key in ("aliases", "max_replicas", "target_requests", "ttl"):
            assert key in said
        assert server.pid() == pid
        assert server.chat("alias").status == 200
        assert stub.starts() == 1


@pytest.mark.parametrize("how", ["post", "sighup"])
def test_a_changed_engine_is_replaced_under_load_and_no_request_fails(tmp_path: Path, how: str):
    stub, other = Stub(tmp_path, env={"LABEL": "old"}), Stub(tmp_path, "other")
    with Server(tmp_path, stub, other) as server:
        server.chat(), server.chat("other")
        old, untouched = server.pid(), server.pid("other")
        long = server.stream(until=str(tmp_path / "end"))
        long.first()
        with Load(server) as load:
            load.more(5)
            change(stub, env={"LABEL": "new"})
            server.write()
            (said,) = reload(server, how)
            assert said == "m: replicas are being replaced (env changed)"
            until(lambda: stub.journal("born", kind="main", label="new"), "the new one is started")
            new = stub.journal("born", kind="main", label="new")[0]["pid"]
            until(lambda: f"{new} " in load.answers[-1].said, "the new one serves")
            load.more(5)
        assert not load.bad
        (tmp_path / "end").touch()
        assert long.rest()[-1] == "[DONE]", "what runs on the old one is finished there"
        until(lambda: not alive(old), "then it goes")
        assert server.pid() == new
        assert server.pid("other") == untouched


def test_where_memory_forbids_both_the_old_one_goes_first_and_no_request_fails(tmp_path: Path):
    stub = Stub(tmp_path, memory="1GiB", env={"LABEL": "old"})
    with Server(tmp_path, stub, memory="1500MiB") as server, Load(server) as load:
        load.more(5)
        change(stub, env={"LABEL": "new"})
        server.write()
        reload(server)
        until(lambda: stub.journal("born", kind="main", label="new"), "the new one is started")
        load.more(5)
        assert server.states() == ["ready"]
    assert not load.bad


def test_a_reload_in_the_middle_of_a_start_keeps_those_who_wait(tmp_path: Path):
    stub = Stub(tmp_path, "m", "--after", "0.4", env={"LABEL": "1"})
    with Server(tmp_path, stub) as server:
        streams = [server.stream() for _ in range(5)]
        for label in ("2", "3", "4"):
            until(lambda n=int(label) - 1: stub.starts() >= n, "it is started")
            change(stub, env={"LABEL": label})
            server.write()
            reload(server)
        assert [s.rest()[-1] for s in streams] == ["[DONE]"] * 5
        server.until_states("ready")
        assert stub.journal("born", kind="main")[-1]["label"] == "4"


def test_models_come_and_go(tmp_path: Path):
    stub, new = Stub(tmp_path), Stub(tmp_path, "new")
    with Server(tmp_path, stub, models={"new": None}) as server:
        server.chat()
        pid = server.pid()
        stream = server.stream(until=str(tmp_path / "end"))
        stream.first()
        assert server.chat("new").status == 404
        server.stubs = (stub, new)
        server.write(models={"m": None})
        assert reload(server) == ["new: added", "m: removed"]
        answer = server.chat()
        assert (answer.status, answer.error["code"]) == (404, "model_not_found")
        assert server.chat("new").status == 200
        (tmp_path / "end").touch()
        assert stream.rest()[-1] == "[DONE]", "what runs is finished"
        until(lambda: not alive(pid), "then it goes")
        assert [m["id"] for m in server.ask("/v1/models").json["data"]] == ["new"]


def test_a_held_request_of_a_removed_model_is_told(tmp_path: Path):
    stub, other = Stub(tmp_path, "m", "--after", "never"), Stub(tmp_path, "other")
    with Server(tmp_path, stub, other) as server:
        stream = server.stream()
        until(lambda: server.held() == 1, "it is held")
        server.write(models={"m": None})
        reload(server)
        assert stream.answer.status == 404
        assert b"was removed from the configuration" in stream.answer.read()
        until(lambda: not any(map(alive, stub.pids())), "the start is called off")


BROKEN = {
    "no yaml": "models: {m: [",
    "a wrong key": "models: {m: {engine: command, cmd: 'x ${PORT}', tll: 5m}}",
    "an unset variable": "models: {m: {engine: command, cmd: 'x ${PORT} ${NOT_SET_ANYWHERE}'}}",
    "no models": "port: 1",
    "empty": "",
    "not text": "\0\1\2",
    "a wrong argument": "models: {m: {source: 'demo://50m', engine_args: {n_ctxx: 5}}}",
}


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("steady")
    with Server(folder, Stub(folder)) as server:
        server.chat()
        yield server


@pytest.mark.parametrize("what", [*BROKEN, "deleted", "a folder"])
def test_a_broken_file_changes_nothing_and_says_why(steady: Server, what: str):
    pid = steady.pid()
    path = steady.config_path
    path.unlink()
    if what == "a folder":
        path.mkdir()
    elif what != "deleted":
        path.write_text(BROKEN[what])
    answer = steady.post("/reload")
    before = len(steady.log())
    steady.signal(signal.SIGHUP)
    until(lambda: "the configuration was not reloaded" in steady.log()[before:], "it is said in the log")
    if what == "a folder":
        path.rmdir()
    steady.write()
    assert (answer.status, answer.error["code"]) == (400, "invalid_config")
    assert answer.error["message"].startswith(str(path))
    assert steady.chat().status == 200
    assert steady.pid() == pid
    assert reload(steady) == []
    assert steady.stubs[0].starts() == 1


def test_what_only_a_restart_can_change_is_said_and_left(steady: Server):
    pid = steady.pid()
    steady.write(client_max_size="1MiB", log_max_size="1MiB")
    said = reload(steady)
    assert "client_max_size changed; it takes effect at the next start" in said
    assert steady.chat(padding="x" * 2**21).status == 200, "the old limit holds"
    steady.write(client_max_size="64MiB", log_max_size="16MiB")
    reload(steady)
    assert steady.pid() == pid


def test_an_address_is_for_the_next_start_and_opens_no_door_now(steady: Server):
    steady.write(host="0.0.0.0")
    said = reload(steady)
    steady.write(host="127.0.0.1")
    assert said == ["host changed; it takes effect at the next start"]
    assert steady.chat().status == 200


def test_memory_larger_than_the_budget_is_an_error_of_the_file(tmp_path: Path):
    stub = Stub(tmp_path)
    with Server(tmp_path, stub, memory="1GiB") as server:
        change(stub, memory="2GiB")
        server.write()
        answer = server.post("/reload")
        assert answer.status == 400
        assert "2.0 GiB a replica never fits" in answer.error["message"]
        change(stub, memory="64MiB")
        server.write()
        assert server.chat().status == 200


def test_less_memory_lets_an_idle_replica_go_and_a_request_brings_it_back(tmp_path: Path):
    a, b = (Stub(tmp_path, name, memory="1GiB") for name in "ab")
    with Server(tmp_path, a, b, memory="3GiB") as server:
        server.chat("a"), server.chat("b")
        server.write(memory="1500MiB")
        until(
            lambda: reload(server) is not None and len(server.running("a") + server.running("b")) == 1,
            "one has gone",
        )
        assert server.chat("a").status == 200
        assert server.chat("b").status == 200


def test_keys_and_their_limits_are_applied(tmp_path: Path):
    stub = Stub(tmp_path)
    with Server(tmp_path, stub, env={"KEY_A": "secret-a"}) as server:
        assert server.chat().status == 200
        server.write(api_keys=[{"name": "a", "key_env": "KEY_A"}])
        assert "api_keys changed" in reload(server)
        token, server.token = server.token, "wrong"
        assert server.chat().status == 401
        server.token = "secret-a"
        assert server.chat().status == 200
        assert server.post("/reload").status == 403, "no admin key"
        server.token = token
        assert stub.starts() == 1


def test_many_reloads_at_once_under_load(tmp_path: Path):
    stub = Stub(tmp_path)
    with Server(tmp_path, stub) as server, Load(server) as load:
        load.more(5)
        for n in range(12):
            change(stub, env={"LABEL": str(n)})
            server.write()
            server.signal(signal.SIGHUP)
            reload(server)
        until(lambda: stub.journal("born", kind="main", label="11"), "the last one is started")
        server.until_states("ready")
        last = server.pid()
        load.more(5)
    assert not load.bad
    assert stub.journal("born", kind="main", label="11")[-1]["pid"] == last


def test_sighup_before_it_is_up_is_heeded_once_it_is(tmp_path: Path):
    server = Server(tmp_path, Stub(tmp_path))
    server.launch()
    until((server.state / "logs").exists, "it has begun")
    server.signal(signal.SIGHUP)
    said = until(server.announced, "it is up")
    server.url, server.token = said["url"], said["token"]
    until(lambda: "was reloaded: nothing changed" in server.log(), "it has read the file again")
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    server.no_traceback()
