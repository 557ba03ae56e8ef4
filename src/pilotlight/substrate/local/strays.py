"""Processes that outlived the server that started them: how they are known again, and their end.

Everything here blocks (reads of /proc, some milliseconds); run it in a thread.
"""

import hashlib
import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import psutil

from pilotlight_guest import guardian_proc as proc
from pilotlight_guest import guardian_record

log = logging.getLogger(__name__)

OWNER = "PILOTLIGHT_OWNER"
_MARK = re.compile(r"pl([0-9a-f]{12})\.([0-9a-f]{8})\.(\d+)\.(\d+)\.(\d+)(?:\.(\d+))?")
_PATIENCE = 10.0
"""Seconds for keepers of a killed server to clean up by themselves; more than their stop commands get."""
_KILL_LIMIT = 10.0
"""Seconds after which a process that SIGKILL does not end (it sits in the kernel) is left, with a warning."""
_STOP_LIMIT = 10.0


class Mark(msgspec.Struct, frozen=True):
    """Who owns a process. A pid alone may be given anew; with its start time and the boot it may not."""

    folder: str
    """Hash of the state folder."""
    boot: str
    namespace: int
    """Of pids: in another one, ours mean nothing."""
    pid: int
    start: int
    number: int | None = None
    """Of the replica's process; None for the guardian and its keepers."""

    def __str__(self) -> str:
        text = f"pl{self.folder}.{self.boot}.{self.namespace}.{self.pid}.{self.start}"
        return text if self.number is None else f"{text}.{self.number}"

    def wide(self) -> str:
        """The same mark with room for any number: zygote_fork.py writes its forks' over it."""
        return f"{msgspec.structs.replace(self, number=None)}.{self.number or 0:012d}"

    def of(self, number: int) -> "Mark":
        return msgspec.structs.replace(self, number=number)

    def owner_is_dead(self) -> bool:
        """False as well where that cannot be known."""
        here = (_boot(), _namespace())
        return (self.boot, self.namespace) == here and _started(self.pid) != self.start


def own_mark(state_dir: Path) -> Mark:
    folder = hashlib.sha256(os.fsencode(state_dir.resolve())).hexdigest()[:12]
    return Mark(folder, _boot(), _namespace(), os.getpid(), _started(os.getpid()) or 0)


def parse_mark(text: str) -> Mark | None:
    match = _MARK.fullmatch(text)
    if match is None:
        return None
    folder, boot, namespace, pid, start, number = match.groups()
    return Mark(folder, boot, int(namespace), int(pid), int(start), None if number is None else int(number))


def sweep(run_dir: Path, own: Mark) -> int:
    """Ends what dead owners of the same state folder left; how many processes of replicas there were."""

    def left_behind(mark: Mark) -> bool:
        return mark.folder == own.folder and mark.owner_is_dead()

    seen: set[int] = set()
    deadline, pause = time.monotonic() + _PATIENCE, 0.005
    while True:
        found = _marked(left_behind)
        seen |= {pid for pid, mark in found.items() if mark.number is not None}
        if all(mark.number is not None for mark in found.values()) or time.monotonic() > deadline:
            break
        time.sleep(pause)  # keepers are at work, and they reach more than marks do
        pause = min(pause * 2, 0.1)
    killed = kill_marked(left_behind)
    run_records(run_dir, own)
    _tidy(run_dir, own)
    return len(seen | killed)


def kill_marked(which: Callable[[Mark], bool]) -> set[int]:
    """SIGKILL, in rounds until none is left, to all processes so marked and to their descendants."""
    killed: set[int] = set()
    untouchable = {os.getpid(), *(p.pid for p in psutil.Process().parents())}
    deadline, pause = time.monotonic() + _KILL_LIMIT, 0.001
    while True:
        marked = _marked(which)
        alive = {pid for root in marked for pid in (root, *proc.descendants(root))} - untouchable
        alive = {pid for pid in alive if _started(pid) is not None}
        if not alive:
            return killed
        if time.monotonic() > deadline:
            log.warning("processes %s of an earlier server do not end, not even by SIGKILL", sorted(alive))
            return killed
        for pid in alive:
            proc.send(pid, 9)
        killed |= {pid for pid in alive if pid not in marked or marked[pid].number is not None}
        time.sleep(pause)
        pause = min(pause * 2, 0.05)


