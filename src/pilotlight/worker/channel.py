"""What an engine of ours tells over its channel: see pilotlight_guest/llamacpp_server.py for the words."""

import asyncio
import contextlib
import socket
from collections.abc import Mapping

import msgspec

from pilotlight.fleet.plan import Span


class Begin(msgspec.Struct, frozen=True, tag_field="event", tag="begin"):
    at: float
    """Seconds of the monotonic clock."""


class StageDone(msgspec.Struct, frozen=True, tag_field="event", tag="stage"):
    name: str
    start: float
    end: float
    once: bool = False


class Up(msgspec.Struct, frozen=True, tag_field="event", tag="ready"):
    port: int


class Aside(msgspec.Struct, frozen=True, tag_field="event", tag="asleep"):
    """It has put its model aside."""


class Refused(msgspec.Struct, frozen=True, tag_field="event", tag="error"):
    message: str
    see_log: bool = False
    """The log says better why."""


_Said = Begin | StageDone | Up | Aside

_decoder = msgspec.json.Decoder(_Said | Refused)


class EngineRefused(Exception):
    """The engine said that it cannot serve."""

    def __init__(self, said: Refused) -> None:
        super().__init__(said.message)
        self.said = said


class Channel:
    """Our end. Everything that is awaited fails with EngineRefused once the engine has said that it cannot."""

    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=fd)
        self._socket.setblocking(False)
        self._heard: dict[str, asyncio.Future[_Said]] = {}
        self.told: list[Span] = []
        """Every stage that it has told of, in order."""
        self._refused: Refused | None = None
        self._reader = asyncio.create_task(self._read())

    async def begun(self) -> float:
        """When the process ran its first instruction."""
        begin = await self._wait("begin")
        assert isinstance(begin, Begin)
        return begin.at

    async def stage(self, name: str) -> Span:
        done = await self._wait(f"stage {name}")
        assert isinstance(done, StageDone)
        return Span(name, done.start, done.end)

    async def port(self) -> int:
        """Where it serves; it is ready."""
        up = await self._wait("ready")
        assert isinstance(up, Up)
        return up.port

    async def sleep(self, level: int) -> None:
        """Returns when it has put its model aside."""
        self._heard.pop("asleep", None)
        await self.send({"sleep": level})
        await self._wait("asleep")

    async def wake(self) -> int:
        """Where it serves from now on."""
        self._heard.pop("ready", None)
        await self.send({"wake": True})
        return await self.port()

    async def send(self, message: Mapping[str, object]) -> None:
        """An engine that has closed its end is noticed by its exit, so that is no error here."""
        data = msgspec.json.encode(message) + b"\n"
        with contextlib.suppress(OSError):
            await asyncio.get_running_loop().sock_sendall(self._socket, data)

    async def last_words(self, patience: float) -> Refused | None:
        """Why it cannot serve, if it has said so; waits for the end of the channel, but not for long."""
        await asyncio.wait([self._reader], timeout=patience)
        return self._refused

    async def close(self) -> None:
        self._reader.cancel()
        await asyncio.wait([self._reader])  # before the fd may be someone else's
        self._socket.close()

    def _wait(self, key: str) -> asyncio.Future[_Said]:
        return asyncio.shield(self._future(key))

    def _future(self, key: str) -> asyncio.Future[_Said]:
        future = self._heard.get(key)
        if future is None:
            future = self._heard[key] = asyncio.get_running_loop().create_future()
            if self._refused is not None:
                self._fail(future, self._refused)
        return future

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        rest = b""
        with contextlib.suppress(OSError):
            while part := await loop.sock_recv(self._socket, 65536):
                *lines, rest = (rest + part).split(b"\n")
                for line in lines:
                    self._hear(line)

    def _hear(self, line: bytes) -> None:
        try:
            said = _decoder.decode(line)
        except msgspec.DecodeError as error:
            said = Refused(f"the engine sent {line[:200]!r} over its channel, which is no message: {error}")
        if isinstance(said, Refused):
            self._refused = said
            for future in self._heard.values():
                if not future.done():
                    self._fail(future, said)
            return
        if isinstance(said, StageDone):
            self.told.append(Span(said.name, said.start, said.end, said.once))
        key = said.__struct_config__.tag
        future = self._future(f"stage {said.name}" if isinstance(said, StageDone) else str(key))
        if not future.done():
            future.set_result(said)

    @staticmethod
    def _fail(future: asyncio.Future[_Said], said: Refused) -> None:
        future.set_exception(EngineRefused(said))
        future.exception()  # that nobody waits for it is no mistake
