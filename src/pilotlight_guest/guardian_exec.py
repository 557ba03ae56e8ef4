"""Starts one command the way every replica is started. Standard library only, Python >= 3.8."""

from __future__ import annotations

import os
import resource
import signal

from pilotlight_guest import guardian_proc as proc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Serve = Callable[[dict[bytes, bytes], int | None], None]

_MAX_FILES = (
    1 << 20
)  # some programs walk through every possible descriptor; a hard limit of 2^30 would hang them
_ignored: list[int] = []


class LaunchError(Exception):
    """`stage` is `cwd`, `exec` or `start`; `number` an errno, 0 when there is none."""

    def __init__(self, stage: str, number: int, text: str) -> None:
        super().__init__(stage, number, text)
        self.stage = stage
        self.number = number
        self.text = text


def launch(
    argv: list[bytes],
    env: dict[bytes, bytes],
    cwd: bytes,
    output: int,
    channel: int | None,
    serve: Serve | None = None,
) -> int:
    """The pid of a process that has begun to run `argv` in a session of its own, or LaunchError.

    `output` becomes its standard output and error; it inherits `channel` under the same number, and
    nothing else. It is killed when the calling thread ends. With `serve`, which never returns, that is
    called in place of running `argv`, and has to see to the environment and the descriptors itself.
    """
    parent = os.getpid()
    errors, report = os.pipe()  # closes on exec: end of file is success
    try:
        pid = os.fork()
    except OSError as e:
        os.close(errors)
        os.close(report)
        raise LaunchError("start", e.errno or 0, e.strerror or str(e)) from None
    if pid == 0:
        _become(argv, env, cwd, output, channel, parent, report, serve)
    os.close(report)
    try:
        text = os.read(errors, 4096).decode("utf-8", "replace")
    finally:
        os.close(errors)
    if text:
        os.waitpid(pid, 0)
        stage, number, reason = text.split(" ", 2)
        raise LaunchError(stage, int(number), reason)
    return pid


def _become(
    argv: list[bytes],
    env: dict[bytes, bytes],
    cwd: bytes,
    output: int,
    channel: int | None,
    parent: int,
    report: int,
    serve: Serve | None,
) -> None:
    stage = "start"
    try:
        os.setsid()
        proc.die_with_parent(parent)
        _reset_signals()
        _raise_file_limit()
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        if channel is not None:
            os.set_inheritable(channel, True)
        stage = "cwd"
        os.chdir(cwd)
        stage = "exec"
        if serve is None:
            os.execvpe(argv[0], argv, env)
        else:
            os.close(report)
            serve(env, channel)
    except OSError as e:
        os.write(report, f"{stage} {e.errno or 0} {e.strerror or e}".encode())
    except BaseException as e:  # anything at all must be told, then this process must go
        os.write(report, f"{stage} 0 {e!r}".encode()[:4096])
    finally:
        os._exit(127)


def ignore_signals(numbers: list[int]) -> None:
    """For this process and its forks, not for what they launch: "ignored" outlives exec, unlike a handler."""
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)
    _ignored[:] = [s for s in signal.valid_signals() if signal.getsignal(s) == signal.SIG_IGN]


def _reset_signals() -> None:
    for number in _ignored:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _raise_file_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        wanted = _MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, _MAX_FILES)
        if soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):
        pass