def _tidy(run_dir: Path, own: Mark) -> None:
    """Pipes that a keeper killed in its first moment did not get to unlink."""
    for path in run_dir.glob("*.out"):
        mark = parse_mark(path.stem)
        if mark is not None and mark.folder == own.folder and mark.owner_is_dead():
            path.unlink(missing_ok=True)


def run_records(run_dir: Path, own: Mark, number: int | None = None) -> None:
    """Runs the stop commands that nobody else will run: of dead owners, or of our own process `number`."""
    with ThreadPoolExecutor(8) as pool:
        for path in run_dir.glob("*.json*"):
            claimed = guardian_record.claim_record(str(path))
            if claimed is not None:
                pool.submit(_run_record, path, *claimed, own.of(number) if number is not None else own)


def _run_record(path: Path, lock: int, record: dict[str, Any], own: Mark) -> None:
    try:
        mark = parse_mark(str(record.get("mark")))
        if mark is not None:
            if mark.folder != own.folder:
                return
            elsewhere = (mark.boot, mark.namespace) != (_boot(), _namespace())
            if mark != own and not elsewhere and not mark.owner_is_dead():
                return  # its server lives and does it itself
            _run_stop_command(record)
        path.unlink(missing_ok=True)
    except OSError as e:
        log.warning("%s: %s", path, e)
    finally:
        os.close(lock)


def _run_stop_command(record: dict[str, Any]) -> None:
    # Its process is gone by now, and the pid may be another's: it gets one that nobody has.
    argv = [word.replace("${PID}", str(2**31 - 2)).encode("latin-1") for word in record["stop_argv"]]
    env = {k.encode("latin-1"): v.encode("latin-1") for k, v in record["env"].items()}
    quiet = subprocess.DEVNULL
    log.info("replica %s was cut off; running its stop command", record["replica"])
    try:
        subprocess.run(
            argv,
            env=env,
            cwd=record["cwd"].encode("latin-1"),
            stdin=quiet,
            stdout=quiet,
            stderr=quiet,
            timeout=_STOP_LIMIT,
            start_new_session=True,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as e:
        log.warning("the stop command of replica %s: %s", record["replica"], e)


# -- reading marks -----------------------------------------------------------------------------------------


def _marked(which: Callable[[Mark], bool]) -> dict[int, Mark]:
    """Living processes with such a mark."""
    found: dict[int, Mark] = {}
    for pid, text in _mark_texts():
        mark = parse_mark(text)
        if mark is not None and which(mark) and _started(pid) is not None:
            found[pid] = mark
    return found


def _mark_texts() -> Iterator[tuple[int, str]]:
    if not proc.LINUX:
        for process in psutil.process_iter(["environ"]):
            yield process.pid, (process.info["environ"] or {}).get(OWNER, "")
        return
    for pid in proc.processes():
        text = _environment_mark(pid) or _pipe_mark(pid)
        if text:
            yield pid, text


def _environment_mark(pid: int) -> str | None:
    try:
        environ = b"\0" + Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:  # another user's, or it has ended
        return None
    _, found, rest = environ.partition(f"\0{OWNER}=".encode())
    return rest.partition(b"\0")[0].decode("ascii", "replace") if found else None


def _pipe_mark(pid: int) -> str | None:
    for fd in (1, 2):
        try:
            name = Path(f"/proc/{pid}/fd/{fd}").readlink().name
        except OSError:
            continue
        match = _MARK.match(name)
        if match is not None and name[match.end() :].startswith(".out"):
            return match[0]
    return None


def _started(pid: int) -> int | None:
    """When a process started, in a unit of its own that only serves to compare; None unless it is alive."""
    if proc.LINUX:
        found = proc.stat(pid)
        return found.start if found is not None and found.alive else None
    try:
        return int(psutil.Process(pid).create_time() * 100)
    except psutil.Error:
        return None


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
    except OSError:
        return f"{int(psutil.boot_time()):08x}"[-8:]


def _namespace() -> int:
    try:
        return Path("/proc/self/ns/pid").stat().st_ino if sys.platform.startswith("linux") else 0
    except OSError:
        return 0
