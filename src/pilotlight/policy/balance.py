"""Brings a deployment to what it wants: held requests to ready replicas, missing replicas started, room made."""

from pilotlight.fleet.actions import Action, Note
from pilotlight.fleet.fleet import NEVER, DeploymentState, Fleet
from pilotlight.fleet.states import State
from pilotlight.policy import effects, eviction, placement, routing, scaling
from pilotlight.policy.placement import Claims


def balance(
    fleet: Fleet, d: DeploymentState, now: float, out: list[Action], claims: Claims | None = None
) -> None:
    """`claims`: of those who have waited longer than it, where they are summed up already."""
    dispatch(fleet, d, out)
    if fleet.closing or d.removed:
        _content(fleet, d)
        return
    retire(fleet, d, now, out)
    shrink(fleet, d, now, out)
    live = len(d.current())
    want = max(scaling.wanted(d), 1 if d.outdated() else 0)
    if live >= want:
        _content(fleet, d)
    elif now < d.retry_at:
        _content(fleet, d)
        effects.look_again(fleet, d, d.retry_at)
    else:
        for _ in range(want - live):
            if not _order(fleet, d, now, out, claims):
                break


def dispatch(fleet: Fleet, d: DeploymentState, out: list[Action]) -> None:
    """Held requests to replicas with a free slot, first come first served."""
    while d.held:
        r = routing.pick(d)
        if r is None:
            return
        h = next(iter(d.held.values()))
        del d.held[h.id], fleet.holding[h.id]
        effects.assign(fleet, d, r, h.id, h.keep_alive, out, "was held until a replica had room")


def retire(fleet: Fleet, d: DeploymentState, now: float, out: list[Action]) -> None:
    """Replicas of an earlier declaration go once as many new ones are ready, or as many as are wanted."""
    outdated = d.outdated()
    if not outdated:
        return
    for r in outdated:
        if r.state is State.STARTING:
            effects.stop(r, now, out, "the configuration changed while it was starting")
    old = [r for r in outdated if r.state is not State.STOPPING]
    ready = sum(r.state is State.READY for r in d.current())
    if old and ready >= min(len(old), max(1, scaling.wanted(d))):
        for r in old:
            effects.drain(fleet, r, now, out, "replaced after a reload", NEVER)


def shrink(fleet: Fleet, d: DeploymentState, now: float, out: list[Action]) -> None:
    """A reload may have lowered max_replicas: those that are furthest from serving go first."""
    current = d.current()
    if len(current) <= d.spec.max_replicas:
        return
    current.sort(key=lambda r: (r.state is State.READY, r.in_flight))
    for r in current[: len(current) - d.spec.max_replicas]:
        effects.drain(fleet, r, now, out, "max_replicas was lowered", NEVER)


def settle(fleet: Fleet, now: float, out: list[Action]) -> None:
    """Room may have come free: whoever has waited longest is asked first."""
    of_all = of_bare = placement.NO_CLAIMS
    for name in list(fleet.waiting):
        d = fleet.deployments.get(name)
        if d is None:
            fleet.waiting.pop(name, None)
            continue
        balance(fleet, d, now, out, of_all if d.current() else of_bare)
        if name in fleet.waiting:
            of_all = _with_claim(fleet, d, of_all)
            if not d.current():
                of_bare = _with_claim(fleet, d, of_bare)


def within_budget(fleet: Fleet, now: float, out: list[Action]) -> None:
    """Idle replicas go where more is taken than there is: they were measured, or a reload has given less."""
    for r in eviction.idle(fleet, None, now):
        if placement.exceeds(fleet, r):
            out.append(Note(r.deployment, "more memory is taken than the budget has"))
            effects.stop(r, now, out, "least recently used, and the memory budget is exceeded")


