"""What a fork of a zygote gets: all that a process of its own would have, and nothing of the zygote's or of others."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fault.guardian_kit import linux_only, local, nothing_is_left, until_async
from fault.zygote_kit import fork, output, preload, ready
from pilotlight.ports import Exit
from pilotlight.substrate.local import LocalSubstrate, strays

__all__ = ["local", "nothing_is_left"]  # fixtures
pytestmark = linux_only


async def said(
    tmp_path: Path, local: LocalSubstrate, do: str, code: str = "", **changes: Any
) -> dict[str, Any]:
    toy = preload(tmp_path, code=code)
    await ready(local, tmp_path, toy)
    return json.loads((await output(local, fork(tmp_path, toy, do, **changes))).splitlines()[-1])


async def test_its_environment_is_the_command_s_and_no_other(tmp_path: Path, local: LocalSubstrate) -> None:
    do = """
import ctypes
libc = ctypes.CDLL(None)
libc.getenv.restype = ctypes.c_char_p
tell(env=dict(os.environ), child=subprocess.check_output(["env"]).decode("utf-8", "surrogateescape"),
     imported=IMPORTED, c=repr(libc.getenv(b"SEEN_BY_IMPORT")), odd=repr(os.environb[b"ODD"]))
"""
    odd = os.fsdecode(b"\xff caf\xc3\xa9")
    found = await said(tmp_path, local, do, env={"ODD": odd, "SEEN_BY_IMPORT": "fork"})
    theirs = {"PATH", "DO", "FOLDER", "ODD", "SEEN_BY_IMPORT", "PILOTLIGHT_OWNER", "PILOTLIGHT_REPLICA"}
    assert found["env"].keys() == theirs
    assert found["env"]["PILOTLIGHT_REPLICA"] == "chat-1"
    assert "PRELOAD" not in found["child"] and "FOLDER" in found["child"]
    assert (found["imported"], found["c"]) == ("zygote", "b'fork'")
    assert found["odd"] == repr(os.fsencode(odd))


async def test_it_inherits_no_file_but_its_own(tmp_path: Path, local: LocalSubstrate) -> None:
    toy = preload(tmp_path)
    await ready(local, tmp_path, toy)
    do = """
links = {fd: "/proc/self/fd/" + fd for fd in os.listdir("/proc/self/fd")}
fds = {fd: os.readlink(link) for fd, link in links.items() if os.path.lexists(link)}  # but that of the listing
tell(fds=fds, channel=os.environ.get("PILOTLIGHT_CHANNEL"),
     of_child=subprocess.check_output(["sh", "-c", "ls /proc/self/fd | wc -l"], close_fds=False).decode())
"""
    other = await local.spawn(fork(tmp_path, toy, log=tmp_path / "other.log", channel=True))
    plain = json.loads(await output(local, fork(tmp_path, toy, do, log=tmp_path / "plain.log")))
    assert sorted(plain["fds"]) == ["0", "1", "2"]
    assert plain["fds"]["0"] == "/dev/null" and plain["fds"]["1"] == plain["fds"]["2"]
    process = await local.spawn(fork(tmp_path, toy, do, channel=True))
    await process.wait()
    found = json.loads((tmp_path / "engine.log").read_text())
    assert sorted(found["fds"]) == sorted(["0", "1", "2", found["channel"]])
    assert found["fds"][found["channel"]].startswith("socket:")
    assert int(found["of_child"]) == 5, "0, 1, 2, the channel and the folder that ls reads"
    for each in (process, other):
        assert each.channel is not None
        os.close(each.channel)


async def test_what_the_imports_left_open_stays_and_is_named(tmp_path: Path, local: LocalSubstrate) -> None:
    code = "kept = open('/etc/hostname')"
    found = await said(tmp_path, local, "tell(read=len(kept.read()))", code)
    assert found["read"] > 0
    assert "left open: /etc/hostname" in (tmp_path / "zygote.log").read_text()


async def test_signals_limits_name_and_place_are_as_of_a_new_process(
    tmp_path: Path, local: LocalSubstrate
) -> None:
    do = """
import resource, gc
plain = {number: signal.getsignal(number) for number in signal.valid_signals()}
tell(handlers={int(n): repr(h) for n, h in plain.items()}, blocked=len(signal.pthread_sigmask(0, [])),
     wakeup=signal.set_wakeup_fd(-1), status=open("/proc/self/status").read(),
     files=resource.getrlimit(resource.RLIMIT_NOFILE), cwd=os.getcwd(), argv=sys.argv, gc=gc.isenabled(),
     session=os.getsid(0) == os.getpgrp() == os.getpid(), name=open("/proc/self/comm").read(),
     main=sys.modules["__main__"].__name__, path=sys.path, threads=len(threading.enumerate()),
     frozen=gc.get_freeze_count())
