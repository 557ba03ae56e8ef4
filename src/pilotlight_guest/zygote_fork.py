"""What a fork of a zygote has to change to be as if it had been executed. Standard library only, Python >= 3.8."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import os
import signal
import sys
import time
import traceback

from pilotlight_guest import guardian_proc as proc
from pilotlight_guest import hooks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_OWNER = b"PILOTLIGHT_OWNER"


class Fork:
    """Made in the zygote when its imports are done: knows what a fork is to have of it."""

    def __init__(self, module: Any, ours: list[int]) -> None:
        """`ours` were open before its imports."""
        self._module = module
        self._handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
        self._files = [fd for fd, _ in open_files() if fd not in ours]
        self._name = module.__name__.rpartition(".")[2]
        self.mark = Mark()

    def serve(self, env: dict[bytes, bytes], channel: int | None) -> None:
        """Never returns. What it raises ends it as it would end a program."""
        code = 1
        try:
            self._begin_anew(env, channel)
            hooks.run_after_restore()
            self._module.serve()
            code = 0
        except SystemExit as error:
            code = _status(error)
        except BaseException:
            traceback.print_exc()
        finally:
            _exit(code)

    def _begin_anew(self, env: dict[bytes, bytes], channel: int | None) -> None:
        proc.set_name(self._name)
        self.mark.of(env.get(_OWNER, b""))
        self._restore_signals()
        self._close_files(channel)
        zone = os.environ.get("TZ")
        _become_environment(env)
        if os.environ.get("TZ") != zone:
            time.tzset()
        sys.argv = [self._module.__file__]
        sys.modules["__main__"] = self._module  # what multiprocessing's `spawn` would import
        _reseed()
        _forget_processes()
        gc.enable()

    def _restore_signals(self) -> None:
        signal.set_wakeup_fd(-1)
        for number, handler in self._handlers.items():
            if handler is not None and signal.getsignal(number) != handler:
                signal.signal(number, handler)

    def _close_files(self, channel: int | None) -> None:
        kept = {0, 1, 2, channel, *self._files}
        for fd in map(int, os.listdir("/proc/self/fd")):
            if fd not in kept:
                with contextlib.suppress(OSError):  # that of the listing itself
                    os.close(fd)


def flush() -> None:
    """What is left in a buffer at a fork would be written by both."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):
            stream.flush()


def open_files() -> list[tuple[int, str]]:
    """Descriptors of this process and what each leads to."""
    found: list[tuple[int, str]] = []
    for fd in map(int, os.listdir("/proc/self/fd")):
        with contextlib.suppress(OSError):  # that of the listing itself
            found.append((fd, os.readlink(f"/proc/self/fd/{fd}")))
    return found


class Mark:
    """The mark by which a sweep knows a process, in the memory that /proc/PID/environ shows: that which the process was
    given when it was executed. A fork writes its own there, over the zygote's.

    A mark is PREFIX.NUMBER, and PREFIX alone of those who watch over others, as the zygote does once it can fork. Its
    number has zeros in front, to leave room for each.
    """

    def __init__(self) -> None:
        start, end = _environment()
        text = b"\0" + ctypes.string_at(start, end - start)
        _, found, rest = text.partition(b"\0" + _OWNER + b"=")
        self._old = rest.partition(b"\0")[0] if found else b""
        self._place = end - len(rest)
        self._prefix = self._old.rpartition(b".")[0]

    def of_watcher(self) -> None:
        self._write(self._prefix + b"\0")

    def of(self, owner: bytes) -> None:
        prefix, _, number = owner.rpartition(b".")
        if prefix == self._prefix:
            self._write(prefix + b"." + number.rjust(len(self._old) - len(prefix) - 1, b"0"))

    def _write(self, text: bytes) -> None:
        if self._prefix and len(text) <= len(self._old):
            ctypes.memmove(self._place, text, len(text))


def _environment() -> tuple[int, int]:
    """First and last address, from fields 50 and 51 of proc(5)'s stat."""
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    return int(fields[47]), int(fields[48])


def _become_environment(env: dict[bytes, bytes]) -> None:
    """Nearly all of it is there already, and each variable set is a call."""
    had = os.environb.copy()
    for name in had.keys() - env.keys():
        del os.environb[name]
    os.environb.update({name: value for name, value in env.items() if had.get(name) != value})


def _reseed() -> None:
    """`random` does it by itself, `numpy` does not; what was seeded on purpose would give all forks the same."""
    for name in ("random", "numpy.random"):
        if name in sys.modules:
            sys.modules[name].seed()


def _forget_processes() -> None:
    """What multiprocessing keeps of the zygote: its children, its key, its tracker of shared memory."""
    modules: Any = sys.modules
    if "multiprocessing.process" in modules:
        process = modules["multiprocessing.process"]
        process._children.clear()
        process.current_process().authkey = os.urandom(32)
        process.current_process()._config.pop("tempdir", None)
    if "multiprocessing.resource_tracker" in modules:
        tracker = modules["multiprocessing.resource_tracker"]._resource_tracker
        tracker._fd = tracker._pid = None
    if "multiprocessing.util" in modules:
        modules["multiprocessing.util"]._run_after_forkers()


def _status(error: SystemExit) -> int:
    if error.code is None or isinstance(error.code, int):
        return (error.code or 0) & 0xFF
    print(error.code, file=sys.stderr)
    return 1


def _exit(code: int) -> None:
    """As the interpreter does at its end."""
    threading: Any = sys.modules.get("threading")
    interpreter: Any = atexit
    for last in (threading._shutdown if threading else flush, interpreter._run_exitfuncs, flush):
        try:
            last()
        except BaseException:
            traceback.print_exc()
    os._exit(code)
