"""A .gguf that is on this machine already: used where it is, never copied."""

import stat
from pathlib import Path

from pilotlight.errors import SourceError
from pilotlight.weights import split

MAGIC = b"GGUF"


class NotGguf(SourceError):
    """The bytes are of something else; there is no use in keeping them."""


def find(source: str) -> Path:
    """The first part, after a look at the first bytes of all parts. Raises SourceError."""
    path = Path(source).expanduser()
    files = [path.parent / name for name in split.parts(path.name)]
    for file in files:
        check_magic(file)
    return files[0]


def check_magic(file: Path) -> None:
    """Raises SourceError when `file` cannot be read or does not begin as a GGUF does."""
    try:
        if not stat.S_ISREG(mode := file.stat().st_mode) and not stat.S_ISDIR(mode):
            # Opening a pipe without a writer would wait for one, and the whole server with it.
            raise SourceError(f"{file} is a pipe, a socket or a device; give the path of a .gguf file")
        with file.open("rb") as data:
            check_start(data.read(64), str(file))
    except FileNotFoundError:
        raise SourceError(f"{file} does not exist; give the path of a .gguf file") from None
    except IsADirectoryError:
        raise SourceError(f"{file} is a folder; give the path of the .gguf file in it") from None
    except OSError as error:
        raise SourceError(f"{file} cannot be read: {error.strerror}") from error


def check_start(start: bytes, name: str) -> None:
    """Raises NotGguf when these first bytes of `name` are not those of a GGUF."""
    if start[:4] == MAGIC:
        return
    if not start:
        raise NotGguf(f"{name} is empty; a whole GGUF file is needed")
    if start.startswith(b"version https://git-lfs"):
        raise SourceError(
            f"{name} is a Git LFS pointer, not the file itself; run `git lfs pull` where it came from"
        )
    raise NotGguf(f"{name} is not a GGUF file: it begins with {start[:16]!r}, not with {MAGIC!r}")
