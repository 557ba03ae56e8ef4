"""Another deployment answers a request while the one that was asked for comes up."""

from pilotlight.fleet.actions import Action
from pilotlight.fleet.events import Arrived
from pilotlight.fleet.fleet import Aside, DeploymentState, Fleet, Held
from pilotlight.fleet.states import State
from pilotlight.policy import demand as traffic
from pilotlight.policy import effects, routing, scaling


def takes(fleet: Fleet, d: DeploymentState, e: Arrived, out: list[Action]) -> bool:
    """Whether the request's stand-in answers it: none of its own replicas is up, and one of the stand-in's has room.

    Only what the stand-in has to spare: no more than its `target_requests`, nothing of a warmer (beside one that is
    asked a full one starts), and nothing while its own requests wait; it is never started for it. The request counts
    in the demand of the deployment that was asked for as if it was held, and one replica of that comes up in any case,
    so that the next ones are answered by what they ask for.
    """
    other = fleet.deployments.get(e.stand_in or "")
    if other is None or other is d or other.removed or other.held:
        return False
    if any(r.state is State.READY for r in d.every):
        return False
    r = routing.pick(other)
    if r is None or r.small or r.in_flight >= other.spec.target_requests:
        return False
    because = f"{d.spec.id} is not up; {other.spec.id} stands in"
    # How long its replica stays was said by those who asked for it.
    effects.assign(fleet, other, r, e.request, r.keep_alive, out, because, other.spec.id)
    fleet.asides[e.request] = Aside(Held(e.request, e.at, e.keep_alive, e.rank, e.remote), d)
    d.in_flight += 1
    d.away += 1
    d.want_up("a stand-in answers for it")
    if other.demand is not None and other.in_flight + len(other.held) > other.demand.above:
        traffic.follow(fleet, other, e.at)
    if other.delays is not None:
        scaling.changed(fleet, other, e.at)
    return True


def over(fleet: Fleet, asked: DeploymentState, now: float) -> None:
    """The stand-in no longer has it."""
    asked.in_flight -= 1
    asked.away -= 1
    demand = asked.demand
    if demand is not None and asked.in_flight + len(asked.held) <= demand.until:
        traffic.follow(fleet, asked, now)
    if asked.delays is not None:
        scaling.changed(fleet, asked, now)
