"""A replica as a line, and what is prepared for starts."""

from typing import Any

import pytest

from pilotlight.cli.ps_verb import _prepared, _row

READY: dict[str, Any] = {
    "model": "m", "replica": "m-1", "state": "ready", "progress": "ready", "eta_s": None, "age_s": 1.0,
    "memory_bytes": 2**20, "devices": [], "in_flight": 0, "idle_left_s": None,
}  # fmt: skip


@pytest.mark.parametrize(
    ("more", "state"),
    [
        ({}, "ready"),
        ({"state": "starting", "progress": "load"}, "starting (load)"),
        ({"state": "starting", "progress": "load", "eta_s": 11.7}, "starting (load, about 12 s to go)"),
        ({"state": "starting", "progress": "load", "eta_s": 0.0}, "starting (load, about 1 s to go)"),
        ({"state": "waking", "progress": "wake", "eta_s": 2.0}, "waking (wake, about 2 s to go)"),
        ({"state": "stopping"}, "stopping"),
        ({"warmer": True}, "ready, warmer"),
        ({"warmer": False}, "ready"),
    ],
)
def test_what_comes_up_says_what_it_is_at_and_how_long_it_will_be(more: dict[str, Any], state: str) -> None:
    assert _row({**READY, **more})[2] == state


def test_a_server_that_tells_no_time_is_fine() -> None:
    row = {k: v for k, v in READY.items() if k != "eta_s"}
    assert _row({**row, "state": "starting", "progress": "load"})[2] == "starting (load)"


def test_what_is_prepared_is_told_by_technique() -> None:
    zygotes = [{"engine": "vllm", "pid": n, "ready": True} for n in (1, 2)]
    coming = {"engine": "llamacpp", "pid": 3, "ready": False}
    primed = {"zygotes": [*zygotes, coming], "warm_pool": {"vllm": 2}, "snapshots": ["chat", "code"]}
    assert _prepared(primed) == "zygote (vllm); warm_pool (2 of vllm); snapshot (chat, code)"
    assert _prepared({"zygotes": [coming], "warm_pool": {}, "snapshots": []}) == ""
