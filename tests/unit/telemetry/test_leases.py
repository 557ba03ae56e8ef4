"""What a provider may spend is on the disk before a request goes out, and no longer than that."""

import asyncio
import threading
from collections.abc import Mapping

import pytest

from pilotlight.clock import VirtualClock
from pilotlight.telemetry.leases import Key, Leases

HOUR = 3600


class Disk:
    """What stands there; `fails` is what a write says or raises then."""

    def __init__(self) -> None:
        self.leases: dict[Key, float] = {}
        self.writes = 0
        self.works: bool | Exception = True
        self.free = threading.Event()
        self.free.set()

    def write(self, leases: Mapping[Key, float]) -> bool:
        self.writes += 1
        self.free.wait(60)
        if isinstance(self.works, Exception):
            raise self.works
        if self.works:
            self.leases.update(leases)
        return self.works

    def flush(self, leases: Leases) -> None:
        """As the bill is written."""
        leases.collect()
        self.write(leases.due())
        leases.written(True)
        self.leases = {key: usd for key, usd in self.leases.items() if usd}


@pytest.fixture
def disk() -> Disk:
    return Disk()


def made(disk: Disk, clock: VirtualClock | None = None, spare: float | None = 1.0) -> Leases:
    return Leases(clock or VirtualClock(HOUR), disk.write, lambda provider: spare, asyncio.Lock())


async def test_what_a_request_can_cost_is_on_the_disk_before_it_goes_out(disk: Disk):
    leases = made(disk)
    await leases.take("r1", "far", 5.0)
    assert disk.leases == {("far", 1): 6.0}
    await leases.take("r2", "far", 1.0)
    assert disk.writes == 1, "what is spare is enough for it"
    await leases.take("r3", "far", 1.0)
    assert disk.leases == {("far", 1): 8.0}


async def test_many_at_once_wait_for_one_write(disk: Disk):
    leases = made(disk)
    await asyncio.gather(*(leases.take(f"r{i}", "far", 2.0) for i in range(200)))
    assert disk.leases["far", 1] >= 400.0
    assert disk.writes <= 2


async def test_who_gives_up_waiting_leaves_the_write_to_the_others(disk: Disk):
    leases = made(disk)
    first = asyncio.ensure_future(leases.take("r1", "far", 2.0))
    await asyncio.sleep(0)
    second = asyncio.ensure_future(leases.take("r2", "far", 2.0))
    first.cancel()
    leases.settle("r1", "far", 0.0)
    await second
    assert disk.leases["far", 1] >= 2.0


async def test_a_provider_without_a_budget_is_none_of_it(disk: Disk):
    leases = made(disk, spare=None)
    await leases.take("r1", "far", 5.0)
    leases.settle("r1", "far", 5.0)
    assert leases.quiet and not disk.writes


async def test_each_hour_has_a_lease_of_its_own(disk: Disk):
    clock = VirtualClock(HOUR)
    leases = made(disk, clock)
    await leases.take("r1", "far", 5.0)
    clock.run_until(2 * HOUR)
    await leases.take("r2", "far", 5.0)
    assert disk.leases == {("far", 1): 6.0, ("far", 2): 6.0}
    leases.settle("r1", "far", 1.0)
    disk.flush(leases)
    assert disk.leases == {("far", 2): 6.0}


async def test_a_lease_covers_what_is_charged_until_the_bill_has_it(disk: Disk):
    leases = made(disk, spare=0.0)
    await leases.take("r1", "far", 5.0)
    leases.settle("r1", "far", 4.0)
    await leases.take("r2", "far", 5.0)
    assert disk.leases["far", 1] >= 9.0
    leases.settle("r2", "far", 0.0)
    disk.flush(leases)
    assert not disk.leases and leases.quiet


class Purse:
    """A budget of 10, of which all that is taken is set aside before."""

    def __init__(self, disk: Disk) -> None:
        self.left = 10.0
        self.leases = Leases(VirtualClock(HOUR), disk.write, lambda provider: self.left, asyncio.Lock())

    async def take(self, request: str, usd: float) -> None:
        self.left -= usd
        await self.leases.take(request, "far", usd)


async def test_what_is_spare_is_what_the_budget_has_left_when_it_is_written(disk: Disk):
    purse = Purse(disk)
    await asyncio.gather(*(purse.take(f"r{i}", 2.0) for i in range(5)))
    assert disk.leases == {("far", 1): 10.0}


async def test_a_bill_and_the_leases_beside_it_are_no_more_than_the_budget(disk: Disk):
    purse = Purse(disk)
    await purse.take("r1", 4.0)
    purse.leases.settle("r1", "far", 4.0)
    await purse.take("r2", 6.0)
    assert disk.leases == {("far", 1): 10.0}
    disk.flush(purse.leases)
    assert disk.leases == {("far", 1): 6.0}, "4 are in the bill"


async def test_what_comes_while_the_bill_is_written_is_covered(disk: Disk):
    leases = made(disk, spare=0.0)
    await leases.take("r1", "far", 5.0)
    leases.settle("r1", "far", 5.0)
    leases.collect()
    due = leases.due()
    await leases.take("r2", "far", 3.0)
    assert disk.leases["far", 1] >= 3.0
    leases.written(True)
    assert due == {("far", 1): 0.0} and not leases.quiet


async def test_a_bill_that_could_not_be_written_is_covered_on(disk: Disk):
    leases = made(disk, spare=0.0)
    await leases.take("r1", "far", 5.0)
    leases.settle("r1", "far", 5.0)
    leases.collect()
    leases.due()
    leases.written(False)
    await leases.take("r2", "far", 3.0)
    assert disk.leases["far", 1] >= 8.0


@pytest.mark.parametrize("works", [False, RuntimeError("no threads")])
async def test_a_disk_that_cannot_be_written_keeps_nobody(disk: Disk, works: bool | Exception):
    disk.works = works
    leases = made(disk)
    await asyncio.wait_for(leases.take("r1", "far", 5.0), 5)
    leases.settle("r1", "far", 5.0)


async def test_what_was_never_taken_is_never_settled(disk: Disk):
    leases = made(disk)
    leases.settle("r1", "far", 5.0)
    await leases.take("r1", "far", 5.0)
    leases.settle("r1", "far", 1.0)
    leases.settle("r1", "far", 1.0)
    disk.flush(leases)
    assert leases.quiet


async def test_only_the_first_waits_for_a_disk_that_fails(disk: Disk):
    disk.works = False
    leases = made(disk)
    await leases.take("r1", "far", 5.0)
    disk.free.clear()
    try:
        await asyncio.wait_for(leases.take("r2", "far", 5.0), 5)
        await asyncio.wait_for(leases.take("r3", "far", 5.0), 5)
    finally:
        disk.free.set()