def _order(fleet: Fleet, d: DeploymentState, now: float, out: list[Action], claims: Claims | None) -> bool:
    """One more replica: started, or room is being made for it, or its requests are told that it cannot be."""
    need = fleet.need_of(d)
    never = placement.never_fits(fleet, need, _staying(fleet, d))
    if never is not None:
        d.warm_asked = False
        reason = f"{d.spec.id} does not fit: {never}"
        if d.last_reason != reason:
            d.last_reason = reason
            out.append(Note(d.spec.id, reason))
        if not d.current() and not d.outdated():
            effects.refuse_held(fleet, d, out, 503, "model_does_not_fit", reason)
        _content(fleet, d)
        return False
    if claims is None:
        claims = _claims(fleet, d)
    place = placement.place(fleet, need, claims)
    if place is not None:
        effects.start(fleet, d, place, now, out, _reason(d))
        _content(fleet, d)
        return True
    if d.waiting_since == NEVER:
        d.waiting_since = now
        fleet.waiting[d.spec.id] = None
        out.append(Note(d.spec.id, f"{d.spec.id} waits for room"))
    _make_room(fleet, d, now, out, claims)
    return False


def _make_room(fleet: Fleet, d: DeploymentState, now: float, out: list[Action], claims: Claims) -> None:
    need = fleet.need_of(d)
    idle = eviction.idle(fleet, d, now)
    chosen = eviction.victims(fleet, need, claims, idle)
    if chosen is not None:
        for r in chosen:
            effects.stop(r, now, out, f"least recently used, makes room for {d.spec.id}")
        return
    if not any(r.state is State.STARTING for r in d.current()):
        old = sorted(d.outdated(), key=lambda r: r.in_flight)
        for r in eviction.victims(fleet, need, claims, [*idle, *old], eviction.LEAVING) or ():
            own = r.deployment == d.spec.id
            because = f"goes before {'its' if own else 'another'} successor: no room for both"
            effects.drain(fleet, r, now, out, because, NEVER)
    if not d.current():
        for r in eviction.yielding(fleet, d, need, now):
            effects.drain(fleet, r, now, out, f"makes room for {d.spec.id}, which has waited", NEVER)
    effects.look_again(fleet, d, eviction.next_chance(fleet, d, now))


def _staying(fleet: Fleet, d: DeploymentState) -> set[str]:
    """Ids of what does not go for one more of it: what nobody may evict, and its own."""
    return eviction.kept(fleet, d).union(r.id for r in d.current())


def _claims(fleet: Fleet, d: DeploymentState) -> Claims:
    """What those who have waited longer will take first. Who has a replica claims nothing from who has none."""
    claims = placement.NO_CLAIMS
    for name in fleet.waiting:
        if name == d.spec.id:
            break
        other = fleet.deployments.get(name)
        if other is not None and not (other.current() and not d.current()):
            claims = _with_claim(fleet, other, claims)
    return claims


def _with_claim(fleet: Fleet, d: DeploymentState, claims: Claims) -> Claims:
    """The claims so far and what this one waits for."""
    need = fleet.need_of(d)
    devices, addresses = claims.devices, claims.addresses
    if need.exclusive is not None:
        addresses = addresses | {need.exclusive}
    if need.gpus:
        stay = _staying(fleet, d)
        may_go = [r for r in fleet.replicas.values() if r.id not in stay]
        found = placement.place(fleet, need, Claims(0, devices), may_go)
        if found is not None:
            more = dict(zip(found.devices, found.gpu_memory, strict=True))
            devices = {i: devices.get(i, 0) + more.get(i, 0) for i in {**devices, **more}}
    return Claims(claims.memory + need.memory, devices, addresses)


def _reason(d: DeploymentState) -> str:
    if d.outdated():
        return "the configuration changed"
    if d.held and not d.current():
        return f"{len(d.held)} held, no replica"
    if d.warm_asked:
        return "warm was asked for"
    if len(d.current()) < d.spec.min_replicas:
        return f"min_replicas is {d.spec.min_replicas}"
    return f"{d.in_flight} in flight and {len(d.held)} held exceed {d.spec.target_requests} a replica"


def _content(fleet: Fleet, d: DeploymentState) -> None:
    d.waiting_since = NEVER
    fleet.waiting.pop(d.spec.id, None)
