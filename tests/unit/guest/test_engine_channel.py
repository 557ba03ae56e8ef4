"""In a process of its own, since it forks and ends."""

import json
import os
import socket
import subprocess
import sys

import pytest

CHILD = """
import os, sys
from pilotlight_guest.engine_channel import from_environment
channel = from_environment()
assert "PILOTLIGHT_CHANNEL" not in os.environ
channel.tell(event="begin", at=1.5)
order = channel.receive()
if order["do"] == "fork":
    if os.fork() == 0:
        try:
            os.fstat(channel.fd)
        except OSError:
            again = os.dup2(1, channel.fd)  # something else's now
            if os.fork() == 0:
                os.fstat(again)
                os.write(1, b"kept")
            os._exit(0)
        os._exit(1)
    os.wait()
    channel.tell_stage("load", 1.0, 2.0)
if order["do"] == "fail":
    channel.fail("no good", see_log=True)
"""


def run(order: dict[str, str] | None) -> tuple[list[dict[str, object]], int, str]:
    ours, theirs = socket.socketpair()
    env = {**os.environ, "PILOTLIGHT_CHANNEL": str(theirs.fileno())}
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD], env=env, pass_fds=[theirs.fileno()], stdout=subprocess.PIPE, text=True
    )
    theirs.close()
    if order is not None:
        ours.sendall(json.dumps(order).encode() + b"\n")
    ours.shutdown(socket.SHUT_WR)
    out, _ = process.communicate(timeout=20)
    said = ours.makefile().read()
    return [json.loads(line) for line in said.splitlines()], process.returncode, out


def test_what_it_starts_does_not_have_it() -> None:
    said, status, out = run({"do": "fork"})
    assert said[0] == {"event": "begin", "at": 1.5}
    assert said[1] == {"event": "stage", "name": "load", "start": 1.0, "end": 2.0, "once": False}
    assert (status, out) == (0, "kept")


@pytest.mark.parametrize(("order", "ends"), [({"do": "fail"}, 1), (None, 0)])
def test_it_ends(order: dict[str, str] | None, ends: int) -> None:
    said, status, _ = run(order)
    assert status == ends
    if order:
        assert said[-1] == {"event": "error", "message": "no good", "see_log": True}
