"""What follows from a server's configuration, for its engines, the kernel and the worker; anew at every reload."""

import asyncio
from collections.abc import Callable, Mapping

from pilotlight.cli.declare import Known, Learned, declare, refined
from pilotlight.cli.state import cache_dir
from pilotlight.clock import Clock
from pilotlight.coldstart.techniques import SNAPSHOT
from pilotlight.controller.wall import WallClock
from pilotlight.engines.registry import engines
from pilotlight.fleet.events import Configured, Sized
from pilotlight.spec.model import Config
from pilotlight.substrate.inventory import Inventory
from pilotlight.weights.cache import WeightCache
from pilotlight.worker.supervisor import Worker


class Declaring:
    """One per server."""

    def __init__(
        self, config: Config, env: Mapping[str, str], weights: WeightCache, clock: Clock, wall: WallClock
    ) -> None:
        self.engines = engines(config.engines, cache_dir(config))
        """By name. Updated in place, and so is the next."""
        self.engine_env = _for_engines(env, config)
        """What engines find in their environment."""
        self._env = env
        self._weights = weights
        self._clock = clock
        self._wall = wall
        self._inventory = Inventory(env)
        self._known: Known = {}
        self._refining: asyncio.Task[None] | None = None

    def declared(self, config: Config, usual: Learned) -> Configured:
        """For the kernel; `usual` as `declare` has it. Raises ConfigError when a GPU is not there."""
        host = self._inventory.host(config)
        now, unix = self._clock.now(), self._wall.unix
        return declare(config, self.engines, self._weights, host, now, self._known, usual, unix)

    def renew(self, config: Config) -> bool:
        """Engines as they are configured now; whether what they find in their environment is another."""
        before = dict(self.engine_env)
        self.engine_env.clear()
        self.engine_env.update(_for_engines(self._env, config))
        self.engines.update(engines(config.engines, cache_dir(config)))
        return self.engine_env != before

    def prepare(self, config: Config, worker: Worker) -> None:
        """What the worker is to keep ready, so that starts are shorter."""
        worker.snapshots.keep(
            {
                name: model
                for name, model in config.models.items()
                if SNAPSHOT.name in (model.techniques or ())
            }
        )
        pools = {engine: settings.warm_pool for engine, settings in config.engines.items()}
        models = config.models.values()
        worker.prime([*models, *(m.small() for m in models if m.warmer is not None)], pools)

    def refine(self, config: Config, post: Callable[[Sized], None]) -> None:
        """Posts better estimates of memory as they come, of this configuration and no longer of the one before."""
        self.close()
        self._refining = asyncio.get_running_loop().create_task(self._refine(config, post))

    async def _refine(self, config: Config, post: Callable[[Sized], None]) -> None:
        estimates = refined(config, self.engines, self._weights, self._known)
        while (found := await asyncio.to_thread(next, estimates, None)) is not None:
            name, need, small = found
            post(Sized(self._clock.now(), name, need, small))

    def close(self) -> None:
        if self._refining is not None:
            self._refining.cancel()


def _for_engines(env: Mapping[str, str], config: Config) -> dict[str, str]:
    """The server's environment without the keys that open its own door, and those that open others'."""
    secret = {"PILOTLIGHT_API_KEY", *(key.key_env for key in config.api_keys)}
    secret |= {said.key_env for said in config.providers.values() if said.key_env is not None}
    return {name: value for name, value in env.items() if name not in secret}
