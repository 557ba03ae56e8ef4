"""The table of start times on the disk."""

import asyncio
import logging
import os
from pathlib import Path

import pytest

from pilotlight.clock import VirtualClock
from pilotlight.coldstart import plans
from pilotlight.coldstart.learned import Who
from pilotlight.fleet.plan import Plan, Span
from pilotlight.fleet.records import StartRecord
from pilotlight.telemetry.start_times import WRITE_AFTER, StartTimes

PLAIN = plans.embedded()
CHAT = Who("chat", "f1", "llamacpp")


def of(record: StartRecord) -> tuple[Who, str, Plan] | None:
    return (CHAT, "local", PLAIN) if record.deployment == "chat" else None


def start(seconds: float = 2.0, deployment: str = "chat", ready: bool = True) -> StartRecord:
    spans = (Span("load", 0.0, seconds),)
    return StartRecord("chat-1", deployment, 0.0, seconds if ready else None, spans)


def table(folder: Path, clock: VirtualClock | None = None) -> StartTimes:
    times = StartTimes(folder / "start_times.json", clock or VirtualClock(), of)
    times.load()
    return times


@pytest.fixture(autouse=True)
def warnings_are_seen(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever level an earlier test has left the root logger at."""
    caplog.set_level(logging.WARNING)


async def written(times: StartTimes, clock: VirtualClock) -> None:
    clock.run_until(clock.now() + WRITE_AFTER)
    assert times._writing is not None
    await times._writing


async def test_it_survives_a_restart(tmp_path: Path) -> None:
    clock = VirtualClock()
    times = table(tmp_path, clock)
    times.told(start())
    times.told(start())
    await written(times, clock)
    again = table(tmp_path)
    assert again.learned.estimate(CHAT, "local", PLAIN) == times.learned.estimate(CHAT, "local", PLAIN)
    assert again.learned.usual(CHAT, "local") == 2.0
    assert [p.name for p in tmp_path.iterdir()] == ["start_times.json"], "nothing is left beside it"


async def test_what_is_not_written_yet_is_written_at_the_end(tmp_path: Path) -> None:
    times = table(tmp_path)
    times.told(start())
    assert not times.path.exists()
    await times.close()
    assert table(tmp_path).learned.usual(CHAT, "local") == 2.0
    await times.close()


async def test_many_starts_are_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, writes = VirtualClock(), []
    times = table(tmp_path, clock)
    monkeypatch.setattr(times, "write", writes.append)
    for _ in range(100):
        times.told(start())
    await written(times, clock)
    assert len(writes) == 1
    times.told(start())
    await written(times, clock)
    assert len(writes) == 2


async def test_nothing_is_written_where_nothing_was_learned(tmp_path: Path) -> None:
    times = table(tmp_path)
    times.told(start(ready=False))
    times.told(start(deployment="gone"))
    await times.close()
    assert not times.path.exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"rows": []}',
        '{"version": 2, "rows": []}',
        '{"version": 1, "rows": [{}]}',
        '{"version": 1}',
        "\ud800",
        '{"version": 1, "rows": [{"key": {"who": {"model": "m", "fingerprint": "", "engine": ""}, "host": "", '
        '"techniques": []}, "n": 1, "seen": 0, "whole": {"mean": -1, "variance": 0}, "stages": {}}]}',
    ],
)
async def test_a_file_that_cannot_be_used_is_put_aside(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "start_times.json"
    path.write_bytes(text.encode(errors="surrogatepass"))
    with caplog.at_level(logging.WARNING):
        times = table(tmp_path)
    assert len(caplog.records) == 1 and "learned anew" in caplog.text
    assert len(times.learned) == 0
    assert (tmp_path / "start_times.json.unusable").read_bytes() == text.encode(errors="surrogatepass")
    times.told(start())
    await times.close()
    caplog.clear()
    assert table(tmp_path).learned.usual(CHAT, "local") == 2.0
    assert not caplog.records


@pytest.mark.parametrize("kind", ["pipe", "folder"])
async def test_what_is_no_file_is_put_aside(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "start_times.json"
    os.mkfifo(path) if kind == "pipe" else path.mkdir()
    times = table(tmp_path)
    assert len(times.learned) == 0 and "it is no regular file" in caplog.text
    assert not path.exists() and (tmp_path / "start_times.json.unusable").exists()
    await times.close()


async def test_a_folder_that_cannot_be_written_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = VirtualClock()
    times = table(tmp_path / "gone", clock)
    for _ in range(2):
        times.told(start())
        await written(times, clock)
    assert caplog.text.count("cannot be written") == 1
    assert times.learned.usual(CHAT, "local") == 2.0, "it is known all the same"
    (tmp_path / "gone").mkdir()
    times.told(start())
    await written(times, clock)
    assert times.path.exists()


async def test_a_write_under_way_is_not_overtaken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = VirtualClock()
    times = table(tmp_path, clock)
    slow = asyncio.get_running_loop().create_future()
    times.told(start())
    times._writing = asyncio.ensure_future(slow)  # type: ignore[assignment]
    clock.run_until(WRITE_AFTER)
    assert not times.path.exists()
    slow.set_result(None)
    await asyncio.sleep(0)
    await written(times, clock)
    assert times.path.exists()
