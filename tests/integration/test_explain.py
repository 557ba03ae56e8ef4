"""`pilotlight explain` and its route, on a real server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fault.guardian_kit import linux_only
from fault.server_kit import Server, Stub
from integration.test_cli import Shell

pytestmark = linux_only


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("explain")
    every = [{"cron": "* * * * *", "for": "1m"}]
    models = (
        Stub(folder, "plain", ttl="1h", aliases=["short"]),
        Stub(folder, "never", ttl="auto", base="auto", predictive=True, scale_up_delay="5s"),
        Stub(folder, "planned", schedule=every),
        Stub(folder, "learned", ttl="auto"),
    )
    with Server(folder, *models) as running:
        yield running


@pytest.fixture
def sh(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Shell:
    return Shell(tmp_path, server.runtime, monkeypatch, capsys)


def test_a_model_that_has_served(server: Server, sh: Shell):
    assert server.chat("plain").status == 200
    answer = sh("explain", "plain", "--json").json
    assert answer["model"] == "plain" and answer["replicas"] == {"ready": 1}
    assert answer["keep_alive"] == [{"replica": 1, "idle_s": 3600.0, "because": "declared as ttl"}]
    whats = [(d["what"], d["because"]) for d in answer["decisions"]]
    assert whats[0] == ("plain-1 is starting", "1 held, no replica")
    assert whats[1][0] == "plain-1 is ready" and whats[1][1].startswith("up after")
    said = sh("explain", "short")
    assert said.code == 0
    assert "plain: wants 0 of 0 to 1 replicas, has 1 ready" in said.out
    assert "plain-1 is starting" in said.out and "no policy asks for a replica" in said.out
    assert "plain-1 is starting" not in sh("explain", "plain", "--last", "1").out


def test_how_long_a_learned_keep_alive_goes_on_is_shown(server: Server, sh: Shell):
    assert sh("warm", "learned", "--wait").code == 0
    stays = sh("explain", "learned", "--json").json["keep_alive"][0]["idle_s"]
    (row,) = server.running("learned")
    assert stays - 60 < row["idle_left_s"] <= stays == 300


def test_a_model_that_has_never_run(server: Server, sh: Shell):
    answer = sh("explain", "never", "--json").json
    assert answer["decisions"] == [] and answer["asks"] == [] and answer["replicas"] == {}
    assert answer["delays"] == {"granted": 0, "scale_up_delay_s": 5.0, "scale_down_delay_s": 0.0}
    assert "nothing is known of its traffic yet" in answer["keep_alive"][0]["because"]
    said = sh("explain", "never")
    assert "nothing has been decided yet" in said.out and "has none" in said.out


def test_a_window_of_the_wall_clock_is_in_force(server: Server, sh: Shell):
    answer = sh("explain", "planned", "--json").json
    (asked,) = answer["asks"]
    assert asked["policy"] == "schedule" and 0 <= asked["for_s"] <= 60
    assert answer["decisions"][0]["because"].startswith("schedule asks for 1: a window")


def test_one_that_is_unknown(server: Server, sh: Shell):
    said = sh("explain", "nobody")
    assert said.code == 1
    assert "nobody" in said.err and len(said.err.splitlines()) == 1
