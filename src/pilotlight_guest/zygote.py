"""A process that has imported an engine's runtime once and is forked in place of importing it anew.

Run as `PYTHON zygote.py SERVER_PID MODULE FOLDER...` by the engine's own interpreter, in the environment that its
libraries are to read while they load; standard library only, Python >= 3.8, Linux. The FOLDERs come last on sys.path,
where an installed package would come: in front they would hide the engine's own. MODULE has two functions:

    preload()   imports what is slow to import; called once, here
    serve()     is the engine; called in each fork, whose channel PILOTLIGHT_CHANNEL names, and does not return

The rule for `preload`: nothing may be begun that a fork does not survive. Above all nothing may touch a GPU: a CUDA
context is lost in a fork, and each call that needs one fails there. Nor may it start threads, which a fork does not
have; those that it starts all the same are named in the log. `hooks` is for what cannot be avoided.

A zygote is a guardian (guardian.py) whose keepers call `serve` in place of running a command, so that a fork is held,
logged, stopped and told of as any replica is. Its own PILOTLIGHT_CHANNEL carries one JSON line, {"ready": true} or
{"failed": why}, and from then on the guardian's messages. It imports with the collector off and freezes what it has,
so that no collection in a fork writes to pages that all share. A fork has the state that `preload` left but for: its
environment, arguments and name, standard streams, random seeds, and what multiprocessing takes for its own. Files that
`preload` has left open stay open, for their owners hold on to them; the log names them too.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import socket
import sys
import time
import traceback

sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # until `_leave_to_the_engine`

from pilotlight_guest import guardian_proc as proc
from pilotlight_guest import hooks, huge_pages, zygote_fork
from pilotlight_guest.guardian import Guardian
from pilotlight_guest.guardian_exec import ignore_signals
from pilotlight_guest.guardian_keeper import Keeper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FOR_THE_SERVER = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
"""Sent to a whole unit these mean the server, which then ends what it has."""


class Zygote(Guardian):
    def __init__(
        self, control: socket.socket, server: int | None, fork: zygote_fork.Fork, ahead: bool
    ) -> None:
        """`ahead`: it has a keeper forked ahead. That saves little where an engine takes long to load, and such ones
        have much memory to copy the page tables of, while the engine of the last order is loading."""
        self._fork_as = fork
        fork.mark.of_watcher()  # which its keepers are as well
        ignore_signals([*_FOR_THE_SERVER])
        super().__init__(control, server)
        self._kin = frozenset(proc.children(os.getpid()))
        """Of `preload`; not to be taken for what a keeper has left behind."""
        if ahead:
            self._spare_at = time.monotonic()

    def _fork(self) -> int:
        hooks.run_before_snapshot()
        zygote_fork.flush()
        return os.fork()

    def _keeper(self, control: socket.socket, channel: int | None) -> Keeper:
        return Keeper(control, channel, self._server, self._fork_as.serve)


def main() -> None:
    server_pid, name, *folders = sys.argv[1:]
    proc.adopt_orphans()
    proc.set_name("pl-zygote")
    control = socket.socket(fileno=int(os.environ.pop("PILOTLIGHT_CHANNEL")))
    server = proc.watch_process(int(server_pid))
    control.set_inheritable(False)
    _leave_to_the_engine(folders)
    ours = [fd for fd, _ in zygote_fork.open_files()]
    begun = time.monotonic()
    gc.disable()
    try:
        module = importlib.import_module(name)
        module.preload()
    except BaseException as error:
        traceback.print_exc()
        _tell(control, failed=_last_line(error))
        sys.exit(1)
    took = time.monotonic() - begun
    print(f"zygote of {name}: imported in {took:.2f} s{_remarks(ours)}", file=sys.stderr, flush=True)
    gc.collect()
    gc.freeze()
    large = huge_pages.collapse()
    fork = zygote_fork.Fork(module, ours)  # which notes what signals do before the next does
    zygote = Zygote(control, server, fork, ahead=not large)
    _tell(control, ready=True)
    zygote.run()


def _leave_to_the_engine(folders: list[str]) -> None:
    """Beside our package lies what the server has installed, which is not for the engine to find."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path.pop()
    if sys.path[0] == here:
        del sys.path[0]
    sys.path += [folder for folder in folders if folder not in sys.path]
    package: Any = sys.modules["pilotlight_guest"]
    package.__path__ = [here]


def _tell(control: socket.socket, **words: object) -> None:
    try:
        control.sendall(json.dumps(words).encode() + b"\n")
    except OSError:  # the server is gone, and its keeper will see to this process
        os._exit(1)


def _last_line(error: BaseException) -> str:
    return traceback.format_exception_only(type(error), error)[-1].strip()


def _remarks(ours: list[int]) -> str:
    """What a fork will miss or share."""
    threading: Any = sys.modules.get("threading")
    named = [t.name for t in threading.enumerate()[1:]] if threading else []
    count = len(os.listdir("/proc/self/task")) - 1
    files = [link for fd, link in zygote_fork.open_files() if fd not in ours]
    remarks = (
        f"; {count} threads, which its forks do not have: {', '.join(named) or 'native'}" if count else ""
    )
    return remarks + (f"; left open: {', '.join(files)}" if files else "")


if __name__ == "__main__":
    main()
