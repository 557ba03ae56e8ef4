"""The weights of one start: fetched, and given to its engine before they are whole where that is possible."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from pilotlight.fleet.actions import Start
from pilotlight.fleet.events import Sized
from pilotlight.ports import Engine, Launch, WeightsInfo
from pilotlight.spec.model import Model
from pilotlight.worker.arriving import Arriving
from pilotlight.worker.context import Context
from pilotlight.worker.fetches import Here
from pilotlight.worker.reading import read_ahead, worth_it


class Incoming:
    def __init__(self, context: Context, action: Start, model: Model) -> None:
        self.here: Here | None = None
        self._context = context
        self._action = action
        self._model = model
        self._fetched = asyncio.Event()
        self._arriving: Arriving | None = None
        """What the engine loads, or has loaded, before it is whole."""

    def will_stream(self, launch: Launch) -> bool:
        """Whether it has to be fetched, in a way in which its first part comes first."""
        source = self._model.source
        return bool(launch.streams) and source is not None and self._context.fetches.will_stream(source)

    def is_worth_reading(self) -> tuple[bool, str]:
        """Whether it is here, on the disk alone; and why it is not read though it may be."""
        return worth_it(self._files())

    async def read(self, enough: asyncio.Event) -> None:
        """Into memory, until all of it is or `enough` is set."""
        await read_ahead(self._files(), enough)

    def _files(self) -> Sequence[Path]:
        source = self._model.source
        return self._context.fetches.files(source) if source is not None else ()

    async def fetch(self, source: str, engine: Engine) -> None:
        """Whole and verified. Raises SourceError, OSError."""
        self.here = await self._context.fetches.get(source)
        self._fetched.set()
        self._say_size(engine, self.here.info)

    async def header(self, source: str, engine: Engine, launch: Launch) -> str:
        """Why it cannot be loaded before it is whole; empty when it can."""
        arriving = await self._context.fetches.header(source)
        if arriving is None:
            return "the weights were whole before their header was seen"
        others = arriving.info.types - launch.streams
        if others or not arriving.info.types:
            arriving.close()
            return f"tensors of type {', '.join(map(str, sorted(others)))} are read while they load"
        self._arriving = arriving
        self._say_size(engine, arriving.info)
        return ""

    async def to_load(self) -> str:
        """Waits for all of it where it cannot be loaded before. Why it is not, after all; empty as for `header`."""
        if self._arriving is None:
            await self._fetched.wait()
        elif self.here is not None:
            self.close()
            return "the weights were whole before the engine could load"
        return ""

    def order(self, engine: Engine) -> Mapping[str, object]:
        """What the engine is told of it."""
        found = self.here or self._arriving
        order = {
            "weights": str(found.path) if found is not None else self._model.source,
            "args": engine.settings(self._model, found.info if found is not None else None),
        }
        return {**order, "arriving": True} if self._arriving is not None else order

    def whole(self) -> Mapping[str, object] | None:
        """What an engine that has loaded before that is told now; None for one that has not."""
        if self._arriving is None or self.here is None:
            return None
        return {"whole": str(self.here.path)}

    def close(self) -> None:
        if self._arriving is not None:
            self._arriving.close()
            self._arriving = None

    def _say_size(self, engine: Engine, info: WeightsInfo) -> None:
        need = engine.need(self._model, info)
        if need.estimated or need.gpu_estimated:
            now = self._context.clock.now()
            self._context.post(Sized(now, self._action.deployment, need, self._action.small))
