"""The bill on the disk: what is damaged, full or of another version costs the history, never the server."""

import logging
import sqlite3
from pathlib import Path

import pytest

from pilotlight.cost.history import History, Traffic
from pilotlight.cost.report import report
from pilotlight.cost.rows import Amount, Row
from pilotlight.errors import ServerError
from pilotlight.telemetry.bill_store import KEPT, BillStore, read_file

ROW = Row("m", "alice", "standard", "serving")
BURST = Row("m", "alice", "standard", "burst", "cloud")
NOW = 500_000


@pytest.fixture(autouse=True)
def warnings_are_seen(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever level an earlier test has left the root logger at."""
    caplog.set_level(logging.WARNING)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bill.sqlite"


def opened(path: Path) -> BillStore:
    store = BillStore(path)
    store.open(NOW)
    return store


def history(hour: int = NOW, row: Row = ROW, seconds: float = 10.0, usd: float = 1.0) -> History:
    found = History()
    found.use(hour, row, Amount(seconds, usd))
    found.of(hour, "m").plus(Traffic(3, 1, 5.0, 0.5, 2, 0.1, 0.2))
    return found


def seconds(found: History, hour: int = NOW, row: Row = ROW) -> float:
    return found.used[hour][row].seconds


def test_what_is_written_twice_is_added_up_and_a_peak_is_the_higher_one(path: Path):
    store = opened(path)
    assert store.write(history()) and store.write(history())
    found = store.read(0)
    assert seconds(found) == 20.0 and found.used[NOW][ROW].usd == 2.0
    assert found.traffic[NOW]["m"] == Traffic(6, 2, 10.0, 1.0, 2, 0.2, 0.4)


def test_a_restart_goes_on_with_it(path: Path):
    store = opened(path)
    store.write(history())
    store.close()
    again = opened(path)
    again.write(history())
    assert seconds(again.read(0)) == 20.0


def test_who_is_killed_loses_nothing_that_was_written(path: Path):
    store = opened(path)
    store.write(history())  # never closed: its log of writes is still beside the file
    assert path.with_name("bill.sqlite-wal").exists()
    assert seconds(read_file(path, 0)) == 10.0


def test_only_what_was_wanted_is_read(path: Path):
    store = opened(path)
    store.write(history(NOW))
    store.write(history(NOW - 5))
    assert set(store.read(NOW - 4).used) == {NOW}
    assert set(read_file(path, NOW - 4).used) == {NOW}


def test_what_a_provider_was_paid_is_told_by_the_hour(path: Path):
    store = opened(path)
    for hour, usd in ((NOW - 2, 0.5), (NOW, 0.25), (NOW, 0.25)):
        store.write(history(hour, BURST, usd=usd))
    store.write(history(NOW, BURST._replace(rung="pings"), usd=0.125))
    store.write(history(NOW, BURST._replace(provider="other")))
    store.write(history(NOW))
    assert store.spent(NOW - 10) == {"cloud": ((NOW - 2, 0.5), (NOW, 0.625)), "other": ((NOW, 1.0),)}
    assert store.spent(NOW)["cloud"] == ((NOW, 0.625),)
    assert store.spent(NOW + 1) == {}


def test_hours_that_are_too_old_are_forgotten(path: Path):
    store = opened(path)
    store.write(history(NOW - KEPT - 1))
    store.write(history(NOW - KEPT))
    store.close()
    assert set(opened(path).read(0).used) == {NOW - KEPT}


def test_a_file_that_is_no_database_is_set_aside(path: Path, caplog: pytest.LogCaptureFixture):
    junk = b"no database at all, but long enough to be looked at " * 100
    path.write_bytes(junk)
    store = opened(path)
    assert store.write(history())
    assert seconds(store.read(0)) == 10.0
    assert path.with_name("bill.sqlite.unusable").read_bytes() == junk
    assert "begins anew" in caplog.text


def test_a_damaged_page_is_found_and_the_file_set_aside(path: Path, caplog: pytest.LogCaptureFixture):
    store = opened(path)
    for hour in range(NOW - 300, NOW):
        store.write(history(hour, ROW._replace(model="m" * 200)))
    store.close()
    data = bytearray(path.read_bytes())
    data[4096 * 2 : 4096 * 5] = b"\xff" * (4096 * 3)
    path.write_bytes(data)
    again = opened(path)
    assert again.write(history())
    assert set(again.read(0).used) == {NOW}
    assert "begins anew" in caplog.text


def test_one_of_a_later_version_is_set_aside_and_kept(path: Path, caplog: pytest.LogCaptureFixture):
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    store = opened(path)
    assert store.write(history())
    assert "version 99" in caplog.text
    assert path.with_name("bill.sqlite.unusable").exists()


def test_a_disk_that_is_full_is_said_once_and_loses_nothing(path: Path, caplog: pytest.LogCaptureFixture):
    store = opened(path)
    assert store._db is not None
    store._db.execute("PRAGMA max_page_count = 1")  # as SQLite says it of a full disk
    large = History()
    for hour in range(500):
        large.use(NOW + hour, ROW, Amount(1.0, 1.0))
    store._drop = lambda: None  # type: ignore[method-assign]  # a new connection would forget that it is full
    assert not store.write(large)
    assert not store.write(large)
    assert caplog.text.count("kept in memory") == 1
    store._db.execute("PRAGMA max_page_count = 100000")
    assert store.write(large)
    assert len(store.read(0).used) == 500


def test_a_folder_that_cannot_be_written_is_not_fatal(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    store = opened(tmp_path / "nowhere" / "bill.sqlite")
    assert not store.write(history())
    assert not store.read(0)
    assert store.spent(0) == {}
    assert caplog.text.count("cannot be used") == 1


def test_who_reads_without_a_server_is_told_what_is_wrong(path: Path):
    with pytest.raises(ServerError, match="no server has kept a bill"):
        read_file(path, 0)
    path.write_bytes(b"nonsense " * 1000)
    with pytest.raises(ServerError, match="cannot be read"):
        read_file(path, 0)


LEASED = {("cloud", NOW): 7.0, ("cloud", NOW - 1): 2.0, ("other", NOW): 1.0}


def test_what_a_killed_server_had_leased_is_spent_once(path: Path, caplog: pytest.LogCaptureFixture):
    store = opened(path)
    store.write(history(row=BURST))
    store.write(History(), LEASED)
    assert store.spent(0) == {"cloud": ((NOW, 1.0),)}
    again = opened(path)
    assert again.spent(0) == {"cloud": ((NOW - 1, 2.0), (NOW, 8.0)), "other": ((NOW, 1.0),)}
    assert again.read(0).used[NOW][Row("", "", "", "unsettled", "cloud")].usd == 7.0
    assert "the server was killed while requests were at cloud: $9" in caplog.text
    assert opened(path).spent(0) == again.spent(0)


def test_a_lease_is_replaced_and_one_of_nothing_is_gone(path: Path):
    store = opened(path)
    store.write(History(), LEASED)
    store.write(history(row=BURST), {("cloud", NOW): 3.0, ("cloud", NOW - 1): 0.0, ("other", NOW): 0.0})
    assert opened(path).spent(0) == {"cloud": ((NOW, 4.0),)}


def test_a_file_of_before_there_were_leases_is_read_on(path: Path):
    opened(path).write(history(row=BURST))
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE lease")
    store = opened(path)
    assert store.write(History(), LEASED)
    assert store.spent(0) == {"cloud": ((NOW, 1.0),)}


WRONG = (
    "UPDATE used SET usd = 'a lot'",
    "UPDATE used SET usd = 9e999",
    "UPDATE used SET usd = -5",
    "UPDATE used SET seconds = 1e300",
    "UPDATE used SET hour = 99999999999999",
    "UPDATE used SET hour = 500000.5",
    "UPDATE used SET model = x'00ff'",
    "UPDATE traffic SET requests = 'many'",
    "UPDATE traffic SET one_usd = 9e999",
)


@pytest.mark.parametrize("sql", WRONG)
def test_a_row_that_cannot_be_right_is_left_out_and_said_once(
    path: Path, caplog: pytest.LogCaptureFixture, sql: str
):
    store = opened(path)
    store.write(history(row=BURST))
    with sqlite3.connect(path) as db:
        db.execute(sql)
    store.write(history(NOW + 1, BURST))
    for found in (store.read(0), store.read(0)):
        assert found.used.keys() | found.traffic.keys() == {NOW, NOW + 1}
        of_table = found.used if "used" in sql else found.traffic
        assert set(of_table) == {NOW + 1}
        assert report(found, "hour").usd <= 2.0
    assert caplog.text.count("left out of the bill: 1 of") == 1
    if "used" in sql:
        assert store.spent(0) == {"cloud": ((NOW + 1, 1.0),)}
    caplog.clear()
    assert report(read_file(path, 0), "hour").lines == report(store.read(0), "hour").lines
    assert caplog.text.count("left out of the bill: 1 of") == 1


@pytest.mark.parametrize("usd", ["'much'", "9e999", "-1"])
def test_a_lease_that_cannot_be_right_is_neither_said_nor_spent(
    path: Path, caplog: pytest.LogCaptureFixture, usd: str
):
    store = opened(path)
    store.write(History(), LEASED)
    with sqlite3.connect(path) as db:
        db.execute(f"UPDATE lease SET usd = {usd} WHERE hour = {NOW} AND provider = 'cloud'")
    assert opened(path).spent(0) == {"cloud": ((NOW - 1, 2.0),), "other": ((NOW, 1.0),)}
    assert "at cloud: $2 that" in caplog.text
    assert caplog.text.count("left out of the bill: 1 of") == 1


def test_a_name_that_is_no_utf_8_does_not_keep_the_rest_from_being_read(path: Path):
    store = opened(path)
    store.write(history())
    with sqlite3.connect(path) as db:
        db.execute("UPDATE used SET key = CAST(x'ff' AS TEXT)")
    assert seconds(store.read(0), row=ROW._replace(key="\ufffd")) == 10.0
