"""Has an engine brought up, dumped and ended by a process of its own: pilotlight_guest/snapshot_maker.py."""

import asyncio
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

import pilotlight
from pilotlight.clock import Clock
from pilotlight.errors import EngineError
from pilotlight.ports import Command, Launch, Process, Substrate
from pilotlight.worker import criu, cuda_checkpoint
from pilotlight.worker.pool import Pool
from pilotlight.worker.settings import Settings
from pilotlight.worker.snapshot_stamp import kept_env
from pilotlight.worker.waiting import within

GUEST = Path(pilotlight.__file__).parent.parent / "pilotlight_guest"


class Wanted(msgspec.Struct, frozen=True):
    """An engine as it would be dumped or restored."""

    deployment: str
    small: bool
    fingerprint: str
    """Of the model that it was started as."""
    launch: Launch
    order: Mapping[str, Any]
    """What it is told once it has its runtime: weights, name, args."""
    memory: int
    """Bytes of host memory that it takes, with what it has on devices, which passes through there."""
    within: float
    """Seconds that it may take to come up."""
    devices: tuple[int, ...] = ()


class Made(msgspec.Struct, frozen=True):
    """What the maker answers."""

    socket: int = 0
    pipe: int = 0
    port_at: int = 0
    failed: str = ""


async def make(
    substrate: Substrate,
    clock: Clock,
    settings: Settings,
    pool: Pool,
    name: str,
    wanted: Wanted,
    folder: Path,
) -> Made:
    """Images in `folder`, which is there and empty. Raises EngineError, OSError, TimeoutError, msgspec.MsgspecError."""
    process = await substrate.spawn(_maker(settings, name))
    assert process.channel is not None
    channel = socket.socket(fileno=process.channel)
    pool.counts(process)
    try:
        answer = await within(clock, wanted.within, _answer(settings, channel, process, wanted, folder))
    finally:
        await asyncio.shield(process.stop(0.0))
        channel.close()
        pool.counts_no_more(process)
    if answer.failed:
        raise EngineError(answer.failed)
    return answer


async def _answer(
    settings: Settings, channel: socket.socket, process: Process, wanted: Wanted, folder: Path
) -> Made:
    launch, loop = wanted.launch, asyncio.get_running_loop()
    order = {
        "argv": launch.argv,
        "env": kept_env(settings.env, launch),
        "cwd": launch.cwd,
        "order": wanted.order,
        "snapshot": {"snapshot": True, **cuda_checkpoint.told(wanted.devices)},
        "criu": criu.find(),
        "folder": str(folder),
    }
    await loop.sock_sendall(channel, msgspec.json.encode(order) + b"\n")
    line = b""
    while not line.endswith(b"\n"):
        part = await loop.sock_recv(channel, 65536)
        if not part:
            raise EngineError(f"what was to take it {await process.ended()}")
        line += part
    return msgspec.json.decode(line, type=Made)


def _maker(settings: Settings, name: str) -> Command:
    return Command(
        replica=f"snapshot-{name}",
        argv=(sys.executable, "-I", "-S", str(GUEST / "snapshot_maker.py")),
        env=settings.env,
        cwd="/",
        log=settings.log_dir / ".snapshots" / f"{name}.log",
        log_max_size=settings.log_max_size,
        channel=True,
    )
