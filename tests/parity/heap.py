"""The simulated side of the parity tests: a heap, the same step, and a scripted substrate."""

import heapq
import itertools
import zlib
from collections.abc import Sequence

from pilotlight.fleet import actions as ac
from pilotlight.fleet import events as ev
from pilotlight.fleet.fleet import Fleet
from pilotlight.policy.step import step


class Script:
    """How the pretended world behaves: decided by hashing a name, so both loops meet the same world."""

    def __init__(self, seed: int, fail: int = 10, crash: int = 0) -> None:
        self.seed, self.fail, self.crash = seed, fail, crash

    def _draw(self, *what: object) -> int:
        return zlib.crc32(repr((self.seed, *what)).encode())

    def start(self, replica: str) -> tuple[float, bool]:
        """Seconds until it is ready (True) or has failed (False)."""
        n = self._draw("start", replica)
        return 0.05 + (n % 997) / 100, n % 100 >= self.fail

    def stop(self, replica: str) -> float:
        return 0.01 + (self._draw("stop", replica) % 97) / 100

    def service(self, request: str) -> float:
        return 0.01 + (self._draw("service", request) % 499) / 50

    def bounces(self, request: str, replica: str) -> bool:
        return self._draw("bounce", request, replica) % 100 < self.crash

    def sleep(self, replica: str, at: float) -> tuple[float, int | None]:
        """Seconds until it sleeps, and GiB that it takes then; None when it cannot."""
        n = self._draw("sleep", replica, round(at, 6))
        return 0.01 + (n % 97) / 50, None if n % 13 == 0 else n % 4

    def wake(self, replica: str, at: float) -> tuple[float, str]:
        """Seconds until it is `awake`, has `died`, or is found to `hang`."""
        n = self._draw("wake", replica, round(at, 6))
        return 0.01 + (n % 97) / 30, "died" if n % 11 == 0 else "hangs" if n % 17 == 0 else "awake"

    def trim(self, host: str, at: float) -> int:
        """GiB that zygotes and primed processes take after it: none, or part of what they took, or even more."""
        n = self._draw("trim", host, round(at, 6))
        return 0 if n % 2 else n // 2 % 8

    def remote(self, request: str, provider: str) -> tuple[float, float, int, float]:
        """Seconds to a provider's first byte and to its last, what becomes of it, and the share of its dearest that
        it costs, which may be nonsense."""
        n = self._draw("remote", request, provider)
        share = [0.0, 0.1, 0.5, 1.0, float("nan"), -1.0][n // 11 % 6]
        return 0.02 + (n % 89) / 20, 0.03 + (n % 397) / 20, n % 11, share

    def survives(self, replica: str, at: float) -> bool:
        return self._draw("probe", replica, round(at, 6)) % 2 == 0


class World:
    """Answers the kernel's actions with later events. `send(at, event factory)` is how it schedules them."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.stopping: set[str] = set()

    def consequences(self, action: ac.Action, now: float) -> list[tuple[float, ev.Event]]:
        s = self.script
        match action:
            case ac.Start():
                seconds, works = s.start(action.replica)
                at = now + seconds
                if works:
                    return [(at, ev.Ready(at, action.replica))]
                return [(at, ev.StartFailed(at, action.replica, "scripted"))]
            case ac.Stop():
                at = now + s.stop(action.replica)
                return [(at, ev.Stopped(at, action.replica))]
            case ac.Assign():
                if s.bounces(action.request, action.replica):
                    return [(now + 0.002, ev.Bounced(now + 0.002, action.request))]
                at = now + s.service(action.request)
                return [(at, ev.Finished(at, action.request))]
            case ac.Probe():
                at = now + 0.003
                if s.survives(action.replica, now):
                    return [(at, ev.Recovered(at, action.replica))]
                gone = at + s.stop(action.replica)
                return [
                    (at, ev.Failing(at, action.replica, "scripted")),
                    (gone, ev.Died(gone, action.replica, "scripted")),
                ]
            case ac.Sleep():
                seconds, size = s.sleep(action.replica, now)
                at = now + seconds
                if size is None:
                    return [(at, ev.SleepFailed(at, action.replica, "scripted"))]
                return [(at, ev.Slept(at, action.replica, size * 2**30, size * 2**30))]
            case ac.Wake():
                seconds, outcome = s.wake(action.replica, now)
                at = now + seconds
                if outcome == "awake":
                    return [(at, ev.Ready(at, action.replica))]
                gone = at + s.stop(action.replica)
                died = [
                    (at, ev.Failing(at, action.replica, "scripted")),
                    (gone, ev.Died(gone, action.replica, "scripted")),
                ]
                return died if outcome == "died" else []
            case ac.Trim():
                at = now + 0.004
                return [(at, ev.Overhead(at, action.host, s.trim(action.host, now) * 2**30))]
            case ac.Send() | ac.Ping():
                return self._sent(action, now)
            case ac.WakeAt():
                return [(action.at, ev.Tick(action.at))]
            case _:
                return []

    def _sent(self, action: ac.Send | ac.Ping, now: float) -> list[tuple[float, ev.Event]]:
        first, last, outcome, share = self.script.remote(action.request, action.provider)
        who, usd = (action.request, action.provider), action.dearest_usd * share
        if outcome < len(KINDS):
            at, wait = now + first, [None, 0.4, 20.0, 1e9][int(last * 100) % 4]
            return [(at, ev.Declined(at, *who, KINDS[outcome], "scripted", wait, usd))]
        at = now + first + last
        found: list[tuple[float, ev.Event]] = [(at, ev.Charged(at, *who, usd, ok=outcome != len(KINDS)))]
        if outcome != len(KINDS) + 1:  # else its client has left before
            found.insert(0, (now + first, ev.Answered(now + first, *who, whole=outcome == len(KINDS) + 2)))
        if isinstance(action, ac.Send):
            found.append((at, ev.Finished(at, action.request)))
        return found


KINDS = ("busy", "unreachable", "timeout", "denied")


def horizon(traffic: Sequence[ev.Event]) -> float:
    """When both loops stop looking: a deployment with min_replicas that cannot start tries for ever."""
    return traffic[-1].at + 2000.0


def simulate(traffic: Sequence[ev.Event], script: Script, watch=None) -> list[ac.Action]:
    """The other loop: a heap of (moment, order, event) and nothing else."""
    world, order = World(script), itertools.count()
    heap = [(e.at, next(order), e) for e in traffic]
    heapq.heapify(heap)
    fleet, log = Fleet(), []
    wake = None
    end = horizon(traffic)
    while heap and heap[0][0] <= end:
        now, _, event = heapq.heappop(heap)
        if isinstance(event, ev.Tick) and event is not wake:
            continue
        fleet, actions = step(fleet, event)
        log += actions
        if watch is not None:
            watch(fleet, event, actions)
        for action in actions:
            for at, consequence in world.consequences(action, now):
                if isinstance(consequence, ev.Tick):
                    wake = consequence
                heapq.heappush(heap, (at, next(order), consequence))
    return log
