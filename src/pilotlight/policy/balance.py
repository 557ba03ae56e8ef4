"""Brings a deployment to what it wants: held requests to ready replicas, missing replicas started, room made."""

from pilotlight.fleet.actions import Action, Note
from pilotlight.fleet.classes import BATCH, STANDARD
from pilotlight.fleet.fleet import NEVER, DeploymentState, Fleet
from pilotlight.fleet.states import COMING, READY, RESTING, SERVING, State
from pilotlight.policy import (
    burst,
    classes,
    effects,
    eviction,
    local_promise,
    placement,
    room,
    routing,
    scaling,
    urgent,
    warming,
    wishes,
)
from pilotlight.policy import demand as traffic
from pilotlight.policy.outlook import Outlook
from pilotlight.policy.placement import Wish
from pilotlight.units import format_size


def balance(
    fleet: Fleet, d: DeploymentState, now: float, out: list[Action], outlook: Outlook | None = None
) -> None:
    """`outlook`: what is known of the room there is, where others were asked before."""
    if outlook is not None and outlook.is_vain(d):
        if d.demand is not None:
            scaling.wanted(fleet, d, now)  # follows its load
        effects.look_again(fleet, d, outlook.next_chance(d))
        return
    if outlook is not None:
        outlook.its_turn(d)
    if d.held or d.patient:
        dispatch(fleet, d, now, out)
    if fleet.closing or d.removed:
        _content(fleet, d)
        return
    if d.warming is not None:
        warming.let_go(fleet, d, now, out)
    live = _alike(d)
    if live is None:
        retire(fleet, d, now, out)
        shrink(fleet, d, now, out)
        # One that is going to sleep is woken as soon as it sleeps.
        live = len(d.current()) + sum(r.state is State.GOING_TO_SLEEP for r in d.resting())
    want = scaling.wanted(fleet, d, now)
    if want < 1 and d.outdated():
        want = 1
    if live >= want:
        _content(fleet, d)
    elif now < d.retry_at:
        _content(fleet, d)
        effects.look_again(fleet, d, d.retry_at)
    else:
        outlook = outlook or Outlook(fleet, now, out)
        for _ in range(want - live):
            if not _order(fleet, d, now, out, outlook.renewed()):
                break
    if d.warming is not None:
        warming.tend(fleet, d, now, out)


def _alike(d: DeploymentState) -> int | None:
    """How many serve, or will, of a deployment whose replicas are all as declared; None where some are not, or rest,
    or are too many: there is more to see to. One look at each replica, for this runs with every start and stop."""
    mark, n = d.spec.fingerprint, 0
    for r in d.replicas.values():
        if r.fingerprint != mark or r.state in RESTING:
            return None
        if r.state in SERVING:
            n += 1
    return n if n <= d.spec.max_replicas else None


def dispatch(fleet: Fleet, d: DeploymentState, now: float, out: list[Action]) -> None:
    """Held requests to replicas with a free slot, critical ones first, then first come first served; those for which a
    provider is earlier by now leave."""
    if d.patient:
        classes.come_of_age(fleet, d, now)
    held = d.held
    while held:
        r = routing.pick(d)
        if r is None:
            break
        request = next(iter(d.urgent or held))
        h = held.pop(request)
        del fleet.holding[request]
        rank = h.rank
        if now - h.at > fleet.goal.wait and rank != BATCH:
            traffic.was_cold(fleet, d, h.at, now)
        effects.assign(fleet, d, r, request, h.keep_alive, out, "was held until a replica had room")
        if rank != STANDARD:
            classes.assigned(fleet, d, h)
        elif d.bursting is not None:
            local_promise.time(fleet, d, h, now)
    if d.held and d.bursting is not None:
        burst.release(fleet, d, now, out)
    if d.patient:
        classes.serve(fleet, d, now, out)


