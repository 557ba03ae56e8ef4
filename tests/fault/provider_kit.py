"""Providers as they can be, over real HTTP: what each does is written in its script, and what it saw is kept."""

import asyncio
import contextlib
import json
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

KEY = "sk-provider-0123456789"
KEY_ENV = {"PROVIDER_KEY": KEY}


class Seen(NamedTuple):
    """One request as it came over the wire."""

    raw: bytes
    path: str
    headers: dict[str, str]
    body: dict[str, Any]


Script = Callable[["Wire", Seen], Awaitable[None]]


class Wire:
    """The provider's end of a connection."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def whole(self, status: int, body: bytes, type: str = "application/json", *more: str) -> None:
        lines = [f"HTTP/1.1 {status} X", f"Content-Type: {type}", f"Content-Length: {len(body)}", *more]
        await self.say("\r\n".join([*lines, "", ""]).encode() + body)

    async def stream_head(self, type: str = "text/event-stream") -> None:
        await self.say(
            f"HTTP/1.1 200 OK\r\nContent-Type: {type}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )

    async def part(self, data: bytes) -> None:
        await self.say(b"%x\r\n%b\r\n" % (len(data), data))

    async def end(self) -> None:
        await self.say(b"0\r\n\r\n")


class Provider:
    def __init__(self, script: Script, scheme: str, port: int) -> None:
        self.script = script
        self.seen: list[Seen] = []
        self.gone = 0
        """Connections that were cut while an answer was on its way."""
        self.scheme, self.port = scheme, port
        self.wire = bytearray()
        """Whatever came, understood or not."""
        self.connections = 0

    @property
    def bytes_in(self) -> int:
        return len(self.wire)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/v1"

    def declared(self, **more: Any) -> dict[str, Any]:
        return {"base_url": self.url, "key_env": "PROVIDER_KEY", "first_token": "10ms", **more}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                line, *rest = head.decode("latin-1").strip().split("\r\n")
                headers = {k.lower(): v for k, v in (h.split(": ", 1) for h in rest)}
                body = await reader.readexactly(int(headers["content-length"]))
                seen = Seen(head + body, line.split(" ")[1], headers, json.loads(body))
                self.seen.append(seen)
                await self._answer(seen, reader, writer)
        writer.close()

    async def _answer(self, seen: Seen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        doing = asyncio.ensure_future(self.script(Wire(writer), seen))
        left = asyncio.ensure_future(reader.read(1))
        await asyncio.wait((doing, left), return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            self.gone += 1
            doing.cancel()
        left.cancel()
        await asyncio.wait((doing, left))
        if not doing.cancelled():
            doing.result()
        if writer.is_closing() or (self.gone and doing.cancelled()):
            raise ConnectionError


class _Counted(asyncio.StreamReader):
    def __init__(self, wire: bytearray) -> None:
        super().__init__(limit=2**26)
        self._wire = wire

    def feed_data(self, data: bytes) -> None:
        self._wire += data
        super().feed_data(data)


@contextlib.asynccontextmanager
async def provider(script: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[Provider]:
    it = Provider(script, "http" if tls is None else "https", 0)
    server = await asyncio.get_running_loop().create_server(
        lambda: asyncio.StreamReaderProtocol(_Counted(it.wire), it.serve),
        "127.0.0.1",
        0,
        ssl=tls,
        backlog=1000,
    )
    it.port = server.sockets[0].getsockname()[1]
    try:
        yield it
    finally:
        server.close()


CA = """
[ca]
default_ca = it
[it]
database = {0}/index
new_certs_dir = {0}
rand_serial = yes
default_md = sha256
copy_extensions = copy
policy = any
[any]
commonName = supplied
"""


def certificate(
    folder: Path, name: str = "IP:127.0.0.1", until: str = "20991231235959Z"
) -> tuple[ssl.SSLContext, Path]:
    """A server's context with a certificate that only itself vouches for, and the file to trust it by."""
    cert, key, asked, ca = (folder / n for n in ("cert.pem", "key.pem", "asked.pem", "ca.cnf"))
    ca.write_text(CA.format(folder))
    (folder / "index").touch()
    ask = f"req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=provider -out {asked}"
    sign = f"ca -config {ca} -batch -selfsign -notext -startdate 20200101000000Z -enddate {until} -in {asked}"
    for command in (
        f"{ask} -keyout {key} -addext subjectAltName={name}",
        f"{sign} -keyfile {key} -out {cert}",
    ):
        subprocess.run(["openssl", *command.split()], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context, cert


# -- what providers do ---------------------------------------------------------------------------------------------


def completion(seen: Seen, text: str = "from afar", usage: Any = None, model: Any = None) -> bytes:
    said = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7} if usage is None else usage
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    value = {"id": "p1", "object": "chat.completion", "created": 1, "model": model or seen.body["model"]}
    return json.dumps({**value, "choices": [choice], **({"usage": said} if said else {})}).encode()


def event(seen: Seen, text: str, model: Any = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}
    value = {
        "id": "p1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": model or seen.body["model"],
    }
    return b"data: " + json.dumps({**value, "choices": [choice], **more}).encode() + b"\n\n"


def well(
    after: float = 0.0, every: float = 0.0, events: int = 3, usage: Any = None, model: Any = None
) -> Script:
    """Answers, `after` seconds; a stream's events are `every` seconds apart."""

    async def script(wire: Wire, seen: Seen) -> None:
        await asyncio.sleep(after)
        if not seen.body.get("stream"):
            await wire.whole(200, completion(seen, usage=usage, model=model))
            return
        await wire.stream_head()
        for i in range(events):
            more = {"usage": usage} if usage is not None and i == events - 1 else {}
            await wire.part(event(seen, f"p{i} ", model, **more))
            await asyncio.sleep(every)
        await wire.part(b"data: [DONE]\n\n")
        await wire.end()

    return script


def answers(
    status: int, body: bytes = b'{"error": {"message": "no"}}', *more: str, type: str = "application/json"
) -> Script:
    async def script(wire: Wire, seen: Seen) -> None:
        await wire.whole(status, body, type, *more)

    return script


async def hangs(wire: Wire, seen: Seen) -> None:
    await asyncio.sleep(3600)


async def hangs_after_head(wire: Wire, seen: Seen) -> None:
    if seen.body.get("stream"):
        await wire.stream_head()
    else:
        await wire.say(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n")
    await asyncio.sleep(3600)


async def cuts_after_head(wire: Wire, seen: Seen) -> None:
    await wire.say(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    wire.writer.transport.abort()


async def cuts_in_the_middle(wire: Wire, seen: Seen) -> None:
    if seen.body.get("stream"):
        await wire.stream_head()
        await wire.part(event(seen, "p0 "))
        await wire.part(event(seen, "p1 "))
        await wire.part(b'data: {"id": "p1", "choi')
    else:
        body = completion(seen)
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        await wire.say(head % len(body) + body[:20])
    await asyncio.sleep(0.05)
    wire.writer.transport.abort()


async def hangs_up(wire: Wire, seen: Seen) -> None:
    wire.writer.transport.abort()
