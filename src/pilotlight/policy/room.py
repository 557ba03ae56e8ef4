"""How room is made: whoever is worth least sleeps or goes, others make way in time."""

from collections.abc import Iterable, Sequence

from pilotlight.fleet.actions import Action, Trim
from pilotlight.fleet.fleet import NEVER, DeploymentState, Fleet, Replica
from pilotlight.fleet.states import COMING
from pilotlight.policy import effects, eviction
from pilotlight.policy.outlook import Outlook
from pilotlight.policy.placement import Less, Wish, all_of

TRIM_AGAIN = eviction.PATIENCE
"""Seconds after which zygotes and primed processes that stayed, or of which nothing was heard, are not waited for any
longer; those that stayed are told again."""


def evict(fleet: Fleet, ways: Iterable[Less], d: DeploymentState, now: float, out: list[Action]) -> None:
    because = _least(d)
    for way in ways:
        if way.gone:
            effects.stop(way.replica, now, out, because)
        else:
            level = fleet.deployments[way.replica.deployment].spec.sleep_level
            effects.put_to_sleep(fleet, way.replica, level, now, out, because)
        effects.forgo_warmer(fleet.deployments[way.replica.deployment])


def start_instead(
    fleet: Fleet,
    d: DeploymentState,
    sleeper: Replica,
    ways: Sequence[Less],
    now: float,
    out: list[Action],
    outlook: Outlook,
) -> bool:
    """Where it sleeps others are busy: another is started elsewhere, if there is room, or it can be made at once."""
    wish = Wish(fleet.need_of(d))
    chosen = eviction.fewest(fleet, wish, outlook.claims(d), [all_of(sleeper), *ways])
    if chosen is None:
        return False
    effects.stop(sleeper, now, out, "another is started: there is no room for it where it sleeps")
    evict(fleet, (way for way in chosen if way.replica is not sleeper), d, now, out)
    return True


def trim_alone(
    fleet: Fleet, d: DeploymentState, wish: Wish, now: float, out: list[Action], outlook: Outlook
) -> bool:
    """Has zygotes and primed processes let go of, where that is all it takes: no model goes for their sake.

    Whether room comes of it, as far as is known.
    """
    if not _any_overhead(fleet):
        return False
    claims = outlook.claims(d)
    if eviction.fewest(fleet, wish, claims, ()) is not None:
        return False  # room is on its way without
    if eviction.fewest(fleet, wish, claims, (), overhead=False) is None:
        return False
    return _let_go(fleet, d, now, out) or any(
        host.trimming and now < host.trimmed_at + TRIM_AGAIN for host in fleet.hosts.values()
    )


def trim(
    fleet: Fleet,
    d: DeploymentState,
    wish: Wish,
    ways: Sequence[Less] | None,
    now: float,
    out: list[Action],
    outlook: Outlook,
) -> bool:
    """Has them let go of where that makes room together with others, or none can be made otherwise.

    `ways`: None where they are not enough for sure. Whether they were told now.
    """
    if not _any_overhead(fleet):
        return False
    helps = (
        ways is not None and eviction.fewest(fleet, wish, outlook.claims(d), ways, overhead=False) is not None
    )
    if not helps and outlook.can_fit(d, wish, overhead=True):
        return False
    return _let_go(fleet, d, now, out)


def _any_overhead(fleet: Fleet) -> bool:
    return any(host.overhead for host in fleet.hosts.values())


def _let_go(fleet: Fleet, d: DeploymentState, now: float, out: list[Action]) -> bool:
    """What is known to stay is told again only after a while, for else each answer would bring the next Trim."""
    hosts = [
        host
        for host in fleet.hosts.values()
        if not host.trimming
        and (host.overhead > host.kept or (host.overhead and now >= host.trimmed_at + TRIM_AGAIN))
    ]
    for host in hosts:
        host.trimming, host.trimmed_at = True, now
        out.append(Trim(host.spec.id, f"makes room for {d.spec.id}"))
    return bool(hosts)


def have_others_leave(
    fleet: Fleet,
    d: DeploymentState,
    wish: Wish,
    idle: Sequence[Replica] | None,
    now: float,
    out: list[Action],
    outlook: Outlook,
) -> None:
    """Those of an earlier declaration, its warmer unless that serves all there is, and, when it has waited for long,
    those that are busy. `idle`: None where they are not enough for sure."""
    if not any(r.state in COMING for r in d.current()) and idle is not None:
        small = [] if d.current() else [r for r in d.small if d.held or not r.in_flight]
        old = sorted([*d.outdated(), *small], key=lambda r: r.in_flight)
        claims = outlook.claims(d)
        for r in eviction.victims(fleet, wish, claims, [*idle, *old], eviction.LEAVING) or ():
            own = r.deployment == d.spec.id
            because = "goes before its successor: no room for both" if own else _least(d)
            effects.drain(fleet, r, now, out, because, NEVER)
            effects.forgo_warmer(fleet.deployments[r.deployment])
    if not d.current() and (d.held or not d.small) and outlook.renewed().may_yield(d, wish):
        for r in eviction.yielding(fleet, d, wish, now):
            effects.drain(fleet, r, now, out, f"makes room for {d.spec.id}, which has waited", NEVER)
            effects.forgo_warmer(fleet.deployments[r.deployment])


def _least(d: DeploymentState) -> str:
    return f"least worth keeping, makes room for {d.spec.id}"