def retire(fleet: Fleet, d: DeploymentState, now: float, out: list[Action]) -> None:
    """Replicas of an earlier declaration go once as many new ones are ready, or as many as are wanted."""
    for r in list(d.replicas.values()):
        if r.state in RESTING and r.fingerprint != d.spec.fingerprint:
            effects.stop(r, now, out, "the configuration changed while it slept")
    outdated = d.outdated()
    if not outdated:
        return
    for r in outdated:
        if r.state in COMING:
            effects.stop(r, now, out, "the configuration changed while it was starting")
    old = [r for r in outdated if r.state is not State.STOPPING]
    ready = sum(r.state is READY for r in d.current())
    if old and ready >= min(len(old), max(1, scaling.wanted(fleet, d, now))):
        for r in old:
            effects.drain(fleet, r, now, out, "replaced after a reload", NEVER)


def shrink(fleet: Fleet, d: DeploymentState, now: float, out: list[Action]) -> None:
    """A reload may have lowered max_replicas: those that are furthest from serving go first."""
    current, resting = d.current(), d.resting()
    for r in resting[max(0, d.spec.max_replicas - len(current)) :]:
        effects.stop(r, now, out, "max_replicas was lowered")
    if len(current) <= d.spec.max_replicas:
        return
    current.sort(key=lambda r: (r.state is READY, r.in_flight))
    for r in current[: len(current) - d.spec.max_replicas]:
        effects.drain(fleet, r, now, out, "max_replicas was lowered", NEVER)


def settle(fleet: Fleet, now: float, out: list[Action]) -> None:
    """Room may have come free: whoever has waited longest is asked first."""
    if not fleet.waiting:
        return
    line = list(fleet.waiting)
    outlook = Outlook.in_turn(fleet, now, out, line)
    for name in line:
        d = fleet.deployments.get(name)
        if d is None:
            fleet.waiting.pop(name, None)
        else:
            outlook = outlook.renewed()
            balance(fleet, d, now, out, outlook)


def within_budget(fleet: Fleet, now: float, out: list[Action]) -> None:
    """Idle replicas go where more is taken than there is: they were measured, or a reload has given less."""
    for way in eviction.ways(fleet, eviction.Survey(fleet, now).idle(), now):
        if way.gone and placement.exceeds(fleet, way.replica):
            out.append(Note(way.replica.deployment, "more memory is taken than the budget has"))
            effects.stop(way.replica, now, out, "least worth keeping, and the memory budget is exceeded")
            effects.forgo_warmer(fleet.deployments[way.replica.deployment])


def _order(fleet: Fleet, d: DeploymentState, now: float, out: list[Action], outlook: Outlook) -> bool:
    """One more replica: started, or room is being made for it, or its requests are told that it cannot be."""
    wish = wishes.first_wish(fleet, d)
    if d.waiting_since == NEVER and wish.sleeper is None and _come_up(fleet, d, wish, now, out, outlook):
        return True  # as nearly always, and without a look at every other deployment
    found = _wishes(fleet, d, now, out, outlook)
    outlook = outlook.renewed()
    wish, never = found[0], None
    if wish.sleeper is None and not outlook.can_fit(d, wish):
        never = placement.never_fits(fleet, wish.need, wishes.staying(fleet, d))
    if never is not None:
        alone = not d.current() and not d.outdated() and not any(r.state in SERVING for r in d.small)
        if alone and _forget_measured(fleet, d, out):
            return _order(fleet, d, now, out, outlook.renewed())
        d.want_up()
        reason = f"{d.spec.id} does not fit: {never}"
        if d.last_reason != reason:
            d.last_reason = reason
            out.append(Note(d.spec.id, reason))
        if alone:
            burst.release(fleet, d, now, out, refused=True)
            effects.refuse_held(fleet, d, out, 503, "model_does_not_fit", reason)
        _content(fleet, d)
        return False
    may_do = outlook.may_do(d, found)
    if may_do and any(_come_up(fleet, d, wish, now, out, outlook) for wish in found):
        return True
    if scaling.only_hopes(d):
        _content(fleet, d)
        return False
    if d.waiting_since == NEVER:
        d.waiting_since = now
        fleet.waiting[d.spec.id] = None
        out.append(Note(d.spec.id, f"{d.spec.id} waits for room"))
        outlook.joined()
    return _make_room(fleet, d, found, may_do, now, out, outlook)


