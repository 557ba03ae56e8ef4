"""Those who wait for room get what a search that leaves nothing out would find for them."""

from collections.abc import Collection
from random import Random

import pytest

from pilotlight.fleet import events as ev
from pilotlight.fleet.deployment import Deployment, Device, Host, Need
from pilotlight.fleet.fleet import DeploymentState, Fleet
from pilotlight.fleet.states import GOING, State
from pilotlight.policy import balance, configure, eviction, placement, sleeping, warming, wishes
from pilotlight.policy.outlook import Outlook
from pilotlight.policy.placement import Claims, Freed, Less, Wish, all_of

from .heap import Script, simulate
from .traffic import GIB, INF


class Slow(Outlook):
    """Nothing is known beforehand: everyone is asked, every way is tried, every replica looked at."""

    def is_vain(self, d: DeploymentState) -> bool:
        return False

    def may_do(self, d: DeploymentState, found: list[Wish]) -> bool:
        return True

    def may_yield(self, d: DeploymentState, wish: Wish) -> bool:
        return self._now >= d.waiting_since + eviction.PATIENCE

    def may_go(self, d: DeploymentState) -> Freed:
        stay = wishes.staying(self._fleet, d)
        return Freed(all_of(r) for r in self._fleet.replicas.values() if r.id not in stay)

    def next_chance(self, d: DeploymentState) -> float:
        moments = [d.waiting_since + eviction.PATIENCE]
        for r in self._fleet.replicas.values():
            if r.state is State.READY:
                turn = eviction.turn(r)
                moments += [r.ready_at + turn, r.ready_at + max(turn, eviction.PATIENCE)]
        return min((m for m in moments if m > self._now), default=self._now + eviction.PATIENCE)


def slow_fewest(
    fleet: Fleet,
    wish: Wish,
    claims: Claims,
    ways: Collection[Less],
    leaving: Collection[State] = GOING,
    *,
    overhead: bool = True,
) -> list[Less] | None:
    coming: list[Less] = []
    for r in fleet.replicas.values():
        if r.state in leaving:
            coming.append(all_of(r))
        elif r.state is State.GOING_TO_SLEEP:
            d = fleet.deployments[r.deployment]
            coming.append(sleeping.less(d, r, d.spec.sleep_level))

    def enough(chosen: Collection[Less]) -> bool:
        free = Freed([*coming, *chosen])
        return placement.place(fleet, wish, claims, free, overhead=overhead) is not None

    chosen: dict[str, Less] = {}
    milder: dict[str, Less] = {}
    if not enough(()):
        for way in ways:
            name = way.replica.id
            if name in chosen:
                milder[name] = way if chosen[name].gone else chosen[name]
                if chosen[name].gone:
                    continue
            chosen[name] = way
            if enough(chosen.values()):
                break
        else:
            return None
    for name in sorted(chosen, key=lambda name: -chosen[name].cost):
        rest = {n: way for n, way in chosen.items() if n != name}
        if enough(rest.values()):
            chosen = rest
    for name in reversed(milder):
        if name in chosen and enough({**chosen, name: milder[name]}.values()):
            chosen[name] = milder[name]
    return list(chosen.values())


def pool(seed: int) -> list[ev.Event]:
    """Many models, a few kinds of need among them, on one host or two that hold a few of them; with sleep or not.
    Every third is a pool of equal models that sleep, each on its device, when another wants the room.
    """
    rng = Random(seed)
    names = [f"m{i}" for i in range(rng.choice([4, 8, 16]))]
    parked = seed % 3 == 0
    kinds = [Need(GIB, 1, 18 * GIB)] if parked else [_need(rng) for _ in range(rng.randint(1, 3))]
    can_sleep = ("sleep",) if parked else rng.choice([(), ("sleep",)])
    models = tuple(
        Deployment(
            id=name,
            need=rng.choice(kinds) if parked or rng.random() < 0.8 else _need(rng),
            min_replicas=low,
            max_replicas=low + rng.randint(1, 2),
            target_requests=rng.randint(1, 4),
            ttl=rng.choice([5.0, 60.0, INF]),
            ttl_to_zero=rng.choice([30.0, INF]),
            pinned=rng.random() < 0.03,
            techniques=can_sleep,
            sleep_after=rng.choice([3.0, INF]),
            sleep_level=rng.choice([1, 2]),
        )
        for name in names
        for low in [rng.choice([0] * 8 + [1])]
    )
    hosts = [
        Host(f"h{i}", rng.randint(8, 20) * more * GIB, tuple(Device(10 * i + k, 40 * GIB) for k in range(2)))
        for i in range(rng.randint(1, 2))
        for more in [4 if parked else 1]
    ]
    at, requests = 0.0, 0
    found: list[ev.Event] = [ev.Configured(at, models, tuple(hosts))]
    for _ in range(60):
        at += rng.choice([0.01, 0.3, 2.0, 2.0, 15.0])
        if rng.random() < 0.05:
            found.append(ev.Overhead(at, hosts[0].id, rng.randint(0, 3) * GIB))
        name = rng.choice(names)
        if rng.random() < 0.05:
            found.append(ev.SleepAsked(at, name))
        if rng.random() < 0.05 and not parked:
            found.append(ev.Sized(at, name, _need(rng)))
        for _ in range(rng.randint(1, 6)):
            requests, at = requests + 1, at + 1e-6
            found.append(ev.Arrived(at, f"r{requests}", name))
    return found


def _need(rng: Random) -> Need:
    return Need(
        rng.randint(0, 4) * GIB,
        rng.choice([0, 1, 1, 2]),
        rng.choice([None, 10 * GIB, 12 * GIB]),
        estimated=rng.random() < 0.3,
        gpu_estimated=rng.random() < 0.3,
        exclusive=rng.choice([None] * 6 + ["port 1"]),
    )


@pytest.mark.parametrize("seed", range(60))
def test_what_is_skipped_would_have_found_nothing(seed: int, monkeypatch: pytest.MonkeyPatch):
    events, script = pool(seed), Script(seed, fail=seed % 3 * 5)
    fast = simulate(events, script)
    for module in (balance, configure, warming):
        monkeypatch.setattr(module, "Outlook", Slow)
    monkeypatch.setattr(eviction, "fewest", slow_fewest)
    assert fast == simulate(events, script)


def test_the_pools_have_many_that_wait():
    logs = [simulate(pool(seed), Script(seed)) for seed in range(12)]
    waited = sum("waits for room" in getattr(action, "because", "") for log in logs for action in log)
    made = sum("makes room for" in getattr(action, "because", "") for log in logs for action in log)
    assert waited > 150 and made > 200
