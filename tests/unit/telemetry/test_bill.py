"""The bill of a running server, on virtual time: a dedicated device is a dollar a second, one on demand 2.5."""

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from pilotlight.clock import VirtualClock
from pilotlight.cost.capacity import Devices, Price
from pilotlight.cost.declared import Told, told
from pilotlight.cost.history import HOUR, History
from pilotlight.cost.report import report
from pilotlight.cost.rows import Row, replica_seconds
from pilotlight.fleet.actions import Moved, Rented
from pilotlight.fleet.records import RequestRecord
from pilotlight.fleet.states import State
from pilotlight.spec.simulation import Prices
from pilotlight.telemetry.bill import FLUSH, LiveBill
from pilotlight.telemetry.bill_metrics import BillMetrics
from pilotlight.telemetry.bill_store import BillStore
from pilotlight.telemetry.bill_terms import Sold, Terms

BASE = 1000 * HOUR


class Clock(VirtualClock):
    """With a wall clock that can be set."""

    offset = 0.0

    def wall(self) -> float:
        return self.now() + self.offset


TERMS = Terms(Price(1.0, 2.5, 3600.0), {"m": Sold(Devices(), 2)}, 2.0)


def made(folder: Path, clock: Clock) -> LiveBill:
    bill = LiveBill(clock, BillStore(folder / "bill.sqlite"), TERMS, lambda name: 40.0, lambda: 0.01)
    bill.open(lambda spent: None)
    return bill


@pytest.fixture
def clock() -> Clock:
    return Clock(BASE)


def move(bill: LiveBill, at: float, was: State | None, state: State, replica: str = "m-1") -> None:
    bill.decided(Moved(at, replica, "m", was, state, None, ""))


def up(bill: LiveBill, clock: Clock, replica: str = "m-1") -> None:
    move(bill, clock.now(), None, State.STARTING, replica)
    move(bill, clock.now(), State.STARTING, State.READY, replica)


def record(request: str, clock: Clock, wait: float = 0.0, **more: object) -> RequestRecord:
    now = clock.now()
    fields: dict[str, object] = {"outcome": "ok", "key": "alice", **more}
    if wait:
        fields |= {"replica_ready_at": now, "waiting_since": now - wait, "assigned_at": now}
    return RequestRecord(
        request_id=request, model="m", path="/", stream=False, arrived_at=now - wait, arrived_unix=now - wait,
        ended_at=now, status=200, **fields,  # type: ignore[arg-type]
    )  # fmt: skip


def all_rows(history: History) -> dict[Row, float]:
    found: dict[Row, float] = {}
    for rows in history.used.values():
        for row, amount in rows.items():
            found[row] = found.get(row, 0.0) + amount.seconds
    return found


async def test_a_request_is_under_its_key_and_class(tmp_path: Path, clock: Clock):
    bill = made(tmp_path, clock)
    up(bill, clock)
    bill.began("r", "m-1", "m", "alice", "batch")
    clock.run_until(BASE + 3)
    bill.told(record("r", clock))
    clock.run_until(BASE + 4)
    found = all_rows(await bill.history(0))
    assert found == {Row("m", "alice", "batch"): pytest.approx(3), Row("m", rung="idle"): pytest.approx(1)}
    await bill.close()


async def test_a_replica_that_has_a_request_no_more_is_idle_though_the_request_goes_on(
    tmp_path: Path, clock: Clock
):
    bill = made(tmp_path, clock)
    up(bill, clock)
    bill.began("r", "m-1", "m", "alice", "standard")
    clock.run_until(BASE + 1)
    bill.began("r", "", "m", "alice", "standard")
    clock.run_until(BASE + 4)
    bill.told(record("r", clock))
    seconds = {row.rung: s for row, s in all_rows(await bill.history(0)).items()}
    assert seconds == {"serving": 1.0, "idle": 3.0}
    await bill.close()


async def test_an_hour_that_ends_parts_what_lasts_longer(tmp_path: Path):
    clock = Clock(BASE + HOUR - 100)
    bill = made(tmp_path, clock)
    up(bill, clock)
    clock.run_until(BASE + HOUR + 50)
    history = await bill.history(0)
    assert [replica_seconds(history.used[1000 + k]) for k in (0, 1)] == pytest.approx([100, 50], abs=0.05)
    await bill.close()


