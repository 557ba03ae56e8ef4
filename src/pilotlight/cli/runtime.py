"""How the command line finds a server on this machine: a small file that each server keeps while it runs.

It holds the address and a token that opens the admin routes, readable by its owner alone.
"""

import os
import stat
import tempfile
from pathlib import Path

import msgspec
import psutil


class Running(msgspec.Struct, frozen=True):
    pid: int
    started: float
    """Unix seconds at which the process began, for a number may be given again."""
    url: str
    port: int
    token: str
    state_dir: str
    config: str | None


def folder() -> Path:
    base = os.environ.get("XDG_RUNTIME_DIR")
    if base and Path(base).is_dir():
        return Path(base) / "pilotlight"
    return Path(tempfile.gettempdir()) / f"pilotlight-{os.getuid()}"


def this_one(host: str, port: int, url: str, token: str, state_dir: str, config: str | None) -> Running:
    """This process as a server. `host`: where it listens; `url`: under which it was told to be reached."""
    local = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host)  # noqa: S104
    return Running(
        pid=os.getpid(),
        started=began(os.getpid()) or 0.0,
        url=f"http://{local}:{port}" if local else url,
        port=port,
        token=token,
        state_dir=state_dir,
        config=config,
    )


def announce(running: Running) -> Path:
    """Writes the file; remove it with `unlink` when the server goes. Raises OSError, also when the folder is not ours:
    under a shared /tmp anybody may have made it, to read or to redirect what is written there."""
    where = folder()
    where.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not _is_ours(where):
        raise PermissionError(f"{where} is not a folder that only this user can write")
    path = where / f"{running.port}-{running.pid}.json"
    path.unlink(missing_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(msgspec.json.encode(running))
    return path


def _is_ours(where: Path) -> bool:
    try:
        found = where.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022


def began(pid: int) -> float | None:
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return None


def servers() -> list[Running]:
    """Servers of this user that are alive; files of dead ones are removed."""
    found: list[Running] = []
    where = folder()
    if not _is_ours(where):
        return found
    for path in sorted(where.glob("*.json")):
        try:
            running = msgspec.json.decode(path.read_bytes(), type=Running)
        except (OSError, msgspec.DecodeError):
            continue
        start = began(running.pid)
        if start is None or abs(start - running.started) > 1.0:
            path.unlink(missing_ok=True)
        else:
            found.append(running)
    return found
