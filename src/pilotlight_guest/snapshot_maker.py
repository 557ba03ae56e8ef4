"""Brings an engine up, has CRIU dump it and ends. Standard library only, Linux.

Run as `python -I -S snapshot_maker.py`, with a channel as engines have one, on which it is told once

    {"argv": [...], "env": {...}, "cwd": path}    the engine, which tells of itself as llamacpp_server.py does
    {"order": {...}}                              what the engine is told
    {"snapshot": {"snapshot": true, ...}}         and once it is ready
    {"criu": path, "folder": path}                where the images go, which is there and empty

all in one line, and answers {"failed": why}, or what a restore has to know:

    {"socket": id, "pipe": id}    the engine's channel and its output, which each restored process has of its own
    {"port_at": n}                where in files.img the port is that it listens on: three bytes, base 128

The engine has no mark of its owner in its environment, for those that are restored from it have others; it is known by
this process, below which it is.
"""

from __future__ import annotations

import glob
import json
import os
import socket
import subprocess
import sys
import threading

if __name__ == "__main__":
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from pilotlight_guest.guardian_exec import LaunchError, launch
from pilotlight_guest.snapshot_port import find_port

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


_ENDED = "the engine ended before it was dumped"


class NotMade(Exception):
    """Why, in one sentence without its full stop."""


def main() -> None:
    channel = socket.socket(fileno=int(os.environ["PILOTLIGHT_CHANNEL"]))
    channel.set_inheritable(False)  # the engine has but its own
    order = _read(channel, {})
    if not order:
        return
    try:
        answer = make(order)
    except (NotMade, LaunchError, OSError) as error:
        answer = {"failed": str(error)}
    channel.sendall(json.dumps(answer).encode() + b"\n")


def make(order: dict[str, Any]) -> dict[str, int]:
    """Raises NotMade, LaunchError, OSError."""
    near, far = socket.socketpair()
    output, sink = os.pipe()
    # Copied, for the engine is to have what a restored one can be given another in the place of: a pipe.
    threading.Thread(target=_copy, args=(output,), daemon=True).start()
    names = {"socket": os.fstat(far.fileno()).st_ino, "pipe": os.fstat(sink).st_ino}
    env = {os.fsencode(name): os.fsencode(value) for name, value in order["env"].items()}
    env[b"PILOTLIGHT_CHANNEL"] = b"%d" % far.fileno()
    argv = [os.fsencode(word) for word in order["argv"]]
    pid = launch(argv, env, os.fsencode(order["cwd"]), sink, far.fileno())
    os.close(sink)
    far.close()
    tell(near, order["order"])
    port = _until(near, "ready")["port"]
    tell(near, order["snapshot"])
    _until(near, "still")
    dump(order["criu"], pid, names["socket"], order["folder"])
    _remember(order["criu"], order["folder"])
    return {**names, "port_at": find_port(os.path.join(order["folder"], "files.img"), port)}


def dump(criu: str, pid: int, channel: int, folder: str) -> None:
    """The process and what is below it, whose channel that is, by its inode. Raises NotMade, OSError."""
    log = os.path.join(folder, "dump.log")
    words = [criu, "dump", "--tree", str(pid), "--images-dir", folder, "--log-file", log]
    done = subprocess.run([*words, "--external", f"unix[{channel}]"], capture_output=True, check=False)
    if done.returncode != 0:
        raise NotMade(f"criu dump {_how(done.returncode)}{_first_errors(log)}")
    os.waitpid(pid, 0)
    # Times of a process that has a clock of its own would mean nothing to its server.
    for path in (log, *glob.glob(os.path.join(folder, "timens-*.img"))):
        os.unlink(path)


def _how(status: int) -> str:
    return f"exited with status {status}" if status > 0 else f"was killed by signal {-status}"


def _first_errors(log: str) -> str:
    """With a colon before them; empty where it has not said any."""
    try:
        with open(log, errors="replace") as file:
            said = [line.strip() for line in file if "Error" in line and "rlimit" not in line]
    except OSError:
        return ""
    return ": " + " / ".join(said[:2]) if said else ""


def _remember(criu: str, folder: str) -> None:
    """CRIU tries out what the kernel can do whenever it is run, for 20 ms, where /run, in which it would keep that, is
    no tmpfs: so in containers."""
    with open("/proc/self/mounts") as mounts:
        if any(line.split()[1:3] == ["/run", "tmpfs"] for line in mounts):
            return
    words = 'mount -t tmpfs none /run && "$0" check && cp /run/criu.kdat "$1"'
    target = os.path.join(folder, "criu.kdat")
    subprocess.run(["unshare", "--mount", "sh", "-c", words, criu, target], capture_output=True, check=False)


def _until(channel: socket.socket, event: str) -> dict[str, Any]:
    while True:
        said = _read(channel, {"event": "error", "message": _ENDED})
        if said["event"] == "error":
            raise NotMade(said["message"])
        if said["event"] == event:
            return said


def _read(channel: socket.socket, at_end: dict[str, Any]) -> dict[str, Any]:
    line = b""
    while not line.endswith(b"\n"):
        part = channel.recv(1)
        if not part:
            return at_end
        line += part
    return json.loads(line)


def tell(channel: socket.socket, order: dict[str, Any]) -> None:
    """Raises NotMade when nobody is there any more."""
    try:
        channel.sendall(json.dumps(order).encode() + b"\n")
    except OSError:
        raise NotMade(_ENDED) from None


def _copy(output: int) -> None:
    while data := os.read(output, 65536):
        os.write(2, data)


if __name__ == "__main__":
    main()
