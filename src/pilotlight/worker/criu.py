"""CRIU, which dumps processes and restores them: whether it is of use here, and how it is told."""

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

VARIABLE = "PILOTLIGHT_CRIU"
"""Names the program, in place of looking for it."""

_CHECK_WITHIN = 20.0
"""Seconds; it takes 50 ms."""

_RESTORE = (
    'if [ -e "$1/criu.kdat" ]; then true >>/run/criu.kdat && mount --bind "$1/criu.kdat" /run/criu.kdat; fi; '
    'CRIU_FAULT=130 exec "$0" restore --images-dir "$1" --work-dir "$2" --log-file "$3" '
    '--inherit-fd "fd[$PILOTLIGHT_CHANNEL]:socket:[$4]" --inherit-fd "fd[1]:pipe:[$5]"'
)
"""Where CRIU cannot keep what it has found out of the kernel, it is given what it had found out when it dumped. 130
(FI_NO_BREAKPOINTS in its fault-injection.h) has it find the end of its own code by system calls, as where there are no
hardware breakpoints: the first of those takes the kernel 14 ms."""

_APART = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", _RESTORE)
"""In a namespace of process ids of its own, where those that were dumped are free however many are restored, and of
mounts. The first process there is CRIU, which waits for the engine; when it or `unshare` ends, the kernel ends all that
is there."""


def built() -> Path:
    """Where `make criu` puts it."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "pilotlight" / "criu" / "criu"


def find() -> str | None:
    """The one that is named, that of `make criu`, or the one on PATH."""
    named = os.environ.get(VARIABLE)
    if named:
        return named
    return str(built()) if os.access(built(), os.X_OK) else shutil.which("criu")


def why_not() -> str:
    """Why nothing can be restored here, one sentence without its full stop; empty when it can. Blocking (50 ms), once
    for each CRIU."""
    return _why_not(find())


@functools.cache
def _why_not(program: str | None) -> str:
    if not sys.platform.startswith("linux"):
        return "CRIU is for Linux"
    if program is None:
        return f"CRIU was not found on PATH; install 4.2 or newer, run `make criu`, or name it in {VARIABLE}"
    if os.geteuid() != 0:
        return "CRIU and a namespace of process ids need root"
    if shutil.which("unshare") is None:
        return "`unshare`, of util-linux, was not found on PATH"
    try:
        done = subprocess.run(
            [program, "check"], capture_output=True, text=True, timeout=_CHECK_WITHIN, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"CRIU ({program}) cannot be run: {error}"
    if done.returncode == 0:
        return ""
    said = " / ".join(line.strip() for line in done.stderr.splitlines() if "Error" in line)
    return f"`{program} check` fails, as before 4.2 on new kernels: {said or f'status {done.returncode}'}"


def restoring(program: str, images: Path, log: Path, socket: int, pipe: int) -> tuple[str, ...]:
    """For a process that has a channel: the restored one gets that, and its standard output as its own. Beside the log
    CRIU writes its statistics, after the process has begun to run."""
    words = (images, log.parent, log.name, socket, pipe)
    return (*_APART, program, *map(str, words))


def first_error(log: Path) -> str:
    """What CRIU met first in a restore that failed; empty when it has not said."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    said = (line.partition("): ")[2] or line for line in lines if "Error" in line and "rlimit" not in line)
    return next(said, "")
