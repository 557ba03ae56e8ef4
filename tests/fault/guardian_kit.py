"""What the tests of the guardian share: servers to be killed, families of evasive processes, waiting."""

import asyncio
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pilotlight.ports import Command
from pilotlight.substrate.local import LocalSubstrate, strays
from pilotlight.substrate.local.process import LocalProcess
from pilotlight_guest import guardian_proc as proc

linux_only = pytest.mark.skipif(not proc.LINUX, reason="subreapers and /proc are Linux")

SERVER = """
import asyncio, pickle, sys
from pathlib import Path
from pilotlight.substrate.local import LocalSubstrate

async def main():
    substrate = LocalSubstrate(Path(sys.argv[1]))
    starts = [asyncio.create_task(substrate.spawn(c)) for c in pickle.load(sys.stdin.buffer)]
    print("starting", flush=True)
    for start in starts:
        print((await start).pid, flush=True)
    print("up", flush=True)
    await asyncio.sleep(1000)

asyncio.run(main())
"""

FAMILY = """
# A command with descendants of every evasive kind; each writes its pid to a file of its name.
import os, signal, sys, time
folder, names = sys.argv[1], sys.argv[2:]

def stay(name):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if "closed" in name:
        os.closerange(0, 256)
    if "bare" in name:
        say(name)
        os.execve("/bin/sleep", ["sleep", "1000"], {})
    say(name)
    while True:
        time.sleep(1000)

def say(name):
    path = os.path.join(folder, name)
    with open(path + ".new", "w") as file:
        file.write(str(os.getpid()))
    os.rename(path + ".new", path)

for name in names:
    if os.fork() == 0:
        if "setsid" in name:
            os.setsid()
        if "twice" in name and os.fork():
            os._exit(0)
        stay(name)
stay("main")
"""
EVASIVE = ("child", "setsid", "setsid-twice", "setsid-twice-closed", "setsid-twice-bare")
BEYOND_MARKS = "setsid-twice-closed-bare"


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path) -> Iterator[None]:
    yield
    until(lambda: not marked(tmp_path), "every process of this test is gone")


def until(condition: Callable[[], Any], what: str, limit: float = 10.0) -> None:
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, f"not within {limit} s: {what}"
        time.sleep(0.005)


async def until_async(condition: Callable[[], Any], what: str, limit: float = 10.0) -> None:
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, f"not within {limit} s: {what}"
        await asyncio.sleep(0.005)


def marked(folder: Path, *, commands: bool = True) -> list[int]:
    """Processes owned by any state folder of this test; `commands=False`: guardians and keepers alone."""
    folders = {strays.own_mark(path).folder for path in (folder / "state", folder / "other")}
    found = strays._marked(lambda mark: mark.folder in folders)
    return [pid for pid, mark in found.items() if commands or mark.number is None]


def alive(pid: int) -> bool:
    found = proc.stat(pid)
    return found is not None and found.alive


def command(folder: Path, *argv: str, **changes: Any) -> Command:
    env = {"PATH": os.environ["PATH"], "FOLDER": str(folder)}
    fields = {"env": env, "cwd": str(folder), "log": folder / "engine.log", "log_max_size": 100_000}
    return Command(replica="chat-1", argv=argv, **{**fields, **changes})


def family(folder: Path, *names: str, **changes: Any) -> Command:
    return command(folder, sys.executable, "-I", "-S", "-c", FAMILY, str(folder), *names, **changes)


def members(folder: Path, *names: str) -> list[int]:
    """Pids of a family, once all of it is there."""
    paths = [folder / name for name in ("main", *names)]
    until(lambda: all(path.exists() for path in paths), "the family is complete")
    return [int(path.read_text()) for path in paths]


class Server:
    """A server in a process of its own, to be killed."""

    def __init__(self, state: Path, *commands: Command, wait: bool = True) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(state)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self.process.stdin is not None
        with self.process.stdin as orders:
            pickle.dump(commands, orders)
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line == (b"up\n" if wait else b"starting\n"):
                break

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
async def local(tmp_path: Path) -> Any:
    substrate = LocalSubstrate(tmp_path / "state")
    yield substrate
    await substrate.close()


def keeper_of(process: LocalProcess) -> int:
    found = proc.stat(process.pid)
    assert found is not None
    return found.parent
