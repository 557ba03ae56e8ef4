"""llama.cpp loads while its weights arrive: the same answers, the overlap, and what happens when the download fails."""

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from integration.test_llamacpp_replica import House, cache, llama  # noqa: F401  # pyright: ignore[reportUnusedImport]  fixtures
from pilotlight.engines.registry import ENGINES
from pilotlight.fleet.actions import Start
from pilotlight.fleet.events import Died, Progressed, Ready, Slept, StartFailed
from pilotlight.fleet.plan import Stage
from pilotlight.spec.model import Model
from pilotlight.weights.cache import WeightCache
from pilotlight.worker.arriving import Arriving
from unit.weights.servers import FileServer

GREEDY = {"prompt": "Once upon a time there was", "max_tokens": 16, "temperature": 0.0, "n_probs": 3}
HEAD = 1 << 20
"""Bytes with which the header of the 50M is there."""


class Tap(FileServer):
    """Serves one model, and holds what comes after `upto` bytes back until `open` is set."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.files["/m.gguf"] = data
        self.upto = 4 * HEAD
        self.open = threading.Event()

    def _body(self, handler: Any, data: bytes) -> None:
        if not self.open.is_set():
            handler.wfile.write(data[: self.upto])
            self.open.wait(30)
            data = data[self.upto :]
        super()._body(handler, data)


class Streams(House):
    """A worker whose cache is empty."""

    def begin(self, model: Model, techniques: tuple[str, ...] = ("stream",)) -> str:
        self._count += 1
        replica = f"m/{self._count}"
        plan = ENGINES[model.engine].plan(model)
        self.worker.start(Start(replica, "org/m:1", "local", (), plan, "a test", techniques), model)
        return replica

    async def loaded(self, *replicas: str) -> None:
        """They have loaded, and the rest has not come."""
        async with asyncio.timeout(30):
            while not all("load" in self.stages(r) for r in replicas):
                await asyncio.sleep(0.01)
        assert all(self.worker.report(r).ready_at is None for r in replicas)

    async def up(self) -> None:
        event = await self.until(Ready, StartFailed)
        assert isinstance(event, Ready), event

    async def failed(self) -> str:
        event = await self.until(Ready, StartFailed)
        assert isinstance(event, StartFailed), event
        return event.reason

    def stages(self, replica: str) -> dict[str, float]:
        """When each ended."""
        return {span.stage: span.end for span in self.worker.report(replica).spans}

    def loads(self, replica: str) -> int:
        channel = self.worker._replicas[replica].starting.channel  # pyright: ignore[reportPrivateUsage]
        assert channel is not None
        return [span.stage for span in channel.told].count("load")

    async def text(self, replica: str) -> Any:
        return (await self.post(replica, "/v1/completions", GREEDY))["choices"]


@pytest.fixture
def tap(cache: WeightCache) -> Iterator[Tap]:  # noqa: F811
    with Tap(cache.fetch("demo://50m").read_bytes()) as server:
        yield server
        server.open.set()


@pytest.fixture
async def streams(tmp_path: Path) -> AsyncIterator[Streams]:
    house = Streams(tmp_path, WeightCache(tmp_path / "weights"))
    await house.substrate.sweep()
    yield house
    await house.worker.close(0.5)
    await house.substrate.close()


async def test_it_loads_while_the_weights_arrive_and_answers_as_a_plain_start(
    streams: Streams, tap: Tap
) -> None:
    replica = streams.begin(llama(f"{tap.url}/m.gguf"))
    await streams.loaded(replica)
    tap.open.set()
    await streams.up()
    report = streams.worker.report(replica)
    ends = streams.stages(replica)
    assert (report.techniques, report.fell_back) == (("stream",), "")
    assert ends["header"] < ends["load"] < ends["fetch"] <= ends["whole"]
    plain = streams.begin(llama(f"{tap.url}/m.gguf"), ())
    await streams.up()
    assert "header" not in streams.stages(plain)
    assert await streams.text(replica) == await streams.text(plain)
    streams.worker.sleep(replica, 1)
    assert isinstance(await streams.until(Slept, Died), Slept)
    streams.worker.wake(replica)
    await streams.up()
    assert await streams.text(replica) == await streams.text(plain)


async def test_replicas_that_start_meanwhile_load_the_same_file(streams: Streams, tap: Tap) -> None:
    first = streams.begin(llama(f"{tap.url}/m.gguf"))
    await streams.loaded(first)
    second = streams.begin(llama(f"{tap.url}/m.gguf"))
    await streams.loaded(first, second)
    tap.open.set()
    await streams.up()
    await streams.up()
    assert await streams.text(first) == await streams.text(second)
    assert len(tap.gets()) == 1


async def test_what_is_here_is_not_streamed(streams: Streams, tap: Tap) -> None:
    tap.open.set()
    streams.worker._context.fetches._weights.fetch(f"{tap.url}/m.gguf")  # pyright: ignore[reportPrivateUsage]
    replica = streams.begin(llama(f"{tap.url}/m.gguf"))
    await streams.up()
    report = streams.worker.report(replica)
    assert (report.techniques, report.fell_back, "header" in streams.stages(replica)) == ((), "", False)


async def test_tensors_that_are_rearranged_wait_for_the_whole_of_it(streams: Streams, tap: Tap) -> None:
    """As if Q8_0 were: nothing is told to it before all is here, and the trace says why."""
    replica = streams.begin(llama(f"{tap.url}/m.gguf", no_extra_bufts=False))
    starting = streams.worker._replicas[replica].starting  # pyright: ignore[reportPrivateUsage]
    while starting.launch is None:
        await asyncio.sleep(0)
    starting.launch = msgspec.structs.replace(starting.launch, streams=starting.launch.streams - {8})
    while "header" not in streams.stages(replica):
        await asyncio.sleep(0.01)
    assert "load" not in streams.stages(replica)
    tap.open.set()
    await streams.up()
    report = streams.worker.report(replica)
    assert report.techniques == ()
    assert report.fell_back == "stream: tensors of type 8 are read while they load"


async def test_a_download_that_is_cut_goes_on_in_the_same_file(streams: Streams, tap: Tap) -> None:
    tap.cut_after = [8 * HEAD]
    replica = streams.begin(llama(f"{tap.url}/m.gguf"))
    await streams.loaded(replica)
    tap.open.set()
    await streams.up()
    assert len(tap.gets()) == 2 and "range" in tap.gets()[1]
    assert streams.stages(replica)["load"] < streams.stages(replica)["fetch"]
    plain = streams.begin(llama(f"{tap.url}/m.gguf"), ())
    await streams.up()
    assert await streams.text(replica) == await streams.text(plain)


async def test_another_file_than_was_begun_is_loaded_anew(streams: Streams, tap: Tap) -> None:
    """The server's file changes while the engine has the first one's beginning mapped."""
    tap.cut_after = [8 * HEAD]
    replica = streams.begin(llama(f"{tap.url}/m.gguf"))
    await streams.loaded(replica)
    other = bytearray(tap.files["/m.gguf"])
    other[-40:] = bytes(40)
    tap.files["/m.gguf"] = bytes(other)
    tap.open.set()
    await streams.up()
    plain = streams.begin(llama(f"{tap.url}/m.gguf"), ())
    await streams.up()
    assert streams.worker._context.fetches._weights.local(f"{tap.url}/m.gguf").read_bytes() == bytes(other)  # type: ignore[union-attr]
    assert await streams.text(replica) == await streams.text(plain)
    assert streams.loads(replica) == 2


async def test_damaged_bytes_end_the_engine_that_has_them_mapped(streams: Streams, tap: Tap) -> None:
    source = f"{tap.url}/m.gguf#sha256={'0' * 64}"
    replica = streams.begin(llama(source))
    await streams.loaded(replica)
    pid = streams.pid(replica)
    tap.open.set()
    assert "was expected" in await streams.failed()
    assert not _alive(pid)
    assert streams.worker._context.fetches._weights.local(source) is None  # pyright: ignore[reportPrivateUsage]
    assert list((streams.worker._context.settings.config_dir / "weights").rglob("*.part")) == []  # pyright: ignore[reportPrivateUsage]


async def test_an_engine_killed_meanwhile_does_not_end_the_download(streams: Streams, tap: Tap) -> None:
    replica = streams.begin(llama(f"{tap.url}/m.gguf"))
    await streams.loaded(replica)
    os.kill(streams.pid(replica), signal.SIGKILL)
    assert "killed by signal 9" in await streams.failed()
    again = streams.begin(llama(f"{tap.url}/m.gguf"))
    await streams.loaded(again)
    tap.open.set()
    await streams.up()
    assert len(tap.gets()) == 1
    await streams.text(again)


async def test_where_the_half_file_cannot_be_opened_the_whole_one_is(
    streams: Streams, tap: Tap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Arriving, "path", tmp_path / "none")
    replica = streams.begin(llama(f"{tap.url}/m.gguf"))
    await streams.loaded(replica)
    tap.open.set()
    await streams.up()
    assert streams.loads(replica) == 2 and await streams.text(replica)


async def test_a_half_file_that_somebody_cuts_off(streams: Streams, tap: Tap) -> None:
    replica = streams.begin(llama(f"{tap.url}/m.gguf"))
    await streams.loaded(replica)
    [part] = (streams.worker._context.settings.config_dir / "weights").rglob("*.part")  # pyright: ignore[reportPrivateUsage]
    os.truncate(part, HEAD)
    tap.open.set()
    await streams.up()
    plain = streams.begin(llama(f"{tap.url}/m.gguf"), ())
    await streams.up()
    assert await streams.text(replica) == await streams.text(plain)
    assert streams.loads(replica) == 2


async def test_a_header_that_never_ends_is_loaded_when_it_is_whole(streams: Streams, tap: Tap) -> None:
    """Its first key says that it is longer than the file."""
    data = bytearray(tap.files["/m.gguf"])
    data[24:32] = (1 << 40).to_bytes(8, "little")
    tap.files["/m.gguf"] = bytes(data)
    replica = streams.begin(llama(f"{tap.url}/m.gguf"))
    await streams.until(Progressed, stage=Stage.IMPORT)
    tap.open.set()
    assert "not a usable GGUF file" in await streams.failed()
    assert "load" not in streams.stages(replica)


async def test_its_channel_closes_while_it_waits_for_the_rest(streams: Streams, tap: Tap) -> None:
    replica = streams.begin(llama(f"{tap.url}/m.gguf"))
    await streams.loaded(replica)
    channel = streams.worker._replicas[replica].starting.channel  # pyright: ignore[reportPrivateUsage]
    assert channel is not None
    channel._socket.shutdown(2)  # pyright: ignore[reportPrivateUsage]
    assert "exited with status 0" in await streams.failed()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
