"""Stands beside the server and sees to it that nothing the server started outlives it.

Run as `python -I -S guardian.py FD SERVER_PID`; standard library only, Python >= 3.8. FD is a socket to the
server that carries messages of one letter and one number:

    server -> guardian   S n  start keeper n; with it come the keeper's control socket and, perhaps, a channel
    guardian -> server   G n  keeper n is gone and so is everything that was below it

Each keeper (guardian_keeper.py) holds one command and reports to the server itself. The guardian only forks
keepers and inherits what a killed keeper leaves behind. Should the guardian be killed, the keepers go on.

A zygote (zygote.py) is a guardian too, of the keepers of what it forks. It has one of them forked ahead.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import socket
import struct
import sys
import time
import traceback

if __name__ == "__main__":
    # `-I` and `-S` leave out every folder but the standard library's; ours comes after them.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from pilotlight_guest import guardian_proc as proc
from pilotlight_guest.guardian_exec import ignore_signals
from pilotlight_guest.guardian_keeper import PATIENCE, Keeper
from pilotlight_guest.guardian_spare import Spare, receive, wait

MESSAGE = struct.Struct("!cQ")
_ANOTHERS = 0  # in the place of the number of a keeper that somebody else had started
_AHEAD = 0.5  # seconds without an order before a keeper is forked ahead; what was ordered is to go first
_AHEAD_RETRY = 5.0  # seconds after a fork that failed, or a spare that was killed


class Guardian:
    def __init__(self, control: socket.socket, server: int | None) -> None:
        self._control = control
        self._server = server
        self._children = proc.watch_children()
        self._poll = select.poll()
        for fd in (control.fileno(), self._children, server):
            if fd is not None:
                self._poll.register(fd, select.POLLIN)
        self._keepers: dict[int, int] = {}
        """Number by pid."""
        self._ended: list[int] = []
        """Keepers that are gone, while something that was below them may not be."""
        self._kin: frozenset[int] = frozenset()
        """Children that are not to be taken for what a keeper has left behind."""
        self._deadline: float | None = None
        """When keepers that are still there get killed; set once the server is gone."""
        self._spare: Spare | None = None
        self._spare_at = float("inf")
        """When one is due."""

    def run(self) -> None:
        while self._deadline is None or self._keepers or self._ended or proc.children(os.getpid()):
            for fd, _ in self._poll.poll(self._timeout()):
                if fd == self._children:
                    proc.drain(self._children)
                elif fd == self._server or not self._listen():
                    self._server_gone()
            self._reap()
            self._fork_ahead()
            if self._deadline is not None and time.monotonic() > self._deadline:
                for pid in {*self._keepers, *proc.children(os.getpid())}:
                    proc.send(pid, signal.SIGKILL)
            if self._ended:
                self._bury()

    def _timeout(self) -> float | None:
        """In milliseconds."""
        if self._ended:
            return 10.0
        if self._deadline is not None:
            return 50.0
        if self._spare is not None or self._spare_at == float("inf"):
            return None
        return max(0.0, self._spare_at - time.monotonic()) * 1000

    def _listen(self) -> bool:
        try:
            data, fds = receive(self._control, MESSAGE.size)
        except OSError:
            return False
        if len(data) < MESSAGE.size:
            return False
        self._start_keeper(MESSAGE.unpack(data)[1], fds)
        return True

    def _start_keeper(self, number: int, fds: list[int]) -> None:
        pid = self._take_spare(fds) or self._fork_keeper(fds)
        if pid > 0:
            self._keepers[pid] = number
        else:
            self._ended.append(number)
        for fd in fds:
            os.close(fd)

    def _fork_keeper(self, fds: list[int]) -> int:
        """Its pid; -1 when there is none, which who ordered it is told."""
        pid = -1
        try:
            pid = self._fork()
        except OSError as e:
            _refuse(fds[0], e.errno or 0, e.strerror or str(e))
        except Exception as e:
            _refuse(fds[0], 0, f"{type(e).__name__}: {e}")
        if pid == 0:
            self._become_keeper(fds)
        return pid

    def _fork(self) -> int:
        return os.fork()

    def _take_spare(self, fds: list[int]) -> int:
        """Its pid; 0 when there was none."""
        spare, self._spare = self._spare, None
        self._spare_at = max(self._spare_at, time.monotonic() + _AHEAD)
        return spare.pid if spare is not None and spare.take(fds) else 0

    def _fork_ahead(self) -> None:
        if self._spare is not None or self._deadline is not None or time.monotonic() < self._spare_at:
            return
        try:
            ours, theirs = socket.socketpair()
            with theirs:
                pid = self._fork()
                if pid == 0:
                    ours.close()
                    self._become_keeper([], theirs)
            self._spare = Spare(pid, ours)
        except Exception:  # what it is, whoever orders a keeper will be told
            self._spare_at = time.monotonic() + _AHEAD_RETRY

    def _become_keeper(self, fds: list[int], ahead: socket.socket | None = None) -> None:
        """With `ahead`, once descriptors come from there."""
        try:
            proc.set_name(proc.KEEPER if ahead is None else proc.SPARE)
            os.setsid()
            signal.set_wakeup_fd(-1)
            self._control.close()
            os.close(self._children)
            proc.adopt_orphans()
            if ahead is not None:
                with ahead:
                    fds = wait(ahead)
                proc.set_name(proc.KEEPER)
            if fds:
                self._keeper(socket.socket(fileno=fds[0]), fds[1] if len(fds) > 1 else None).run()
            os._exit(0)
        except BaseException:  # its end kills what it held, so it must end
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(1)

    def _keeper(self, control: socket.socket, channel: int | None) -> Keeper:
        return Keeper(control, channel, self._server)

    def _reap(self) -> None:
        try:
            while True:
                pid, _ = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                self._ended.append(self._keepers.pop(pid, _ANOTHERS))
                if self._spare is not None and self._spare.pid == pid:
                    self._spare.let_go()
                    self._spare, self._spare_at = None, time.monotonic() + _AHEAD_RETRY
        except ChildProcessError:
            pass

    def _bury(self) -> None:
        """Kills what ended keepers left behind: whatever is ours and is no keeper, of our own or of a zygote's."""
        if self._kill_strays():
            return
        ended, self._ended = self._ended, []
        for number in filter(None, ended):
            with contextlib.suppress(OSError):
                self._control.send(MESSAGE.pack(b"G", number))

    def _kill_strays(self) -> int:
        ours = {*self._keepers, *self._kin, self._spare.pid if self._spare else 0}
        strays = [pid for pid in proc.children(os.getpid()) if pid not in ours and not proc.is_keeper(pid)]
        for pid in strays:
            proc.kill_with_group(pid)
            proc.kill_below(pid, proc.is_keeper)
        return len(strays)

    def _server_gone(self) -> None:
        if self._deadline is None:
            self._deadline = time.monotonic() + PATIENCE
            if self._spare is not None:
                self._spare.let_go()
                self._spare = None
            self._poll.unregister(self._control.fileno())
            if self._server is not None:
                self._poll.unregister(self._server)
            self._control.close()


def _refuse(control: int, number: int, text: str) -> None:
    """In the words of the keeper that there is not."""
    report = {"event": "failed", "stage": "start", "errno": number, "text": text}
    with contextlib.suppress(OSError):
        os.write(control, json.dumps(report).encode() + b"\n")


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    server_pid = int(sys.argv[2])
    # Sent to a whole terminal or unit these mean the server, which then ends its replicas in its own way.
    ignore_signals([signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
    proc.adopt_orphans()
    proc.set_name("pl-guardian")
    server = proc.watch_process(server_pid)
    if os.getppid() != server_pid:
        return
    gc.disable()  # nothing here makes cycles, and a collection would write to pages that the keepers share
    gc.freeze()
    Guardian(control, server).run()


if __name__ == "__main__":
    main()
