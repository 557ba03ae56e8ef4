"""The wall clock, as the kernel is told of it."""

from pilotlight.clock import VirtualClock
from pilotlight.controller.wall import WallClock
from pilotlight.fleet.events import ClockSet


class Settable(VirtualClock):
    ahead = 1e9

    def wall(self) -> float:
        return self.now() + self.ahead


def test_it_is_told_within_a_minute_that_the_clock_was_set_and_only_then():
    clock, told = Settable(50.0), list[ClockSet]()
    wall = WallClock(clock, told.append)
    wall.start()
    assert wall.unix == 1e9
    clock.run_until(1000.0)
    assert told == []
    clock.ahead += 3600.0
    clock.run_until(1060.0)
    assert [e.unix for e in told] == [1e9 + 3600.0]
    clock.run_until(5000.0)
    assert len(told) == 1


def test_a_small_correction_is_none_and_many_small_ones_are_one():
    clock, told = Settable(0.0), list[ClockSet]()
    WallClock(clock, told.append).start()
    for minute in range(1, 11):
        clock.ahead += 0.3
        clock.run_until(60.0 * minute)
    assert [round(e.unix - 1e9, 3) for e in told] == [1.2, 2.4]


def test_who_has_stopped_says_nothing():
    clock, told = Settable(0.0), list[ClockSet]()
    wall = WallClock(clock, told.append)
    wall.start()
    wall.stop(), wall.stop()
    clock.ahead += 1e6
    clock.run_until(1000.0)
    assert told == []