def _forget_measured(fleet: Fleet, d: DeploymentState, out: list[Action]) -> bool:
    """Whether what one grew to was all that is in the way: a single huge prompt can do that, and no later request
    shall be refused for it. The next is taken to need what the first was."""
    if placement.never_fits(fleet, d.spec.need, wishes.staying(fleet, d)) is not None:
        return False
    took, before = format_size(d.measured), format_size(d.spec.need.memory)
    gpu = f" and {format_size(d.measured_gpu)} of a GPU" if d.measured_gpu else ""
    out.append(
        Note(d.spec.id, f"one took {took}{gpu}, which cannot fit; the next is taken to need {before} again")
    )
    d.measured, d.measured_gpu = 0, 0
    return True


def _make_room(
    fleet: Fleet,
    d: DeploymentState,
    found: list[Wish],
    may_do: bool,
    now: float,
    out: list[Action],
    outlook: Outlook,
) -> bool:
    """For whichever wish it can be made at once, else for the first. Whether another was started after all."""
    wish, idle, ways = found[0], None, None
    if may_do:
        if any(room.trim_alone(fleet, d, wish, now, out, outlook) for wish in found):
            effects.look_again(fleet, d, outlook.renewed().next_chance(d))
            return False
        idle = outlook.idle(d)
        ways = eviction.ways(fleet, idle, now)
        for each in found:
            chosen = eviction.fewest(fleet, each, outlook.claims(d), ways)
            if chosen is not None:
                room.evict(fleet, chosen, d, now, out)
                return False
        if wish.sleeper is not None and room.start_instead(fleet, d, wish.sleeper, ways, now, out, outlook):
            return _come_up(fleet, d, Wish(fleet.need_of(d)), now, out, outlook.renewed())
    if not room.trim(fleet, d, wish, ways, now, out, outlook):
        room.have_others_leave(fleet, d, wish, idle, now, out, outlook)
    effects.look_again(fleet, d, outlook.renewed().next_chance(d))
    return False


def _wishes(fleet: Fleet, d: DeploymentState, now: float, out: list[Action], outlook: Outlook) -> list[Wish]:
    """One that sleeps is woken before another is started; it is stopped where its room cannot be had again."""
    while (wish := (found := wishes.all_wishes(fleet, d))[0]).sleeper is not None:
        if outlook.renewed().can_fit(d, wish):
            break
        effects.stop(wish.sleeper, now, out, "it cannot be woken: there is no room for it where it sleeps")
    return found


def _come_up(
    fleet: Fleet, d: DeploymentState, wish: Wish, now: float, out: list[Action], outlook: Outlook
) -> bool:
    place = placement.place(fleet, wish)
    if place is not None and fleet.waiting:
        place = placement.place(fleet, wish, outlook.claims(d))
    if place is None:
        return False
    if wish.sleeper is not None:
        effects.wake(fleet, wish.sleeper, place, now, out, _reason(fleet, d, now))
    else:
        effects.start(fleet, d, place, now, out, _reason(fleet, d, now))
    _content(fleet, d)
    return True


def _reason(fleet: Fleet, d: DeploymentState, now: float) -> str:
    if d.outdated():
        return "the configuration changed"
    if d.held and not d.current():
        return f"{len(d.held)} held, no replica"
    sent = d.bursting.sent if d.bursting is not None else 0
    if sent and not d.held:
        return f"providers answer {sent} of its requests, and have cost more than a start"
    if d.away and not d.current():
        return f"a stand-in answers {d.away} of its requests, no replica"
    if d.wanted_up:
        return d.wanted_up
    if d.in_flight and not d.current() and any(r.in_flight for r in d.small):
        return "its warmer answers until a full one is up"
    if len(d.current()) < d.spec.min_replicas:
        return f"min_replicas is {d.spec.min_replicas}"
    if len(d.current()) < d.floor:
        return scaling.because(fleet, d, now)
    first = urgent.ask(fleet, d, now)
    if first is not None and len(d.current()) < first.replicas:
        return first.because
    return f"{d.in_flight} in flight and {len(d.held)} held exceed {d.spec.target_requests} a replica"


def _content(fleet: Fleet, d: DeploymentState) -> None:
    d.waiting_since = NEVER
    fleet.waiting.pop(d.spec.id, None)
