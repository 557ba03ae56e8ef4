"""What a start took is said of the next one, also after a restart, to those who wait and to operators."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from integration.kit import Client, Server, StandIn, client_of, comments, eventually


async def held_stream(server: Server, client: Client, model: StandIn) -> tuple[list[str], dict[str, Any]]:
    """A start that loads for a second: what the waiting client was told from then on, and what /running said when it
    was told so first."""
    model.gate.unlink(missing_ok=True)
    async with client.chat(model.name, stream=True) as response:
        while ": load, " not in (said := (await response.content.readuntil(b"\n\n")).decode()):
            pass
        (row,) = await asyncio.to_thread(server.running, model.name)
        await asyncio.sleep(1.0)
        model.open()
        rest = await response.text()
    assert "[DONE]" in rest
    server.post(f"/models/{model.name}/stop")
    await eventually(lambda: server.running(model.name) == [])
    return [said.strip(), *comments(rest)], row


def load(trace: dict[str, Any]) -> dict[str, float]:
    return next(span for span in trace["spans"] if span["stage"] == "load")


async def test_those_who_wait_are_told_how_long(tmp_path: Path) -> None:
    model = StandIn(tmp_path, "m", gated=True)
    config = {"models": {"m": model.model}}
    with Server(tmp_path / "server", config) as server:
        async with client_of(server) as client:
            told, row = await held_stream(server, client, model)
            assert "to go" not in "".join(told) and row["eta_s"] is None, "nobody has seen it start yet"
            first = server.get("/traces")
            told, row = await held_stream(server, client, model)
            said = re.search(r"m is starting: load, (\d+\.\d) s so far, about (\d+) s to go$", told[0])
            assert said is not None, told
            ends = load(server.get("/traces"))["start_s"] + load(first)["seconds"]
            assert float(said[1]) + int(said[2]) == pytest.approx(ends, abs=1.0)
            assert 0.0 <= row["eta_s"] <= first["start_wait_s"]
    assert (server.state / "start_times.json").exists()
    with Server(tmp_path / "server", config) as server:
        async with client_of(server) as client:
            told, _ = await held_stream(server, client, model)
            assert "to go" in told[0]
