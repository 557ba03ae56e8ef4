"""What deployments wish for, and what those who have waited longer keep from the others."""

from pilotlight.fleet.fleet import DeploymentState, Fleet
from pilotlight.fleet.states import State
from pilotlight.policy import eviction, placement
from pilotlight.policy.placement import Claims, Freed, Wish


def first_wish(fleet: Fleet, d: DeploymentState) -> Wish:
    return all_wishes(fleet, d)[0]


def all_wishes(fleet: Fleet, d: DeploymentState) -> list[Wish]:
    """Any of those that sleep, the most recently used first; with none, a new one."""
    found = [Wish(r.awake, r) for r in d.resting() if r.state is State.ASLEEP and r.awake is not None]
    return found or [Wish(fleet.need_of(d))]


def staying(fleet: Fleet, d: DeploymentState) -> set[str]:
    """Ids of what does not go for one more of it: what nobody may evict, and its own."""
    return eviction.kept(fleet, d).union(r.id for r in d.current())


def with_claim(fleet: Fleet, d: DeploymentState, claims: Claims, may_go: Freed) -> Claims:
    """The claims so far and what this one waits for. `may_go`: all that is not `staying`."""
    wish = first_wish(fleet, d)
    need, sleeper = wish.need, wish.sleeper
    devices, addresses = claims.devices, claims.addresses
    if need.exclusive is not None:
        addresses = addresses | {need.exclusive}
    if need.gpus:
        found = placement.place(fleet, wish, Claims({}, devices), may_go, overhead=False)
        if found is not None:
            more = dict(zip(found.devices, found.gpu_memory, strict=True))
            for device, size in zip(sleeper.devices, sleeper.gpu_memory, strict=True) if sleeper else ():
                more[device] -= size
            devices = {i: devices.get(i, 0) + more.get(i, 0) for i in {**devices, **more}}
    size = max(0, need.memory - (sleeper.memory if sleeper is not None else 0))
    on = [name for name, host in fleet.hosts.items() if placement.has_enough(host.spec, need)]
    memory = {**claims.memory, **{name: claims.memory.get(name, 0) + size for name in on}}
    return Claims(memory, devices, addresses)
