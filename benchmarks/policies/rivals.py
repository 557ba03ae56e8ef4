"""How a policy that pilotlight has not runs in its simulator: a rival is asked beside the kernel what comes and goes.

Replicas, queue, slots, routing, starts, bill and figures are pilotlight's. Of its own policies only
the one that starts replicas by load has a say, as far as the rival's config lets it.
"""

from heapq import heappop, heappush
from itertools import count

from pilotlight.fleet.actions import Action, Assign
from pilotlight.fleet.events import Arrived, Event, Finished, Ready, Tick
from pilotlight.fleet.fleet import DeploymentState, Fleet, Replica
from pilotlight.fleet.states import READY
from pilotlight.policy import effects, placement
from pilotlight.policy.placement import Wish
from pilotlight.sim.result import Result
from pilotlight.sim.simulate import simulate
from pilotlight.sim.starts import StartTimes
from pilotlight.sim.trace import Trace
from pilotlight.spec.model import Config
from pilotlight.units import FOREVER


class Rival:
    """Asked once the kernel has done its part: a request has found its place, or has ended, a replica is up, or a
    moment has come that it asked for."""

    config: Config
    """What the kernel goes by: `configs.silent`, and what the rival leaves to it."""

    def came(self, orders: "Orders", d: DeploymentState) -> None: ...
    def over(self, orders: "Orders", d: DeploymentState, r: Replica) -> None: ...
    def ready(self, orders: "Orders", d: DeploymentState, r: Replica) -> None: ...
    def due(self, orders: "Orders", d: DeploymentState) -> None: ...


class Orders:
    """What a rival can order `now`."""

    def __init__(self, rival: Rival) -> None:
        self.now = 0.0
        self._rival = rival
        self._runs: dict[str, Replica] = {}
        self._due: list[tuple[float, int, str]] = []
        self._order = count()

    def __call__(self, fleet: Fleet, event: Event, out: list[Action]) -> None:
        """As the simulator's loop calls it."""
        self.now, self._fleet, self._out = event.at, fleet, out
        for action in out:
            if type(action) is Assign:
                self._runs[action.request] = fleet.assigned[action.request]
        if type(event) is Arrived:
            self._rival.came(self, fleet.deployments[event.deployment])
        elif type(event) is Finished:
            r = self._runs.pop(event.request)
            self._rival.over(self, fleet.deployments[r.deployment], r)
        elif type(event) is Ready and event.replica in fleet.replicas:
            r = fleet.replicas[event.replica]
            self._rival.ready(self, fleet.deployments[r.deployment], r)
        elif type(event) is Tick:
            while self._due and self._due[0][0] <= event.at:
                self._rival.due(self, fleet.deployments[heappop(self._due)[2]])

    def start(self, d: DeploymentState, n: int, because: str) -> None:
        for _ in range(n):
            place = placement.place(self._fleet, Wish(self._fleet.need_of(d)))
            assert place is not None, "dedicated replicas are never short of room"
            effects.start(self._fleet, d, place, self.now, self._out, because)

    def stop(self, r: Replica, because: str) -> None:
        """At once, or when it has served what it has."""
        effects.drain(self._fleet, r, self.now, self._out, because, FOREVER)

    def keep(self, d: DeploymentState, r: Replica, seconds: float) -> None:
        """One that has just fallen idle, or come up: so long, if nobody comes."""
        r.keep_alive = seconds
        effects.let_leave(self._fleet, d, r, self.now, self._out)

    def wake(self, d: DeploymentState, when: float) -> None:
        """`due` is called then."""
        heappush(self._due, (when, next(self._order), d.spec.id))
        self._fleet.timer(when, "deployment", d.spec.id)


def load(d: DeploymentState) -> int:
    """Requests that run or wait."""
    return d.in_flight + len(d.held)


def ready(d: DeploymentState) -> list[Replica]:
    return [r for r in d.replicas.values() if r.state is READY]


def play(trace: Trace, rival: Rival, starts: StartTimes) -> Result:
    return simulate(trace, rival.config, starts, beside=Orders(rival))
