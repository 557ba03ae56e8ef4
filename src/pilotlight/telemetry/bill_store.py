"""The bill's hours on the disk, in SQLite: one file, one writer, and whoever wants to read.

What was written survives a kill -9 (write-ahead log); a power cut may take what was written last. Nothing here is
asked from the event loop but `open` and `spent`, before the server takes requests.
"""

import contextlib
import logging
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from pilotlight.cost.history import History, Traffic
from pilotlight.cost.rows import UNSETTLED, Amount, Row
from pilotlight.errors import ServerError
from pilotlight.telemetry.leases import Key

log = logging.getLogger(__name__)

FILE = "bill.sqlite"
"""In the state folder."""

VERSION = 1

KEPT = 400 * 24
"""Hours, so that a year can be compared with the one before it [G]."""

LARGEST_CHECKED = 64 * 2**20
"""Bytes of a file that is looked through when it is opened, which takes a second for a GB."""

TABLES = """
CREATE TABLE IF NOT EXISTS used (
  hour INTEGER, model TEXT, key TEXT, class TEXT, rung TEXT, provider TEXT,
  seconds REAL NOT NULL, usd REAL NOT NULL,
  PRIMARY KEY (hour, model, key, class, rung, provider)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS traffic (
  hour INTEGER, model TEXT,
  requests INTEGER NOT NULL, cold INTEGER NOT NULL, waited REAL NOT NULL, waiting_usd REAL NOT NULL,
  peak INTEGER NOT NULL, one_usd REAL NOT NULL, scale_to_zero_usd REAL NOT NULL,
  PRIMARY KEY (hour, model)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS lease (
  provider TEXT, hour INTEGER, usd REAL NOT NULL, PRIMARY KEY (provider, hour)) WITHOUT ROWID;
"""
"""`hour`: since 1970 (UTC)."""

USE = """
INSERT INTO used VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET seconds = seconds + excluded.seconds, usd = usd + excluded.usd
"""

TRAFFIC = """
INSERT INTO traffic VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET requests = requests + excluded.requests, cold = cold + excluded.cold,
  waited = waited + excluded.waited, waiting_usd = waiting_usd + excluded.waiting_usd,
  peak = max(peak, excluded.peak), one_usd = one_usd + excluded.one_usd,
  scale_to_zero_usd = scale_to_zero_usd + excluded.scale_to_zero_usd
"""

LARGEST = 1e12
"""Of any figure, in USD, seconds or requests [G]."""

LAST_HOUR = 70_000_000
"""In the year 9955: what is later cannot be written as a date."""


def _right(names: str, figures: str) -> str:
    """Whether a row can be right, in SQL. There, texts and blobs are above all numbers."""
    each = [f"typeof({name}) = 'text'" for name in names.split()]
    each += [f"{figure} BETWEEN 0 AND {LARGEST}" for figure in figures.split()]
    return " AND ".join(["typeof(hour) = 'integer'", f"hour BETWEEN 0 AND {LAST_HOUR}", *each])


RIGHT = {
    "used": _right("model key class rung provider", "seconds usd"),
    "traffic": _right("model", "requests cold waited waiting_usd peak one_usd scale_to_zero_usd"),
    "lease": _right("provider", "usd"),
}

LEASE = "INSERT INTO lease VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET usd = excluded.usd"

LEFT = f"""
INSERT INTO used SELECT hour, '', '', '', '{UNSETTLED}', provider, 0, usd FROM lease
WHERE usd > 0 AND {RIGHT["lease"]}
ON CONFLICT DO UPDATE SET usd = usd + excluded.usd
"""  # noqa: S608

