"""The real engine as a warmer: it stays small while nobody asks, and a full one takes over in a burst."""

import threading
from pathlib import Path
from typing import Any

import psutil

from fault.server_kit import Answer, Server, until

GREEDY = {"prompt": "Once upon a time there was", "max_tokens": 24, "temperature": 0.0}
LLAMA: dict[str, Any] = {
    "source": "demo://50m",
    "ttl": "500ms",
    "target_requests": 2,
    "engine_args": {"n_ctx": 4096, "n_threads": 1},
    "warmer": {"engine_args": {"n_ctx": 256}, "max_requests": 1},
}


def complete(server: Server, **more: Any) -> Answer:
    return server.ask("/v1/completions", {"model": "m", **GREEDY, **more})


def text(answer: Answer) -> str:
    return answer.json["choices"][0]["text"]


def only(server: Server, small: bool) -> dict[str, Any]:
    """The one replica, once it is the only one and ready."""

    def found() -> bool:
        up = server.running()
        return len(up) == 1 and up[0]["state"] == "ready" and up[0]["warmer"] is small

    until(found, "only the warmer is up" if small else "only a full one is up")
    return server.running()[0]


def private(row: dict[str, Any]) -> int:
    """Bytes that are its process's alone."""
    return psutil.Process(row["pid"]).memory_full_info().uss


def test_a_burst_finds_the_small_one_up_and_ends_on_a_full_one(tmp_path: Path) -> None:
    with Server(tmp_path, models={"m": LLAMA}) as server:
        first = complete(server, keep_alive=-1)
        assert first.headers["x-pilotlight-start"] == "cold"
        (full,) = server.running()
        assert not full["warmer"]
        took = private(full)
        assert complete(server).headers["x-pilotlight-start"] == "warm", "and from now on its ttl counts"
        small = only(server, small=True)
        assert private(small) < 0.75 * took, (private(small), took)
        assert small["idle_left_s"] is None

        answers: list[Answer] = []
        clients = [threading.Thread(target=lambda: answers.append(complete(server))) for _ in range(4)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        assert [a.status for a in answers] == [200] * 4
        assert {text(a) for a in answers} == {text(first)}, "whoever answered"
        assert "warm" in [a.headers["x-pilotlight-start"] for a in answers]

        successor = only(server, small=False)
        assert successor["replica"] not in (full["replica"], small["replica"])
        again = only(server, small=True)
        assert again["replica"] != small["replica"], "and when it is quiet, a small one stays once more"


def test_a_request_that_only_a_full_one_can_take(tmp_path: Path) -> None:
    """What does not fit into the small one's context is its engine's to refuse."""
    with Server(tmp_path, models={"m": {**LLAMA, "ttl": "200ms"}}) as server:
        complete(server)
        only(server, small=True)
        long = complete(server, prompt="word " * 600, max_tokens=1)
        assert long.status == 400
        until(  # it comes with each of them, and goes soon after
            lambda: complete(server, prompt="word " * 600, max_tokens=1).status == 200, "a full one takes it"
        )
