"""The place of one replica: its port, its log, and a folder for what its engine leaves outside its own."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

from pilotlight.fleet.actions import Start
from pilotlight.ports import Command, Engine, Launch
from pilotlight.spec.model import Model
from pilotlight.worker import logs, probing
from pilotlight.worker.context import Context
from pilotlight.worker.scratch import NOTES, Scratch

InUse = Callable[[], tuple[set[int], set[Path]]]
"""The ports and the logs of all replicas."""


class Place:
    def __init__(self, context: Context, action: Start, in_use: InUse) -> None:
        self.url = ""
        self.port = 0
        self.log: Path | None = None
        self._settings = context.settings
        self._ports = context.ports
        self._action = action
        self._in_use = in_use
        self._scratch: Scratch | None = None

    def launch(self, engine: Engine, model: Model) -> Launch:
        """What is to be launched, on a port of its own. Raises EngineError."""
        self.port = self._ports.take(self._in_use()[0])
        launch = engine.launch(model, self.port, self._action.devices, self._settings.config_dir)
        self.url = launch.url
        return launch

    def allocate(self, launch: Launch) -> None:
        """Raises Failed where somebody else serves at its address, and OSError."""
        settings = self._settings
        self.log = logs.new(settings.log_dir, self._action.deployment, self._in_use()[1])
        if launch.scratch:
            self._scratch = Scratch(settings.log_dir / NOTES, {**settings.env, **launch.env})
        if not launch.reports:
            probing.check_free(self.url, self.port)

    def command(self, launch: Launch) -> Command:
        """Once it is allocated."""
        settings = self._settings
        assert self.log is not None
        return Command(
            replica=self._action.replica,
            argv=launch.argv,
            env={**settings.env, **self.env(launch)},
            cwd=launch.cwd,
            log=self.log,
            log_max_size=settings.log_max_size,
            stop_argv=launch.stop_argv,
            channel=launch.reports or launch.wants_weights,
        )

    def env(self, launch: Launch) -> Mapping[str, str]:
        """What the engine finds in its environment beside what all do."""
        return {**launch.env, **self._scratch.env} if self._scratch is not None else launch.env

    def serves_at(self, port: int) -> None:
        """It has told where; another port after each wake."""
        self.port = port
        self.url = f"{self.url.rpartition(':')[0]}:{port}"

    async def close(self) -> None:
        """Its processes are gone. The log stays."""
        if self._scratch is not None:
            await asyncio.to_thread(self._scratch.remove)
