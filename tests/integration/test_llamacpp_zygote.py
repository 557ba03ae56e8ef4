"""llama.cpp forked from a zygote: the same engine as one that was started plainly."""

import asyncio
import json
import os
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pilotlight.engines.registry import ENGINES
from pilotlight.ports import Command, WeightsInfo
from pilotlight.spec.model import Model
from pilotlight.substrate.local import LocalSubstrate
from pilotlight.weights.cache import WeightCache
from pilotlight.worker.channel import Channel
from pilotlight_guest import guardian_proc as proc

pytestmark = pytest.mark.skipif(not proc.LINUX, reason="zygotes are for Linux")
MODEL = Model(source="demo://50m", engine="llamacpp")
ENGINE = ENGINES["llamacpp"]


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return WeightCache(tmp_path_factory.mktemp("weights")).fetch("demo://50m")


@pytest.fixture
async def substrate(tmp_path: Path) -> AsyncIterator[LocalSubstrate]:
    local = LocalSubstrate(tmp_path / "state")
    preload = ENGINE.launch(MODEL, 0, (), tmp_path).preload
    assert preload is not None
    local.warm_zygote(preload, tmp_path / "zygote.log", dict(os.environ))
    async with asyncio.timeout(30):
        while not local.zygote_ready(preload):
            await asyncio.sleep(0.01)
    yield local
    await local.close()


async def start(substrate: LocalSubstrate, folder: Path, weights: Path, forked: bool, **order: Any) -> Any:
    """The process, what it told and its port."""
    launch = ENGINE.launch(MODEL, 0, (), folder)
    command = Command(
        replica=f"m/{forked}",
        argv=launch.argv,
        env={**os.environ, **launch.env},
        cwd=str(folder),
        log=folder / f"{forked}.log",
        log_max_size=100_000,
        channel=True,
        preload=launch.preload if forked else None,
    )
    process = await substrate.spawn(command)
    assert process.channel is not None
    channel = Channel(process.channel)
    args = ENGINE.settings(MODEL, WeightsInfo(weights.stat().st_size, 2048))
    await channel.send({"weights": str(weights), "name": "m", "port": 0, "args": args, **order})
    async with asyncio.timeout(30):
        assert await channel.begun() > 0
        return process, channel, await channel.port()


def complete(port: int) -> str:
    body = {"prompt": "Once upon a time", "max_tokens": 24, "temperature": 0}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)["choices"][0]["text"]


async def test_greedy_output_is_the_same(tmp_path: Path, substrate: LocalSubstrate, weights: Path) -> None:
    texts = []
    for forked in (False, True, True):
        process, channel, port = await start(substrate, tmp_path, weights, forked)
        assert [span.stage for span in channel.told] == (["load"] if forked else ["import", "load"])
        texts.append(await asyncio.to_thread(complete, port))
        await channel.close()
        assert (await process.wait()).code == 0, "a closed channel is an orderly end"
    assert texts[0] and texts == [texts[0]] * 3


async def test_two_forks_serve_side_by_side(tmp_path: Path, substrate: LocalSubstrate, weights: Path) -> None:
    started = [await start(substrate, tmp_path, weights, True) for _ in range(2)]
    first, second = [await asyncio.to_thread(complete, port) for _, _, port in started]
    assert first == second
    os.kill(started[0][0].pid, 9)
    assert (await started[0][0].wait()).signal == 9
    assert await asyncio.to_thread(complete, started[1][2]) == second
    for _, channel, _ in started:
        await channel.close()


async def test_one_that_has_waited_takes_its_environment_and_folder_with_its_order(
    tmp_path: Path, substrate: LocalSubstrate, weights: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    order = {"env": {"OF_THE_MODEL": "yes"}, "cwd": str(tmp_path / "elsewhere")}
    process, channel, _ = await start(substrate, tmp_path, weights, True, **order)
    assert os.readlink(f"/proc/{process.pid}/cwd") == order["cwd"]
    await channel.close()
    await process.wait()


async def test_the_imports_touch_no_gpu_and_leave_no_thread(
    tmp_path: Path, substrate: LocalSubstrate
) -> None:
    (zygote,) = substrate.zygotes()
    said = (tmp_path / "zygote.log").read_text()
    assert "threads" not in said and "left open" not in said
    assert "libcuda" not in Path(f"/proc/{zygote.pid}/maps").read_text()
