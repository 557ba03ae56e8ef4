"""What has to be done after a power cut: a small file per replica that has a stop command. Python >= 3.8.

The keeper that wrote a record holds a lock on it for as long as it lives, so whoever can take the lock knows
that nobody else is going to run the stop command. The kernel lets go of the lock however the keeper ends.
"""

from __future__ import annotations

import fcntl
import json
import os
from typing import Any


def write_record(path: bytes, record: dict[str, Any]) -> None:
    """Writes it whole, to the disk, or not at all; the caller holds the lock until it ends."""
    fd = -1
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        # It appears under its name only when it is locked: a sweep must not take it for an abandoned one.
        fd = os.open(path + b".new", os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.write(fd, json.dumps(record).encode())
        os.fsync(fd)
        os.replace(path + b".new", path)
    except OSError:
        if fd >= 0:
            os.close(fd)


def claim_record(path: str) -> tuple[int, dict[str, Any]] | None:
    """The lock's fd (close it) and the record, unless its keeper lives or it is gone.

    A file that is torn is an empty record.
    """
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.stat(path).st_ino != os.fstat(fd).st_ino:
            raise FileNotFoundError(path)
    except OSError:  # held, or its keeper finished in this moment and removed it
        os.close(fd)
        return None
    try:
        with open(fd, "rb", closefd=False) as file:
            record = json.load(file)
    except (OSError, ValueError):
        record = None
    return fd, record if isinstance(record, dict) else {}
