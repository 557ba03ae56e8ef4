"""The folders that a server keeps its things in, and the hold that it has on one of them."""

import fcntl
import os
from pathlib import Path
from typing import TextIO

from pilotlight.errors import ServerError
from pilotlight.spec.model import Config


def cache_dir(config: Config) -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(config.cache_dir or f"{base}/pilotlight").expanduser()


def state_dir(config: Config) -> Path:
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(config.state_dir or f"{base}/pilotlight").expanduser()


class StateFolder:
    """One server at a time: a second one would end the first one's engines as left behind, and write into its logs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: TextIO | None = None

    def open(self) -> None:
        """Makes it and takes it. ServerError when it cannot be written, or when another server has it."""
        fault = "permission denied or read-only"
        try:
            # Engines may log what they are asked: nobody else is to read it.
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self.path / "logs").mkdir(mode=0o700, exist_ok=True)
        except FileExistsError as e:
            what = "no folder" if Path(e.filename).exists() else "a link to nothing"
            text = f"the state folder {self.path} cannot be used: {e.filename} is {what}; set state_dir to a folder"
            raise ServerError(text) from None
        except OSError as e:
            fault = e.strerror or str(e)
        if not os.access(self.path / "logs", os.W_OK | os.X_OK):
            # Without it no engine could log, and none would start.
            text = f"the state folder {self.path} cannot be written ({fault}); set state_dir to one that can"
            raise ServerError(text)
        self._take()

    def _take(self) -> None:
        """A lock that ends with this process, however it ends, so that nothing is ever left locked."""
        path = self.path / "lock"
        try:
            lock = path.open("a+")
        except OSError as e:
            text = f"{path} cannot be opened ({e.strerror or e}); set state_dir to a folder of your own"
            raise ServerError(text) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            other = lock.read(20).strip() or "unknown"
            lock.close()
            text = (
                f"another server (pid {other}) uses the state folder {self.path}; "
                "stop it, or give this one a state_dir of its own"
            )
            raise ServerError(text) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        self._lock = lock

    def close(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None