async def test_a_restart_goes_on_and_what_was_flushed_survives_without_a_close(tmp_path: Path, clock: Clock):
    bill = made(tmp_path, clock)
    up(bill, clock)
    clock.run_until(BASE + 2 * FLUSH + 1)
    assert bill._writing is not None
    await bill._writing  # and now the process is killed
    later = Clock(clock.now() + 100)
    again = made(tmp_path, later)
    up(again, later)
    later.run_until(later.now() + 10)
    assert sum(all_rows(await again.history(0)).values()) == pytest.approx(2 * FLUSH + 10)
    await again.close()


async def test_the_wall_clock_may_be_set_and_no_second_is_lost_or_doubled(tmp_path: Path, clock: Clock):
    bill = made(tmp_path, clock)
    up(bill, clock)
    clock.run_until(BASE + 20)
    clock.offset = 5 * HOUR
    clock.run_until(BASE + 40)
    clock.offset = -HOUR
    clock.run_until(BASE + 60)
    history = await bill.history(0)
    assert sum(all_rows(history).values()) == pytest.approx(60)
    assert {1000, 1005, 999} <= set(history.used)
    await bill.close()


async def test_a_provider_is_paid_once_and_known_after_a_restart(tmp_path: Path, clock: Clock):
    bill = made(tmp_path, clock)
    bill.charged("cloud", "m", 0.5, key="alice", request_class="standard", seconds=2.0)
    bill.charged("cloud", "m", 0.25, ping=True)
    bill.charged("cloud", "m", float("nan"))
    await bill.close()
    again = LiveBill(clock, BillStore(tmp_path / "bill.sqlite"), TERMS, lambda name: 40.0, lambda: 0.01)
    assert again.open(lambda spent: None) == {"cloud": ((1000, 0.75),)}
    rows = (await again.history(0)).used[1000]
    assert rows[Row("m", "alice", "standard", "burst", "cloud")].usd == 0.5
    assert rows[Row("m", rung="pings", provider="cloud")].usd == 0.25
    await again.close()


async def test_waiting_counts_for_cold_requests_only(tmp_path: Path, clock: Clock):
    bill = made(tmp_path, clock)
    bill.told(record("warm", clock))
    bill.told(record("short", clock, wait=1.5))
    bill.told(record("cold", clock, wait=10.0))
    bill.told(record("batch", clock, wait=60.0, request_class="batch"))
    bill.told(record("refused", clock, outcome="refused"))
    found = (await bill.history(0)).traffic[1000]["m"]
    assert (found.requests, found.cold) == (4, 1)
    assert found.waited == pytest.approx(11.5) and found.waiting_usd == pytest.approx(0.01)
    await bill.close()


async def test_what_the_same_traffic_would_have_cost(tmp_path: Path, clock: Clock):
    bill = made(tmp_path, clock)
    up(bill, clock)
    up(bill, clock, "m-2")
    for i in range(3):
        bill.began(f"r{i}", "m-1", "m", None, "standard")
    clock.run_until(BASE + 10)
    for i in range(3):
        bill.told(record(f"r{i}", clock))
    clock.run_until(BASE + 100)
    found = (await bill.history(0)).traffic[1000]["m"]
    assert found.peak == 2, "three requests, two at a time in a replica"
    assert found.one_usd == pytest.approx(100.0)
    assert found.scale_to_zero_usd == pytest.approx(2 * (10 + 40) * 2.5)
    await bill.close()


async def test_a_server_with_nothing_up_writes_once_an_hour(tmp_path: Path, clock: Clock):
    bill = made(tmp_path, clock)
    clock.run_until(BASE + 100)
    assert bill._writing is None
    clock.run_until(BASE + HOUR + 1)
    assert bill._writing is not None
    await bill.close()


async def test_a_reload_prices_what_comes_after_it(tmp_path: Path, clock: Clock):
    bill = made(tmp_path, clock)
    up(bill, clock)
    clock.run_until(BASE + 10)
    bill.declare(Terms(Price(2.0, 4.0, 3600.0), TERMS.models, 2.0))
    clock.run_until(BASE + 20)
    rows = (await bill.history(0)).used[1000]
    assert rows[Row("m", rung="idle")].usd == pytest.approx(25 + 40)
    await bill.close()


