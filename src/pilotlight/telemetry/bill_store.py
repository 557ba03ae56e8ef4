"""The bill's hours on the disk, in SQLite: one file, one writer, and whoever wants to read.

What was written survives a kill -9 (write-ahead log); a power cut may take what was written last. Nothing here is
asked from the event loop but `open` and `spent`, before the server takes requests.
"""

import contextlib
import logging
import sqlite3
import threading
from collections.abc import Mapping
from pathlib import Path

from pilotlight.cost.history import History
from pilotlight.errors import ServerError
from pilotlight.telemetry import bill_tables
from pilotlight.telemetry.leases import Key

log = logging.getLogger(__name__)

FILE = "bill.sqlite"
"""In the state folder."""

KEPT = 400 * 24
"""Hours, so that a year can be compared with the one before it [G]."""

Earlier = Mapping[str, tuple[tuple[int, float], ...]]
"""By provider, hours since 1970 (UTC) and USD in each."""

LEFT_OUT = "left out of the bill: %d of the rows of %s, which cannot be right (a figure is none, below 0 or too large)"

NO_LEASES: Mapping[Key, float] = {}


class BillStore:
    """A file that cannot be used is set aside, one that cannot be written is said once: the server goes on without,
    and its bill begins anew or stays in memory. A row that cannot be right is left out whenever it is read, which is
    said once. May be called from any thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db: sqlite3.Connection | None = None
        self._lock = threading.Lock()
        self._failing = False
        self._wrong = 0
        """Rows that were said to be left out."""

    def open(self, now_hour: int) -> bool:
        """Forgets hours that are too old; what a killed server had leased is spent. False where the file cannot be used
        now: ask again before anything is written. Never raises."""
        with self._lock:
            try:
                self._connect()
                assert self._db is not None
                self._leave_out(self._db)
                with self._db:
                    bill_tables.forget(self._db, now_hour - KEPT)
                    bill_tables.spend_leases(self._db)
            except sqlite3.Error as e:
                return self._met(e)
            return True

    def write(self, history: History, leases: Mapping[Key, float] = NO_LEASES) -> bool:
        """Adds it to what is there, and puts the leases in the place of those that are there; all or nothing; whether
        it could."""
        with self._lock:
            try:
                self._add(history, leases)
            except sqlite3.Error as e:
                if self._met(e):  # a new file takes the place of the one that was bad
                    with contextlib.suppress(sqlite3.Error):
                        self._add(history, leases)
                        return True
                return False
            if self._failing:
                log.info("%s can be written again; nothing of the bill was lost", self.path)
            self._failing = False
            return True

    def read(self, since: int) -> History:
        """From that hour on. Empty where it cannot be read, which is said."""
        with self._lock:
            try:
                if self._db is None:
                    self._connect()
                assert self._db is not None
                self._leave_out(self._db)
                return bill_tables.read(self._db, since)
            except sqlite3.Error as e:
                self._met(e)
                return History()

    def spent(self, since: int) -> Earlier:
        """What was charged since that hour; in order."""
        found: dict[str, list[tuple[int, float]]] = {}
        with self._lock:
            try:
                for provider, hour, usd in [] if self._db is None else bill_tables.spent(self._db, since):
                    found.setdefault(provider, []).append((hour, usd))
            except sqlite3.Error as e:
                self._met(e)
        return {provider: tuple(hours) for provider, hours in found.items()}

    def close(self) -> None:
        with self._lock:
            self._drop()

    # -- the file ----------------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        """Raises sqlite3.Error where there is no way to have one."""
        if self._db is None:
            try:
                self._db = bill_tables.opened(self.path)
            except sqlite3.DatabaseError as e:
                if not _is_damage(e):
                    raise
                self._set_aside(str(e))
                self._db = bill_tables.opened(self.path)

    def _add(self, history: History, leases: Mapping[Key, float]) -> None:
        self._connect()
        assert self._db is not None
        with self._db:
            bill_tables.add(self._db, history, leases)

    def _leave_out(self, db: sqlite3.Connection) -> None:
        before, self._wrong = self._wrong, bill_tables.wrong(db)
        if self._wrong > before:
            log.warning(LEFT_OUT, self._wrong, self.path)

    def _met(self, error: sqlite3.Error) -> bool:
        """A full disk passes; a file that is damaged does not, and is set aside: whether it was."""
        self._drop()
        if _is_damage(error):
            self._set_aside(str(error))
        elif not self._failing:
            log.warning(
                "%s cannot be used (%s); the bill is kept in memory, and a restart would not know it",
                self.path,
                error,
            )
            self._failing = True
        return _is_damage(error)

    def _drop(self) -> None:
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None

    def _set_aside(self, fault: str) -> None:
        aside = self.path.with_name(self.path.name + ".unusable")
        for end in ("", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                self.path.with_name(self.path.name + end).replace(aside.with_name(aside.name + end))
        log.warning("%s cannot be used (%s); it is now %s and the bill begins anew", self.path, fault, aside)


def _is_damage(error: sqlite3.Error) -> bool:
    """Its subclasses are troubles of a disk, of a lock, or of ours."""
    return type(error) is sqlite3.DatabaseError


def read_file(path: Path, since: int) -> History:
    """For who has no server to ask. Raises ServerError saying what is wrong."""
    if not path.exists():
        raise ServerError(f"{path} does not exist: no server has kept a bill in this state folder yet")
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            db.text_factory = bill_tables.text
            if wrong := bill_tables.wrong(db):
                log.warning(LEFT_OUT, wrong, path)
            return bill_tables.read(db, since)
    except sqlite3.Error as e:
        text = f"{path} cannot be read ({e}); a server that starts sets a damaged one aside"
        raise ServerError(text) from None