"""
    where = tmp_path / "elsewhere"
    where.mkdir()
    code = """
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
"""
    found = await said(tmp_path, local, do, code, cwd=str(where))
    fresh = "import signal;print({int(n): repr(signal.getsignal(n)) for n in signal.valid_signals()})"
    # The interpreter that runs this one may ignore signals, which outlives exec; the guardian's commands do not.
    usual = eval(subprocess.check_output([sys.executable, "-I", "-S", "-c", fresh], restore_signals=True))
    handlers = {int(number): handler for number, handler in found["handlers"].items()}
    differ = {number for number in usual if handlers[number] != usual[number]}
    assert differ - {signal.SIGUSR1, *signal_noise(usual)} == set()
    assert "SIG_IGN" in handlers[signal.SIGUSR1], "as the imports left it"
    assert "default_int_handler" in handlers[signal.SIGINT] and "SIG_IGN" in handlers[signal.SIGPIPE]
    assert (found["blocked"], found["wakeup"], found["gc"], found["session"]) == (0, -1, True, True)
    assert found["frozen"] > 1000, "no collection writes to what it shares with the zygote"
    assert found["files"][0] in (found["files"][1], 1 << 20)
    assert (found["cwd"], found["argv"]) == (str(where), [str(tmp_path / "toy.py")])
    assert (found["name"], found["main"], found["threads"]) == ("toy\n", "toy", 1)
    root = str(Path(__file__).parents[2] / "src")
    assert root not in found["path"], "what the server has installed is not for the engine to find"


def signal_noise(usual: dict[int, str]) -> set[int]:
    """What whoever started these tests had ignored."""
    return {n for n, h in usual.items() if "SIG_IGN" in h and n not in (signal.SIGPIPE, signal.SIGXFSZ)}


async def test_a_sweep_knows_each_by_a_mark_of_its_own(tmp_path: Path, local: LocalSubstrate) -> None:
    toy = preload(tmp_path)
    zygote = await ready(local, tmp_path, toy)
    process = await local.spawn(fork(tmp_path, toy, "os.fork(); stay()"))
    await until_async(lambda: len(process.pids()) == 3, "it has forked too")
    own = strays.own_mark(tmp_path / "state")
    found = {pid: strays._environment_mark(pid) or "" for pid in (zygote, *process.pids())}
    marks = {pid: strays.parse_mark(text) for pid, text in found.items()}
    assert marks.pop(zygote) == marks.pop(process.keeper) == own
    assert set(marks.values()) == {own.of(process.number)}


async def test_an_interpreter_keeps_the_packages_that_it_has(tmp_path: Path, local: LocalSubstrate) -> None:
    toy = preload(tmp_path, python=(sys.executable,))
    await ready(local, tmp_path, toy)
    do = "import msgspec, pilotlight_guest.hooks; tell(last=sys.path[-1])"
    assert json.loads(await output(local, fork(tmp_path, toy, do)))["last"] == str(tmp_path)


async def test_random_numbers_differ_between_forks(tmp_path: Path, local: LocalSubstrate) -> None:
    import numpy

    code = "import random; random.seed(1); import numpy.random; numpy.random.seed(1)"
    folders = (str(tmp_path), str(Path(numpy.__file__).parents[1]))
    toy = preload(tmp_path, code=code, path=folders)
    await ready(local, tmp_path, toy)
    do = "print(random.random(), numpy.random.random())"
    first, second = [
        (await output(local, fork(tmp_path, toy, do, log=tmp_path / f"{n}.log"))).split() for n in (1, 2)
    ]
    assert first[0] != second[0]
    assert first[1] != second[1]


async def test_hooks_run_before_each_copy_and_in_it(tmp_path: Path, local: LocalSubstrate) -> None:
    code = """
from pilotlight_guest import hooks
seen = []
hooks.before_snapshot(lambda: seen.append("closed"))
hooks.before_snapshot(lambda: seen.append("hung up"))
@hooks.after_restore
def connect():
    seen.append("connected by " + os.environ["WHO"])
