"""Carries out what becomes of a deployment's warmer: it comes up beside the last full replica, takes its place, and
goes when a full one is up again.

There is never a moment in between in which none is ready, and nobody makes room for a warmer: where it does not fit
beside the full one, that one stays.
"""

from pilotlight.fleet.actions import Action, Note
from pilotlight.fleet.deployment import Warmer
from pilotlight.fleet.fleet import NEVER, DeploymentState, Fleet, Replica
from pilotlight.fleet.states import RESTING, SERVING, State
from pilotlight.fleet.warming import Warming
from pilotlight.policy import backoff, effects, keep_alive, placement, scaling, warmer
from pilotlight.policy.outlook import Outlook
from pilotlight.policy.placement import Wish

AGAIN = 60.0
"""Seconds after which it is looked again whether there is room for a warmer [G]."""


def declared(d: DeploymentState, before: Warmer | None) -> None:
    """After every declaration; `before`: what was declared until then."""
    now = d.spec.warmer
    if now is None and not d.small:
        d.warming = None
    elif d.warming is None:
        d.warming = Warming()
    elif now is None or before is None or now.fingerprint != before.fingerprint:
        w = d.warming
        w.failures, w.retry_at, w.measured, w.measured_gpu, w.no_room = 0, 0.0, 0, 0, False


def let_go(fleet: Fleet, d: DeploymentState, now: float, out: list[Action]) -> None:
    """Of those that a full one, or a reload, has made needless; before its replicas are counted."""
    w = d.warming
    if w is None or not w.replicas:
        return
    if d.spec.warmer is None or warmer.is_full(d):
        because = "it has no warmer any more"
    elif any(r.state is State.READY for r in d.replicas.values()) and giving_way(fleet, d, now) is None:
        because = "a full replica is up"
    else:
        return
    for r in d.small:
        effects.drain(fleet, r, now, out, because, NEVER)


def tend(fleet: Fleet, d: DeploymentState, now: float, out: list[Action]) -> None:
    """Whenever anything about the deployment has changed, and it has what it wants of full ones."""
    w = d.warming
    if w is None:
        return
    full = giving_way(fleet, d, now)
    if d.spec.warmer is None or warmer.is_full(d):
        w.wanted = False
        return
    if full is not None:
        w.wanted = True
    elif any(r.state is State.READY for r in d.replicas.values()):
        w.wanted = w.no_room = False
        return
    up = next((r for r in d.small if r.state is State.READY and d.is_current(r)), None)
    if up is not None:
        _takes_over(fleet, d, up, full, now, out)
    else:
        _come_up(fleet, d, w, full, now, out)


def giving_way(fleet: Fleet, d: DeploymentState, now: float) -> Replica | None:
    """The last full one, idle, for which nobody has any use now."""
    r = warmer.last(d)
    if r is None or r.in_flight or d.held or effects.is_kept(d, r) or scaling.wanted(fleet, d, now):
        return None
    leaves = keep_alive.leaves(fleet, d, r)
    return r if warmer.due(d, r, leaves) <= now else None


def _takes_over(
    fleet: Fleet, d: DeploymentState, up: Replica, full: Replica | None, now: float, out: list[Action]
) -> None:
    if full is not None:
        effects.stop(full, now, out, f"idle for {now - full.idle_since:.3g} s, its warmer {up.id} stays")
    for r in d.small:
        if not d.is_current(r):
            effects.drain(fleet, r, now, out, "replaced after a reload", NEVER)


def _come_up(
    fleet: Fleet, d: DeploymentState, w: Warming, full: Replica | None, now: float, out: list[Action]
) -> None:
    """Where one is wanted, or sleeps while there is work for it, and there is room for it."""
    current = [r for r in d.small if d.is_current(r)]
    sleeper = next((r for r in current if r.state in RESTING), None)
    wakes = sleeper is not None and bool(d.held or d.in_flight or d.wanted_up)
    if not (w.wanted or wakes) or any(r.state in SERVING for r in current):
        return
    if sleeper is not None and sleeper.state is not State.ASLEEP:
        return  # it is looked at again once it sleeps
    if now < w.retry_at:
        effects.look_again(fleet, d, w.retry_at)
        return
    if _order(fleet, d, sleeper, full, now, out):
        w.no_room = False
        return
    if full is not None and not w.no_room:
        w.no_room = True
        out.append(
            Note(d.spec.id, f"there is no room for a warmer beside {full.id}, which stays in its place")
        )
    effects.look_again(fleet, d, now + AGAIN)


def _order(
    fleet: Fleet,
    d: DeploymentState,
    sleeper: Replica | None,
    full: Replica | None,
    now: float,
    out: list[Action],
) -> bool:
    """In room that nobody waits for. Whether it was ordered."""
    need = fleet.small_need_of(d)
    if sleeper is not None and sleeper.awake is not None:
        need = sleeper.awake
    place = placement.place(fleet, Wish(need, sleeper), Outlook(fleet, now, out).claims(d))
    if place is None:
        return False
    if sleeper is not None:
        effects.wake(fleet, sleeper, place, now, out, "the warmer is wanted")
    elif full is not None:
        effects.start_small(
            fleet, d, place, now, out, f"traffic is low: the warmer takes the place of {full.id}"
        )
    else:
        effects.start_small(fleet, d, place, now, out, "the warmer is to stay")
    return True


def failed(d: DeploymentState, now: float, grace: int = 0) -> None:
    """A warmer did not come up, or has crashed; the first `grace` times it is made good at once."""
    w = d.warming
    if w is None:
        return
    w.failures += 1
    w.retry_at = now + backoff.delay(w.failures - grace) if w.failures > grace else now