async def test_what_was_not_written_is_there_all_the_same(tmp_path: Path, clock: Clock):
    bill = LiveBill(
        clock, BillStore(tmp_path / "nowhere" / "b.sqlite"), TERMS, lambda name: 1.0, lambda: 0.01
    )
    bill.open(lambda spent: None)
    bill.decided(Rented(clock.now(), "m", 1, ""))
    up(bill, clock)
    clock.run_until(BASE + 30)
    assert sum(all_rows(await bill.history(0)).values()) == pytest.approx(30)
    assert bill.totals().used[0][Row("m", rung="idle")].usd == pytest.approx(30)
    await bill.close()


def sample(prices: Told, bill: LiveBill) -> dict[str, float]:
    """What a scrape has, by name and labels."""
    registry = CollectorRegistry()
    registry.register(BillMetrics(bill.totals, lambda: prices))
    lines = [line for line in generate_latest(registry).decode().splitlines() if line[0] != "#"]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


async def test_metrics_have_all_that_the_bill_has_since_the_server_began(tmp_path: Path, clock: Clock):
    bill = made(tmp_path, clock)
    up(bill, clock)
    for n, key in enumerate(("alice", "bob", "bob")):
        bill.began(f"r{n}", "m-1", "m", key, "batch" if key == "alice" else "standard")
    bill.charged("far", "m", 0.5, key="bob", request_class="standard")
    bill.charged("far", "m", 0.25, ping=True)
    clock.run_until(BASE + 3 * HOUR)
    for n in range(3):
        bill.told(record(f"r{n}", clock, wait=9.0 if n == 2 else 0.0))
    found = sample(told(Prices(serverless_premium=2.5)), bill)
    seconds = 3 * HOUR
    assert found['pilotlight_cost_usd_total{model="m",rung="serving"}'] == pytest.approx(2.5 * seconds)
    assert found['pilotlight_cost_usd_total{model="m",rung="pings"}'] == 0.25
    assert found['pilotlight_key_cost_usd_total{class="batch",key="alice"}'] == pytest.approx(
        2.5 * seconds / 3
    )
    assert found['pilotlight_key_cost_usd_total{class="standard",key="bob"}'] == pytest.approx(
        0.5 + 2.5 * seconds * 2 / 3
    )
    assert found['pilotlight_key_cost_usd_total{class="",key=""}'] == 0.25
    used, by_key = (sum(v for k, v in found.items() if k.startswith(f"pilotlight_{name}_usd"))
                    for name in ("cost", "key_cost"))  # fmt: skip
    assert used == pytest.approx(by_key)
    # Three requests at once with two slots each: two replicas, each of them a spell with a start of 40 s.
    assert found['pilotlight_otherwise_usd_total{model="m",way="always_on"}'] == pytest.approx(2 * seconds)
    assert found['pilotlight_otherwise_usd_total{model="m",way="scale_to_zero"}'] == pytest.approx(
        2.5 * (2 * seconds + 2 * 40)
    )
    assert found['pilotlight_waiting_usd_total{model="m"}'] == pytest.approx(0.01)
    info = 'pilotlight_prices_info{date="2026-06-30",examples="true",gpu_month_usd="2500",serverless_premium="2.5"}'
    assert found[info] == 1.0
    own = sample(told(Prices(3000.0, 2.0, 3600.0)), bill)
    assert (
        'pilotlight_prices_info{date="",examples="false",gpu_month_usd="3000",serverless_premium="2"}' in own
    )
    billed = report(await bill.history(0))
    assert used == pytest.approx(billed.usd), "the same as GET /cost"
    assert billed.otherwise.always_on_usd == pytest.approx(2 * seconds)
    await bill.close()


async def test_one_that_was_never_opened_touches_no_file(tmp_path: Path, clock: Clock):
    bill = LiveBill(clock, BillStore(tmp_path / "b.sqlite"), TERMS, lambda name: 1.0, lambda: 0.01)
    await bill.close()
    assert list(tmp_path.iterdir()) == []
