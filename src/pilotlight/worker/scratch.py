"""What an engine leaves outside its own folders: temporary files, and shared memory that nobody has unlinked.

Each replica of an engine that does so gets a folder for the first, whose name begins the names of the second. Both go
when its processes have. A note in our own folder says of each that it is ours, so that what a server that was killed
has left goes with the next one of the same folder.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

SHARED = Path("/dev/shm")  # noqa: S108 - where shm_open(3) keeps names on Linux
NAME = "PILOTLIGHT_SCRATCH"
NOTES = ".scratch"
"""Our own folder, beside the models' logs; no model's folder begins with a dot."""
_PREFIX = "pl-"


class Scratch:
    """The folder of one replica. Blocks for as long as a file system does."""

    def __init__(self, notes: Path, env: Mapping[str, str]) -> None:
        """`notes`: our own folder. `env`: what the engine would have found. Raises OSError."""
        self.folder = _made(env.get("TMPDIR") or None)
        self._note = notes / self.folder.name
        notes.mkdir(0o700, parents=True, exist_ok=True)
        try:
            self._note.write_bytes(os.fsencode(self.folder))
        except OSError as error:  # a write that fails does not say of which file
            self.folder.rmdir()
            raise OSError(error.errno, error.strerror, str(self._note)) from None

    @property
    def env(self) -> dict[str, str]:
        """What the engine is to find in its environment."""
        return {"TMPDIR": str(self.folder), NAME: self.folder.name}

    def remove(self) -> None:
        _remove(self.folder)
        self._note.unlink(missing_ok=True)


def sweep(notes: Path) -> None:
    """Removes what an earlier server that had this folder noted and did not come to remove."""
    for note in notes.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            folder = Path(os.fsdecode(note.read_bytes()))
            if folder.name == note.name:
                _remove(folder)
            note.unlink()


def _made(where: str | None) -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=where))
    except OSError as error:  # which would name the folder that is not there
        text = f"{error.strerror}; the engine's TMPDIR has to be a folder that can be written"
        raise OSError(error.errno, text, where) from None


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for left in SHARED.glob(f"{folder.name}-*"):
        with contextlib.suppress(OSError):
            left.unlink()
