"""Holds one command from its start until nothing of it is left. Standard library only, Python >= 3.8.

A keeper is a fork of the guardian. Its control socket leads straight to the server: one JSON object a line.

    server -> keeper   first the order (see `Keeper._start`), then {"stop": grace in seconds}; 0 is "at once"
                       {"log": path, "log_max_size": n}: what is written from now on goes there
    keeper -> server   {"event": "started", "pid", "keeper"} or {"event": "failed", "stage", "errno", "text"},
                       then {"event": "ended", "code" or "signal"} when the command itself has ended,
                       then {"event": "exit", "code" or "signal"} when everything is gone

End of file on the socket, or the end of the server, is "at once" as well. Whatever the cause, a stop command
runs once on the way to the end. Nothing here can fail in a way that leaves the command behind: when a keeper
ends, the kernel kills its command and the guardian what else was below.

A zygote (zygote.py) has a keeper like any command and is itself a guardian to the keepers that it forks. When it
ends, they come to its keeper, which lets them finish; only of a server that is gone it has no end of patience.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import time
from typing import Any

from pilotlight_guest import guardian_proc as proc
from pilotlight_guest import guardian_record
from pilotlight_guest.guardian_exec import LaunchError, launch
from pilotlight_guest.guardian_log import CappedLog

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pilotlight_guest.guardian_exec import Serve

STOP_LIMIT = 10.0  # seconds for a stop command while the server waits
SHORT_STOP_LIMIT = 5.0  # seconds for a stop command when everything has to go at once
PATIENCE = SHORT_STOP_LIMIT + 3.0  # seconds that keepers have to clean up once the server is gone
_CHUNK = 1 << 16
_HOUR = 3600.0  # poll takes no more than some weeks


def with_pid(argv: list[bytes], pid: int) -> list[bytes]:
    """A stop command for this process."""
    return [word.replace(b"${PID}", b"%d" % pid) for word in argv]


class Keeper:
    def __init__(
        self, control: socket.socket, channel: int | None, server: int | None, serve: Serve | None = None
    ) -> None:
        """`server` is an fd that polls readable once the server has ended; `serve` as `launch` takes it."""
        self._control = control
        self._channel = channel
        self._inbox = b""
        self._poll = select.poll()
        self._children = proc.watch_children()
        for fd in (control.fileno(), self._children, server):
            if fd is not None:
                self._poll.register(fd, select.POLLIN)
        self._server = server
        self._serve = serve

        self._pid = 0
        self._status: int | None = None
        self._alone = False
        """No child is left, not even a dead one."""
        self._grace: float | None = None
        """Set once it has to end; only ever gets smaller."""
        self._zygote = False
        """It forks keepers of its own."""
        self._patient_until = float("inf")
        self._stopper = 0
        self._stopper_until = 0.0
        self._stop_argv: list[bytes] | None = None

    def run(self) -> None:
        line = self._read_order()
        if line is None:
            return
        started = self._start(json.loads(line))
        if not started:
            return
        while self._status is None and self._grace is None:
            self._turn(None)
        if self._status is None and self._grace:
            self._end_gently()
        self._end_now()
        self._finish()

    # -- the start ------------------------------------------------------------------------------------------

    def _read_order(self) -> bytes | None:
        while b"\n" not in self._inbox:
            data = self._control.recv(_CHUNK)
            if not data:
                return None
            self._inbox += data
        line, self._inbox = self._inbox.split(b"\n", 1)
        return None if self._hung_up() else line

    def _hung_up(self) -> bool:
        """Nobody waits any more for what has been ordered: a zygote may come to it late."""
        try:
            return not self._control.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _start(self, order: dict[str, Any]) -> bool:
        # Bytes travel as Latin-1 text: arguments and paths need not be valid in any encoding.
        self._env = {_bytes(k): _bytes(v) for k, v in order["env"].items()}
        self._cwd = _bytes(order["cwd"])
        self._log = CappedLog(_bytes(order["log"]), order["log_max_size"])
        self._open_output(_bytes(order["fifo"]))
        self._record = _bytes(order["record"])
        self._zygote = order["zygote"]
        if order["stop_argv"]:
            kept = {key: order[key] for key in ("mark", "replica", "stop_argv", "env", "cwd")}
            guardian_record.write_record(self._record, kept)
        if self._channel is not None:
            self._env[b"PILOTLIGHT_CHANNEL"] = b"%d" % self._channel
        try:
            argv = [_bytes(word) for word in order["argv"]]
            self._pid = launch(argv, self._env, self._cwd, self._sink, self._channel, self._serve)
        except LaunchError as e:
            self._forget_record()
            self._tell({"event": "failed", "stage": e.stage, "errno": e.number, "text": e.text})
            return False
        if order["stop_argv"]:
            self._stop_argv = [_bytes(word) for word in order["stop_argv"]]
        if self._channel is not None:
            os.close(self._channel)  # theirs alone from here on: when they close it, the server is to see it
        self._tell({"event": "started", "pid": self._pid, "keeper": os.getpid()})
        return True

    def _open_output(self, fifo: bytes) -> None:
        """The pipe for the command's output, under a name that tells a sweep whose it is.

        A process that has overwritten or dropped its environment is still known by where its output goes.
        """
        try:
            os.mkfifo(fifo, 0o600)
            self._output = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
            self._sink = os.open(fifo, os.O_WRONLY)
            os.unlink(fifo)
        except OSError:  # a state folder that cannot be written costs only this
            self._output, self._sink = os.pipe()
            os.set_blocking(self._output, False)
        self._poll.register(self._output, select.POLLIN)

    def _forget_record(self) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self._record)

    def _tell(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # the server is gone, which the next turn sees
            self._control.sendall(json.dumps(message).encode() + b"\n")

    # -- one turn of the loop -------------------------------------------------------------------------------

    def _turn(self, timeout: float | None) -> None:
        """Waits for something to happen, at most `timeout` seconds, and takes note of it."""
        wait = None if timeout is None else min(max(timeout, 0.0), _HOUR) * 1000
        # Output last: an order to log elsewhere holds for what is read after it.
        for fd, _ in sorted(self._poll.poll(wait), key=lambda event: event[0] == self._output):
            if fd == self._output:
                self._pump()
            elif fd == self._children:
                proc.drain(self._children)
            elif fd == self._server:
                self._server_gone(fd)
            else:
                self._listen()
        self._reap()

    def _pump(self) -> bool:
        try:
            data = os.read(self._output, _CHUNK)
        except BlockingIOError:
            return False
        if data:
            self._log.write(data)
        return bool(data)

    def _pump_rest(self) -> None:
        for _ in range(64):  # what is left in the pipe; bounded, for its other end may have been passed on
            if not self._pump():
                break

    def _listen(self) -> None:
        try:
            data = self._control.recv(_CHUNK)
        except OSError:
            data = b""
        if not data:
            self._server_gone(self._control.fileno())
        *lines, self._inbox = (self._inbox + data).split(b"\n")
        for line in lines:
            self._obey(json.loads(line))

    def _obey(self, order: dict[str, Any]) -> None:
        if "log" in order:
            self._log.close()  # with what is in the pipe still unread: that goes to the new one, the old may be gone
            self._log = CappedLog(_bytes(order["log"]), order["log_max_size"])
        else:
            self._end_by(float(order["stop"]))

    def _server_gone(self, fd: int) -> None:
        self._poll.unregister(fd)
        self._end_by(0.0)
        self._patient_until = min(self._patient_until, time.monotonic() + PATIENCE)

    def _end_by(self, grace: float) -> None:
        self._grace = grace if self._grace is None else min(self._grace, grace)

    def _reap(self) -> None:
        try:
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if pid == self._pid:
                    self._status = status
                    self._pump_rest()  # so that who reads the log upon this finds its last words there
                    self._tell({"event": "ended", **self._how()})
                elif pid == self._stopper:
                    self._stopper = 0
        except ChildProcessError:
            self._alone = True

    # -- the end --------------------------------------------------------------------------------------------

    def _end_gently(self) -> None:
        self._run_stop_command(STOP_LIMIT)
        while self._stopper and self._grace and not self._over(self._stopper_until):
            self._turn(self._stopper_until - time.monotonic())
        if not self._grace:
            return  # hastened meanwhile
        proc.terminate_below(os.getpid(), self._spared, self._pid)
        begun = time.monotonic()
        while not self._alone and self._grace and not self._over(begun + self._grace):
            self._turn(begun + self._grace - time.monotonic())

    def _end_now(self) -> None:
        self._run_stop_command(STOP_LIMIT if self._grace is None else SHORT_STOP_LIMIT)
        if self._grace is not None:
            self._stopper_until = min(self._stopper_until, time.monotonic() + SHORT_STOP_LIMIT)
        if not proc.LINUX:
            proc.send_group(self._pid, signal.SIGKILL)
        pause = 0.001
        while not self._alone:
            if self._over(self._stopper_until):
                self._stopper = 0  # no longer spared
            if not proc.kill_below(os.getpid(), self._spared) and self._zygote:
                self._turn(self._patient_until - time.monotonic())  # for the end of a keeper
                continue
            self._turn(pause)  # a process that sits in the kernel may take its time to die
            pause = min(pause * 2, 0.05)

    def _spared(self, pid: int) -> bool:
        return pid == self._stopper or (
            self._zygote and not self._over(self._patient_until) and proc.is_keeper(pid)
        )

    def _run_stop_command(self, limit: float) -> None:
        argv, self._stop_argv = self._stop_argv, None
        if argv is None:
            return
        try:
            self._stopper = launch(with_pid(argv, self._pid), self._env, self._cwd, self._sink, None)
            self._stopper_until = time.monotonic() + limit
            self._alone = False
        except LaunchError as e:
            self._log.write(b"[pilotlight: the stop command could not be run: %s]\n" % e.text.encode())

    @staticmethod
    def _over(moment: float) -> bool:
        return time.monotonic() >= moment

    def _finish(self) -> None:
        self._pump_rest()
        self._forget_record()
        self._tell({"event": "exit", **self._how()})

    def _how(self) -> dict[str, int]:
        status = self._status or 0
        return {"signal": os.WTERMSIG(status)} if os.WIFSIGNALED(status) else {"code": os.WEXITSTATUS(status)}


def _bytes(text: str) -> bytes:
    return text.encode("latin-1")
