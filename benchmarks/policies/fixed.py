"""A fixed keep-alive in the loop of its own: it says how far that loop and pilotlight's simulator agree."""

from rivals import SLOTS, Model, Replica, World


class Fixed:
    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def came(self, world: World, m: Model, now: float) -> None:
        world.start(m, -(-m.load // SLOTS) - len(m.replicas), now)

    def over(self, world: World, m: Model, r: Replica, now: float) -> None:
        if not r.in_flight and not r.gone:
            self._keep(world, m, r, now)

    def ready(self, world: World, m: Model, r: Replica, now: float) -> None:
        if not r.in_flight:
            self._keep(world, m, r, now)

    def due(self, world: World, m: Model, now: float) -> None:
        for r in [o for o in m.replicas if o.ready and not o.in_flight and o.leaves_at <= now]:
            world.stop(m, r, now)

    def _keep(self, world: World, m: Model, r: Replica, now: float) -> None:
        r.leaves_at = now + self.seconds
        world.wake(m, r.leaves_at)
