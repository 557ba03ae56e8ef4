"""Files that a verb writes: looked at before its work, and not after it."""

import os
from collections.abc import Iterable
from pathlib import Path

from pilotlight.errors import PilotlightError


def check(option: str, path: Path, read: Iterable[str | Path | None] = ()) -> None:
    """`read`: what the verb reads, files among it.

    Raises PilotlightError where `path` cannot be written, or is one of them.
    """
    if path.is_dir():
        raise PilotlightError(f"{option} {path}: is a folder; name the file to be written in it")
    if not os.access(path.absolute().parent, os.W_OK):
        raise PilotlightError(f"{option} {path}: its folder is not there or cannot be written")
    if not path.exists():
        return
    if not os.access(path, os.W_OK):
        raise PilotlightError(f"{option} {path}: cannot be written; name another file")
    if any(path.samefile(file) for file in map(Path, filter(None, read)) if file.exists()):
        raise PilotlightError(f"{option} {path}: is read here and would be lost; name another file")
