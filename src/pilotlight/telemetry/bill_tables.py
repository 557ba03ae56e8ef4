"""The bill's tables, in SQL: what is written into them, and which of their rows can be right.

Everything here raises sqlite3.Error; what becomes of that is bill_store's to say.
"""

import logging
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

from pilotlight.cost.history import History, Traffic
from pilotlight.cost.rows import UNSETTLED, Amount, Row
from pilotlight.telemetry.leases import Key

log = logging.getLogger(__name__)

VERSION = 1

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

LEASE = "INSERT INTO lease VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET usd = excluded.usd"

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

LEFT = f"""
INSERT INTO used SELECT hour, '', '', '', '{UNSETTLED}', provider, 0, usd FROM lease
WHERE usd > 0 AND {RIGHT["lease"]}
ON CONFLICT DO UPDATE SET usd = usd + excluded.usd
"""  # noqa: S608

SPENT = f"""
SELECT provider, hour, sum(usd) FROM used WHERE provider != '' AND hour >= ? AND {RIGHT["used"]}
GROUP BY provider, hour ORDER BY provider, hour
"""  # noqa: S608


def opened(path: Path) -> sqlite3.Connection:
    """With the tables in it. Raises sqlite3.DatabaseError for a file that is damaged, or of another version."""
    db = sqlite3.connect(path, timeout=1.0, check_same_thread=False)
    db.text_factory = text
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


def text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def wrong(db: sqlite3.Connection) -> int:
    """Rows that cannot be right."""
    there = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}  # there may be no leases yet
    counts = [f"SELECT count(*) FROM {t} WHERE ({ok}) IS NOT TRUE" for t, ok in RIGHT.items() if t in there]  # noqa: S608
    return sum(db.execute(count).fetchone()[0] for count in counts)


def forget(db: sqlite3.Connection, before: int) -> None:
    """What was before that hour."""
    for table in ("used", "traffic"):
        db.execute(f"DELETE FROM {table} WHERE hour < ?", (before,))  # noqa: S608


def spend_leases(db: sqlite3.Connection) -> None:
    """What a server that was killed had leased."""
    leased = f"SELECT provider, sum(usd) FROM lease WHERE {RIGHT['lease']} GROUP BY provider"  # noqa: S608
    for provider, usd in db.execute(leased).fetchall():
        what = "the server was killed while requests were at %s: $%.6g that they can have cost count as spent"
        log.warning(what, provider, usd)
    db.execute(LEFT)
    db.execute("DELETE FROM lease")


def add(db: sqlite3.Connection, history: History, leases: Mapping[Key, float]) -> None:
    """The history to what is there, the leases in the place of those that are there."""
    db.executemany(USE, _rows(history))
    db.executemany(TRAFFIC, _traffic(history))
    if leases:
        db.executemany(LEASE, [(*key, usd) for key, usd in leases.items()])
        db.execute("DELETE FROM lease WHERE usd <= 0")


def spent(db: sqlite3.Connection, since: int) -> Iterator[tuple[str, int, float]]:
    """Provider, hour and USD, from that hour on; in order."""
    return db.execute(SPENT, (since,))


def read(db: sqlite3.Connection, since: int) -> History:
    """From that hour on, without the rows that cannot be right."""
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
