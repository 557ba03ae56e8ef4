"""What the disk can refuse, as one clear SourceError each; and how a file gets its final name."""

import contextlib
import errno
import os
import shutil
from collections.abc import Generator
from pathlib import Path

from pilotlight.errors import SourceError
from pilotlight.units import format_size

_FULL = (errno.ENOSPC, errno.EDQUOT)
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)


class DiskFull(SourceError):
    """There is not room enough; whoever was writing throws its half file away."""


def free(folder: Path) -> int:
    """Bytes that may still be written below `folder`."""
    return shutil.disk_usage(folder).free


def need(folder: Path, size: int, what: str) -> None:
    """Raises DiskFull, with the numbers, when `size` more bytes do not fit."""
    available = free(folder)
    if size > available:
        raise DiskFull(_full(folder, size, available, what))


def _full(folder: Path, size: int | None, available: int, what: str) -> str:
    wanted = f"needs {format_size(size)} more" if size is not None else "needs more room"
    return (
        f"{what} {wanted}, but only {format_size(available)} are free in {folder}; "
        "free some space there or set `cache_dir` to a folder on a larger disk"
    )


@contextlib.contextmanager
def writing(folder: Path, what: str, size: int | None = None) -> Generator[None]:
    """Turns an OSError of the block into a SourceError naming `folder` and `size`, the bytes still wanted."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise DiskFull(_full(folder, size, free(folder), what)) from error
        if error.errno in _READ_ONLY:
            raise SourceError(
                f"{what}: the cache folder {folder} cannot be written ({error.strerror}); make it "
                "writable or set `cache_dir` to a folder that is"
            ) from error
        raise SourceError(f"{what}: writing in {folder} failed: {error}") from error


def sync_folder(folder: Path) -> None:
    """Makes the names in `folder` survive a power cut."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def publish(data: Path, final: Path) -> None:
    """Gives a whole file its final name: it is on the disk before the name is."""
    fd = os.open(data, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    final.parent.mkdir(parents=True, exist_ok=True)
    data.replace(final)
    sync_folder(final.parent)


def write_atomic(path: Path, data: bytes) -> None:
    """Replaces a small file; a reader sees the old or the new one, never half of either."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
