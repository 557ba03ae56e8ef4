"""What the tests of zygotes share: a module to preload whose forks do as their environment says."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from fault.guardian_kit import EVASIVE, FAMILY, SERVER, command, until_async
from pilotlight.ports import Command, Preload
from pilotlight.substrate.local import LocalSubstrate
from pilotlight_guest import guardian_proc as proc

MODULE = """
import json, os, random, signal, subprocess, sys, threading, time
IMPORTED = os.environ.get("SEEN_BY_IMPORT")


def preload():
    exec(os.environ.get("PRELOAD", ""), globals())

def serve():
    exec(os.environ.get("DO", "stay()"), globals())

def stay():
    time.sleep(1000)

def tell(**words):
    print(json.dumps(words), flush=True)
"""
FAMILY_OF_A_FORK = f"""
code = {FAMILY!r}
if os.fork() == 0:
    os.execv({sys.executable!r}, [{sys.executable!r}, "-I", "-S", "-c", code, os.environ["FOLDER"], *{EVASIVE!r}])
stay()
"""


def preload(folder: Path, **changes: Any) -> Preload:
    """`code` is what its preload() executes besides."""
    (folder / "toy.py").write_text(MODULE)
    code = changes.pop("code", "")
    fields = {
        "engine": "toy", "python": (sys.executable, "-I", "-S"), "path": (str(folder),), "module": "toy",
        "env": (("PRELOAD", code), ("SEEN_BY_IMPORT", "zygote")),
    }  # fmt: skip
    return Preload(**{**fields, **changes})


def fork(folder: Path, preloaded: Preload, do: str = "stay()", **changes: Any) -> Command:
    env = {"PATH": os.environ["PATH"], "DO": do, "FOLDER": str(folder), **changes.pop("env", {})}
    return command(folder, "plain-start", env=env, preload=preloaded, **changes)


async def ready(substrate: LocalSubstrate, folder: Path, preloaded: Preload) -> int:
    """Its pid, once it can fork."""
    substrate.warm_zygote(preloaded, folder / "zygote.log", {"PATH": os.environ["PATH"]})
    await until_async(lambda: substrate.zygote_ready(preloaded), "the zygote is up")
    return next(z.pid for z in substrate.zygotes() if z.ready)


async def without_spare(zygote: int) -> None:
    """For some seconds from here on its keepers are forked when they are ordered."""
    await until_async(lambda: spares(zygote), "a keeper is forked ahead")
    for pid in spares(zygote):
        os.kill(pid, signal.SIGKILL)
    await until_async(lambda: not spares(zygote), "it is gone")


def forks(zygote: int) -> list[int]:
    """Keepers of what it has forked; a spare that is to take up an order counts as one that waits still."""
    waiting = spares(zygote)
    return [pid for pid in proc.children(zygote) if pid not in waiting]


def spares(zygote: int) -> list[int]:
    return [pid for pid in proc.children(zygote) if name(pid) == proc.SPARE]


def name(pid: int) -> str:
    """Empty of one that is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().rstrip("\n")
    except OSError:
        return ""


async def output(substrate: LocalSubstrate, order: Command) -> str:
    """Of a fork that ends by itself."""
    process = await substrate.spawn(order)
    exit = await asyncio.wait_for(process.wait(), 10)
    assert exit.code == 0, (exit, order.log.read_text(), (order.cwd, order.log))
    return order.log.read_text()


SERVER_WITH_A_ZYGOTE = SERVER.replace(
    "    starts =",
    """    commands = pickle.load(sys.stdin.buffer)
    first = commands[0].preload
    substrate.warm_zygote(first, Path(sys.argv[1]) / "zygote.log", {})
    while not substrate.zygote_ready(first):
        await asyncio.sleep(0.001)
    starts =""",
).replace("for c in pickle.load(sys.stdin.buffer)]", "for c in commands]")
