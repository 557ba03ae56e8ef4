"""What follows from what the kernel orders, in virtual time: starts and wakes take their time, the rest none."""

from pilotlight.fleet.actions import Moved, Ping, Probe, Send, Sleep, Start, Stop, Trim, Wake
from pilotlight.fleet.deployment import Deployment
from pilotlight.fleet.events import Configured, Event, Overhead, Ready, Recovered, Slept, Stopped
from pilotlight.policy.sleeping import KEPT
from pilotlight.sim.loop import Effect
from pilotlight.sim.providers import Asked, Nobody, SimulatedProviders
from pilotlight.sim.starts import WAKE, StartTimes
from pilotlight.sim.troubles import Troubles
from pilotlight.spec.simulation import Simulation

PLAIN = Simulation(per_token=0.0)
"""Where nothing is said of providers."""


class SimulatedWorld:
    """Nothing fails but what is said of providers, and nothing is measured to be other than it was declared."""

    def __init__(
        self,
        configured: Configured,
        starts: StartTimes,
        seed: int,
        asked: Asked | None = None,
        given: Simulation = PLAIN,
    ) -> None:
        """`asked` and `given`: for what goes to providers."""
        self._specs = {d.id: d for d in configured.deployments}
        self._sizes = {h.id: {d.id: d.memory for d in h.devices} for h in configured.hosts}
        self._starts = starts
        self._seed = seed
        self.first_token = (asked or Nobody()).first_token
        troubles = {n: Troubles(n, said, configured.at, seed) for n, said in given.providers.items()}
        self.providers = SimulatedProviders(
            configured.providers, asked or Nobody(), given.per_token, troubles
        )
        self._started: dict[str, Start] = {}
        """Of replicas that are not gone."""

    def follows(self, action: Effect, now: float) -> tuple[Event, ...]:
        if type(action) is Moved:  # most often, and nothing follows
            return ()
        match action:
            case Start(replica=replica, deployment=name):
                self._started[replica] = action
                return (Ready(now + self._starts.seconds(name, replica, self._seed), replica),)
            case Stop(replica=replica):
                self._started.pop(replica, None)
                return (Stopped(now, replica),)
            case Sleep(replica=replica, level=level):
                return (self._slept(replica, level, now),)
            case Wake(replica=replica):
                return (Ready(now + self._wake_seconds(replica), replica),)
            case Probe(replica=replica):
                return (Recovered(now, replica),)
            case Send() | Ping():
                return self.providers.follows(action, now)
            case Trim(host=host):
                return (Overhead(now, host, 0),)
            case _:
                return ()

    def cut(self, request: str, at: float) -> Event:
        return self.providers.cut(request, at)

    def _spec(self, replica: str) -> Deployment:
        return self._specs[self._started[replica].deployment]

    def _slept(self, replica: str, level: int, now: float) -> Slept:
        """Its model leaves the devices: at level 1 for host memory, at level 2 for nowhere. Without devices it is let
        go of."""
        start, spec = self._started[replica], self._spec(replica)
        need = spec.warmer.need if start.small and spec.warmer is not None else spec.need
        if not start.devices:
            return Slept(now, replica, int(KEPT * need.memory), 0)
        sizes = self._sizes[start.host]
        each = (sizes[i] if need.gpu_memory is None else need.gpu_memory for i in start.devices)
        return Slept(now, replica, need.memory + (sum(each) if level == 1 else 0), 0)

    def _wake_seconds(self, replica: str) -> float:
        seconds = self._spec(replica).wake_seconds
        return WAKE if seconds is None else seconds
