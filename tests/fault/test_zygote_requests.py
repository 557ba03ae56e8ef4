"""A real server whose zygotes are killed, or cannot fork, while requests wait: they are answered, by a plain start
where need be, whose trace says why; and nothing is left of what was forked."""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from fault.guardian_kit import alive, linux_only, marked
from fault.server_kit import Server, until
from fault.zygote_kit import without_spare

pytestmark = [
    linux_only,
    pytest.mark.skipif(
        shutil.which("cc") is None and os.environ.get("CI") != "true", reason="no C compiler (cc)"
    ),
]
HOOK = Path(__file__).with_name("fork_hook.c")
MODELS = [f"m{n}" for n in range(20)]


class Zygotes(Server):
    """With twenty models of one zygote, which go back to zero as soon as they have answered."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        library = folder / "fork_hook.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, HOOK, "-ldl"], check=True)
        self.hook = folder / "hook"
        model = {
            "source": "demo://50m",
            "ttl": 0,
            "memory": "128MiB",
            "techniques": ["zygote"],
            "engine_args": {"n_ctx": 256, "n_threads": 1},
            "env": {"LD_PRELOAD": str(library), "FORK_HOOK": str(self.hook)},
        }
        super().__init__(folder, models=dict.fromkeys(MODELS, model))

    def zygote(self) -> int:
        """Its pid, once it can fork; the start that one is made after is made where there is none."""
        if not self.zygotes():
            self.answered("m0")
        (one,) = until(lambda: [z for z in self.zygotes() if z["ready"]], "a zygote is up")
        return one["pid"]

    def zygote_without_spare(self) -> int:
        pid = self.zygote()
        asyncio.run(without_spare(pid))
        return pid

    def zygotes(self) -> list[dict[str, Any]]:
        return self.ask("/running").json["primed"]["zygotes"]

    def answered(self, model: str) -> dict[str, Any]:
        """The trace of a request for it, which was answered."""
        answer = self.chat(model, max_tokens=2)
        assert answer.status == 200, answer
        number = answer.headers["x-pilotlight-request-id"]
        return until(
            lambda: (told := self.ask(f"/traces/{number}")).status == 200 and told, "it is told"
        ).json

    def at_rest(self) -> None:
        """Of all that was ever started there is the guardian, and where there is a zygote it, its keeper, and the one
        that it has forked ahead."""
        until(lambda: not self.ask("/running").json["replicas"], "every model is at zero")
        until(lambda: len(marked(self.folder)) == 1 + 3 * len(self.zygotes()), "nothing is left of any start")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygotes]:
    with Zygotes(tmp_path_factory.mktemp("zygotes")) as server:
        yield server


@pytest.fixture
def server(running: Zygotes) -> Iterator[Zygotes]:
    running.zygote()
    assert running.answered("m0")["techniques"] == ["zygote"], "it forks unless something happens to it"
    yield running
    running.hook.unlink(missing_ok=True)
    running.at_rest()


def test_killed_idle_the_next_request_is_answered_by_a_plain_start_that_says_so(server: Zygotes) -> None:
    os.kill(server.zygote(), signal.SIGKILL)
    trace = server.answered("m1")
    assert trace["techniques"] == [] and trace["fell_back"].startswith("zygote: ")


@pytest.mark.parametrize(
    ("who", "moment"),
    [("pl-zygote", "before"), ("pl-zygote", "after"), ("pl-keeper", "before"), ("pl-keeper", "after")],
)
def test_killed_between_the_order_and_the_hand_over(server: Zygotes, who: str, moment: str) -> None:
    """The zygote forks a keeper, and that forks the engine."""
    zygote = server.zygote_without_spare()
    server.hook.write_text(f"{who} {moment} 1")
    trace = server.answered("m1")
    assert not server.hook.exists(), "it was killed"
    said = (trace["techniques"], trace["fell_back"])
    outcomes = [([], "zygote: it ended when it was to fork")]
    if (who, moment) == (
        "pl-zygote",
        "after",
    ):  # a keeper that has got its name goes on, and so does its fork
        outcomes.append((["zygote"], ""))
    assert said in outcomes
    assert alive(zygote) == (who == "pl-keeper")


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_with_twenty_forks_in_flight(server: Zygotes, moment: str) -> None:
    zygote = server.zygote_without_spare()
    server.hook.write_text(f"pl-zygote {moment} 10")
    with ThreadPoolExecutor(len(MODELS)) as pool:
        traces = list(pool.map(server.answered, MODELS))
    assert not alive(zygote)
    fell_back = [trace for trace in traces if trace["fell_back"]]
    assert all(bool(trace["techniques"]) != bool(trace["fell_back"]) for trace in traces)
    assert len(fell_back) >= (11 if moment == "before" else 10)


@pytest.mark.parametrize("who", ["pl-zygote", "pl-keeper"])
@pytest.mark.parametrize(
    ("lacks", "says"),
    [("memory", "Cannot allocate memory"), ("pids", "Resource temporarily unavailable")],
)
def test_no_memory_or_process_for_a_fork(server: Zygotes, who: str, lacks: str, says: str) -> None:
    zygote = server.zygote_without_spare()
    server.hook.write_text(f"{who} {lacks} 1")
    for _ in range(2):
        trace = server.answered("m1")
        assert trace["techniques"] == []
        assert trace["fell_back"].startswith("zygote: it could not fork: ")
        assert says in trace["fell_back"]
    assert alive(zygote), "it is no fault of its own"
    os.kill(zygote, signal.SIGKILL)  # it is to have memory again