SPENT = f"""
SELECT provider, hour, sum(usd) FROM used WHERE provider != '' AND hour >= ? AND {RIGHT["used"]}
GROUP BY provider, hour ORDER BY provider, hour
"""  # noqa: S608


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
                    for table in ("used", "traffic"):
                        self._db.execute(f"DELETE FROM {table} WHERE hour < ?", (now_hour - KEPT,))  # noqa: S608
                    _spend_leases(self._db)
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
                return _read(self._db, since)
            except sqlite3.Error as e:
                self._met(e)
                return History()

    def spent(self, since: int) -> Earlier:
        """What was charged since that hour; in order."""
        found: dict[str, list[tuple[int, float]]] = {}
        with self._lock:
            try:
                for provider, hour, usd in [] if self._db is None else self._db.execute(SPENT, (since,)):
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
                self._db = _opened(self.path)
            except sqlite3.DatabaseError as e:
                if not _is_damage(e):
                    raise
                self._set_aside(str(e))
                self._db = _opened(self.path)

    def _add(self, history: History, leases: Mapping[Key, float]) -> None:
        self._connect()
        assert self._db is not None
        with self._db:
            self._db.executemany(USE, _rows(history))
            self._db.executemany(TRAFFIC, _traffic(history))
            if leases:
                self._db.executemany(LEASE, [(*key, usd) for key, usd in leases.items()])
                self._db.execute("DELETE FROM lease WHERE usd <= 0")

    def _leave_out(self, db: sqlite3.Connection) -> None:
        before, self._wrong = self._wrong, _wrong(db)
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
            db.text_factory = _text
            if wrong := _wrong(db):
                log.warning(LEFT_OUT, wrong, path)
            return _read(db, since)
    except sqlite3.Error as e:
        text = f"{path} cannot be read ({e}); a server that starts sets a damaged one aside"
        raise ServerError(text) from None


def _opened(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=1.0, check_same_thread=False)
    db.text_factory = _text
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, VERSION):
            raise sqlite3.DatabaseError(f"it is of version {version}, not {VERSION}")
        if path.stat().st_size <= LARGEST_CHECKED:
            found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise sqlite3.DatabaseError(str(found))
        db.executescript(TABLES)
        db.execute(f"PRAGMA user_version = {VERSION}")
    except BaseException:
        db.close()
        raise
    return db


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _wrong(db: sqlite3.Connection) -> int:
    """Rows that cannot be right."""
    there = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}  # there may be no leases yet
    counts = [f"SELECT count(*) FROM {t} WHERE ({ok}) IS NOT TRUE" for t, ok in RIGHT.items() if t in there]  # noqa: S608
    return sum(db.execute(count).fetchone()[0] for count in counts)


def _spend_leases(db: sqlite3.Connection) -> None:
    leased = f"SELECT provider, sum(usd) FROM lease WHERE {RIGHT['lease']} GROUP BY provider"  # noqa: S608
    for provider, usd in db.execute(leased).fetchall():
        text = "the server was killed while requests were at %s: $%.6g that they can have cost count as spent"
        log.warning(text, provider, usd)
    db.execute(LEFT)
    db.execute("DELETE FROM lease")


def _read(db: sqlite3.Connection, since: int) -> History:
    history = History()
    used, traffic = (f"SELECT * FROM {t} WHERE hour >= ? AND {RIGHT[t]}" for t in ("used", "traffic"))  # noqa: S608
    for hour, *who, seconds, usd in db.execute(used, (since,)):
        history.use(hour, Row(*who), Amount(seconds, usd))
    for hour, model, *figures in db.execute(traffic, (since,)):
        history.of(hour, model).plus(Traffic(*figures))
    return history


def _rows(history: History) -> Iterator[tuple[object, ...]]:
    for hour, rows in history.used.items():
        for row, amount in rows.items():
            yield (hour, *row, amount.seconds, amount.usd)


def _traffic(history: History) -> Iterator[tuple[object, ...]]:
    for hour, models in history.traffic.items():
        for model, t in models.items():
            yield (
                hour, model, t.requests, t.cold, t.waited, t.waiting_usd, t.peak, t.one_usd, t.scale_to_zero_usd,
            )  # fmt: skip
