"""What a start took is said of the next one, also after a restart, to those who wait and to operators."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from integration.kit import Client, Server, StandIn, client_of, comments, eventually


async def held_stream(server: Server, client: Client, model: StandIn) -> tuple[str, dict[str, Any]]:
    """A start that takes a second: what the waiting client read, and what /running said in between."""
    model.gate.unlink(missing_ok=True)
    stream = asyncio.create_task(client.answer(model.name, stream=True))
    await eventually(lambda: server.held(model.name) == 1)
    await asyncio.sleep(1.0)
    row = server.running(model.name)[0]
    model.open()
    _, _, text = await stream
    server.post(f"/models/{model.name}/stop")
    await eventually(lambda: server.running(model.name) == [])
    return text, row


async def test_those_who_wait_are_told_how_long(tmp_path: Path) -> None:
    model = StandIn(tmp_path, "m", gated=True)
    config = {"models": {"m": model.model}}
    with Server(tmp_path / "server", config) as server:
        async with client_of(server) as client:
            text, row = await held_stream(server, client, model)
            assert "to go" not in text and row["eta_s"] is None, "nobody has seen it start yet"
            took = server.get("/traces")["start_wait_s"]
            text, row = await held_stream(server, client, model)
            said = re.search(
                r"m is starting: load, (\d\.\d) s so far, about (\d) s to go$", comments(text)[0]
            )
            assert said is not None, text
            assert float(said[1]) + int(said[2]) == pytest.approx(took, abs=1.0)
            assert 0.0 <= row["eta_s"] < 5.0
    assert (server.state / "start_times.json").exists()
    with Server(tmp_path / "server", config) as server:
        async with client_of(server) as client:
            text, _ = await held_stream(server, client, model)
            assert "to go" in comments(text)[0]