"""
    toy = preload(tmp_path, code=code)
    await ready(local, tmp_path, toy)
    for count, who in enumerate(("first", "second"), 1):
        order = fork(tmp_path, toy, "tell(seen=seen)", env={"WHO": who}, log=tmp_path / f"{who}.log")
        found = json.loads(await output(local, order))
        assert found["seen"] == [*["hung up", "closed"] * count, f"connected by {who}"]


async def test_a_hook_that_raises_calls_the_fork_off(tmp_path: Path, local: LocalSubstrate) -> None:
    code = "from pilotlight_guest import hooks; hooks.before_snapshot(lambda: 1 / 0)"
    toy = preload(tmp_path, code=code)
    await ready(local, tmp_path, toy)
    with pytest.raises(Exception, match=r"could not fork: .*ZeroDivisionError: division by zero"):
        await local.spawn(fork(tmp_path, toy))
    assert local.zygote_ready(toy)


@pytest.mark.parametrize(
    ("do", "exit"),
    [
        ("pass", Exit(code=0)),
        ("sys.exit(5)", Exit(code=5)),
        ("sys.exit('why it ended')", Exit(code=1)),
        ("1 / 0", Exit(code=1)),
        ("os.kill(os.getpid(), 9)", Exit(signal=9)),
        ("threading.Thread(target=lambda: (time.sleep(0.05), print('why it ended'))).start()", Exit(code=0)),
        ("import atexit; atexit.register(print, 'why it ended')", Exit(code=0)),
    ],
)
async def test_its_end_is_that_of_a_program(
    tmp_path: Path, local: LocalSubstrate, do: str, exit: Exit
) -> None:
    toy = preload(tmp_path)
    await ready(local, tmp_path, toy)
    process = await local.spawn(fork(tmp_path, toy, do))
    assert await asyncio.wait_for(process.wait(), 5) == exit
    log = tmp_path / "engine.log"
    if "why" in do:
        assert log.read_text() == "why it ended\n"
    if "/" in do:
        assert "ZeroDivisionError" in log.read_text()


async def test_logs_are_separate_and_capped(tmp_path: Path, local: LocalSubstrate) -> None:
    code = "sys.stdout.write('of the zygote, in its buffer still')"
    toy = preload(tmp_path, code=code)
    await ready(local, tmp_path, toy)
    do = "for _ in range(20000): print(os.environ['WHO'] * 20)\nsys.stdout.flush(); stay()"
    logs = {who: tmp_path / f"{who}.log" for who in "ab"}
    processes = [
        await local.spawn(fork(tmp_path, toy, do, env={"WHO": w}, log=logs[w], log_max_size=50_000))
        for w in "ab"
    ]
    await until_async(lambda: all((tmp_path / f"{who}.log.1").exists() for who in "ab"), "they have rotated")
    for process in processes:
        await process.stop(0)
    for who, log in logs.items():
        assert log.stat().st_size <= 50_000
        older = (tmp_path / f"{who}.log.1").read_text() if log.exists() else ""
        assert set(log.read_text() + older) <= {who, "\n"}
    assert "of the zygote" in (tmp_path / "zygote.log").read_text()


async def test_multiprocessing_works_in_a_fork(tmp_path: Path, local: LocalSubstrate) -> None:
    code = """
import multiprocessing, multiprocessing.shared_memory, multiprocessing.util
kept = multiprocessing.shared_memory.SharedMemory(create=True, size=10)  # starts a tracker
kept.unlink()
key = bytes(multiprocessing.current_process().authkey)
def square(x): return x * x
"""
    do = """
sums = []
for way in ("fork", "spawn"):
    with multiprocessing.get_context(way).Pool(2) as pool:
        sums.append(sum(pool.map(abs, range(5))))
shared = multiprocessing.shared_memory.SharedMemory(create=True, size=10)
shared.unlink()
tell(sums=sums, children=len(multiprocessing.active_children()),
     key=bytes(multiprocessing.current_process().authkey) != key)
"""
    found = await said(tmp_path, local, do, code)
    assert found == {"sums": [10, 10], "children": 0, "key": True}


async def test_threads_that_a_fork_does_not_have_are_named(tmp_path: Path, local: LocalSubstrate) -> None:
    code = "threading.Thread(target=stay, name='poller', daemon=True).start()"
    found = await said(tmp_path, local, "tell(threads=[t.name for t in threading.enumerate()])", code)
    assert found["threads"] == ["MainThread"]
    assert "1 threads, which its forks do not have: poller" in (tmp_path / "zygote.log").read_text()
