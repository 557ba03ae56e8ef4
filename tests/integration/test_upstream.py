"""The client that speaks to engines, against a server that does exactly what a test says."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from pilotlight.gateway.connection import HIGH_WATER, Silent
from pilotlight.gateway.upstream import Answer, Broken, Unreached, Upstream

Script = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
FOREVER = float("inf")


class Engine:
    """A TCP server; `script` answers each request that came in full."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: list[bytes] = []
        self.connections = 0
        self.writers: list[asyncio.StreamWriter] = []
        self.ended = asyncio.Event()
        """Some client has closed its connection."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    int(line.split(b":")[1])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length")
                )
                self.requests.append(head + await reader.readexactly(length))
                await self.script(self.requests[-1], writer)
        self.ended.set()
        writer.close()


@contextlib.asynccontextmanager
async def engine(script: Script) -> AsyncIterator[tuple[Engine, str, Upstream]]:
    stub = Engine(script)
    server = await asyncio.start_server(stub.serve, "127.0.0.1", 0)
    upstream = Upstream()
    try:
        yield stub, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", upstream
    finally:
        await upstream.close()
        server.close()
        for writer in stub.writers:
            writer.close()


def says(*parts: bytes, close: bool = False) -> Script:
    async def script(request: bytes, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        if close:
            writer.close()

    return script


async def ask(upstream: Upstream, base: str, body: bytes = b"{}", timeout: float = 5.0) -> Answer:
    return await upstream.send(base, "/v1/x?y=1", b"Content-Type: application/json\r\n", body, timeout)


async def whole(answer: Answer) -> bytes:
    try:
        return await answer.whole()
    finally:
        answer.close()


OK = b"HTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 5\r\n\r\nhello"


async def test_the_request_arrives_as_it_was_given():
    async with engine(says(OK)) as (stub, base, upstream):
        assert await whole(await ask(upstream, base + "/prefix", b'{"a": 1}')) == b"hello"
        head, _, body = stub.requests[0].partition(b"\r\n\r\n")
        assert head.startswith(b"POST /prefix/v1/x?y=1 HTTP/1.1\r\nHost: 127.0.0.1:")
        assert b"Content-Type: application/json" in head and b"Content-Length: 8" in head
        assert body == b'{"a": 1}'


async def test_connections_are_used_again_once_their_answer_was_read():
    async with engine(says(OK)) as (stub, base, upstream):
        for _ in range(5):
            answer = await ask(upstream, base)
            assert (answer.status, answer.headers[0]) == (200, (b"X-A", b"b"))
            assert await whole(answer) == b"hello"
        assert stub.connections == 1


async def test_an_answer_that_was_not_read_is_cut_and_cancels_the_work():
    gone = asyncio.Event()

    async def script(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        try:
            while True:
                writer.write(b"1\r\na\r\n")
                await writer.drain()
                await asyncio.sleep(0.001)
        except ConnectionError:
            gone.set()
            raise

    async with engine(script) as (_, base, upstream):
        answer = await ask(upstream, base)
        assert (await answer.chunk()).startswith(b"a")
        answer.close()
        await asyncio.wait_for(gone.wait(), 5)


async def test_a_cancelled_wait_for_the_head_cuts_the_connection():
    async with engine(says()) as (stub, base, upstream):
        task = asyncio.create_task(ask(upstream, base))
        while not stub.requests:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(stub.ended.wait(), 5)


@pytest.mark.parametrize(
    "parts",
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",),
        (b"HTTP/1.1 200 OK\r\nTransfer-Enc", b"oding: chunked\r\n\r\n5\r\nhe", b"llo\r\n0\r\n", b"\r\n"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",),
    ],
)
async def test_bodies_in_chunks(parts):
    async with engine(says(*parts)) as (_, base, upstream):
        for _ in range(2):
            assert await whole(await ask(upstream, base)) == b"hello"


@pytest.mark.parametrize(
    "more", [b"junk", b"HTTP/1.1 500 Not Yours\r\nX-B: c\r\nContent-Length: 4\r\n\r\nevil"]
)
@pytest.mark.parametrize("late", [False, True])
async def test_what_comes_after_an_answer_is_no_part_of_any(more, late):
    async with engine(says(OK) if late else says(OK + more)) as (stub, base, upstream):
        answer = await ask(upstream, base)
        assert (answer.status, answer.headers) == (200, [(b"X-A", b"b"), (b"Content-Length", b"5")])
        assert await whole(answer) == b"hello"
        if late:
            stub.writers[0].write(more)
            await asyncio.wait_for(stub.ended.wait(), 5)
        stub.script = says(OK)
        assert await whole(await ask(upstream, base)) == b"hello"
        assert stub.connections == 2


async def test_trailers_are_no_headers():
    said = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Late: 1\r\n\r\n"
    async with engine(says(said)) as (_, base, upstream):
        for _ in range(2):
            answer = await ask(upstream, base)
            assert await whole(answer) == b"hello"
            assert answer.headers == [(b"Transfer-Encoding", b"chunked")]


async def test_a_connection_that_is_being_closed_is_not_taken(monkeypatch):
    monkeypatch.setattr("pilotlight.gateway.connection.IDLE", 0.0)
    async with engine(says(OK)) as (stub, base, upstream):
        await whole(await ask(upstream, base))
        while upstream._origins[base].free:
            await asyncio.sleep(0)
        await whole(await ask(upstream, base))
        upstream._origins[base].free[0].close()  # its loss is told in the loop's next round
        await whole(await ask(upstream, base))
        assert stub.connections == 3


async def test_a_body_may_end_with_its_connection():
    async with engine(says(b"HTTP/1.1 200 OK\r\n\r\nhello", close=True)) as (_, base, upstream):
        answer = await ask(upstream, base)
        assert not answer.delimited
        assert await whole(answer) == b"hello"


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_without_a_body(status):
    async with engine(says(b"HTTP/1.1 %d X\r\n\r\n" % status)) as (_, base, upstream):
        answer = await ask(upstream, base)
        assert (answer.status, await whole(answer)) == (status, b"")


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (b"", Unreached),
        (b"HTTP/1.1 200 OK\r\nContent-Le", Unreached),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", Unreached),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", Broken),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", Broken),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Unreached),
        (b"HTTP/1.1 200 OK\r\n" + b"a: " + b"x" * 70_000 + b"\r\n\r\n", Unreached),
    ],
)
async def test_an_answer_that_is_cut_or_none(said, error):
    async with engine(says(said, close=True)) as (_, base, upstream):
        with pytest.raises(error):
            await whole(await ask(upstream, base))


async def test_nobody_listens():
    async with engine(says(OK)) as (_, base, upstream):
        pass
    with pytest.raises(Unreached, match="Connection refused"):
        await ask(upstream, base)


async def test_an_idle_connection_that_was_closed_is_no_failure():
    async with engine(says(OK)) as (stub, base, upstream):
        await whole(await ask(upstream, base))
        stub.writers[0].transport.abort()
        while upstream._origins[base].free:
            await asyncio.sleep(0.001)
        await whole(await ask(upstream, base))
        assert stub.connections == 2


async def test_a_kept_connection_that_dies_under_the_request_is_tried_once_afresh():
    async def script(request: bytes, writer: asyncio.StreamWriter) -> None:
        if len(stub.requests) == 2:
            writer.transport.abort()
        else:
            await says(OK)(request, writer)

    async with engine(script) as (stub, base, upstream):
        for _ in range(2):
            assert await whole(await ask(upstream, base)) == b"hello"
        assert (len(stub.requests), stub.connections) == (3, 2)


async def test_a_new_connection_that_dies_under_the_request_is_not_tried_again():
    async def script(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async with engine(script) as (stub, base, upstream):
        with pytest.raises(Unreached):
            await whole(await ask(upstream, base))
        assert len(stub.requests) == 1


async def test_a_second_try_never_takes_a_kept_connection():
    async with engine(says(OK)) as (stub, base, upstream):
        await whole(await ask(upstream, base))
        await whole(await upstream.send(base, "/", b"", b"{}", 5.0, fresh=True))
        assert stub.connections == 2


async def test_a_connection_is_not_kept_after_a_stream():
    """llama.cpp says that it keeps it, and closes it."""
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    async with engine(says(chunked)) as (stub, base, upstream):
        for _ in range(2):
            assert await whole(await ask(upstream, base)) == b"hello"
        assert stub.connections == 2


async def test_a_whole_answer_has_a_limit(monkeypatch):
    monkeypatch.setattr("pilotlight.gateway.upstream.MAX_WHOLE", 4)
    async with engine(says(OK)) as (_, base, upstream):
        with pytest.raises(Broken, match="longer"):
            await whole(await ask(upstream, base))


async def test_an_engine_that_says_nothing():
    async with engine(says()) as (_, base, upstream):
        with pytest.raises(Silent):
            await ask(upstream, base, timeout=0.05)


async def test_an_engine_that_falls_silent():
    async with engine(says(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello")) as (_, base, upstream):
        with pytest.raises(Silent):
            await whole(await ask(upstream, base, timeout=0.05))


async def test_a_slow_reader_makes_the_engine_wait():
    sent = 0

    async def script(request: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while sent < 64 * HIGH_WATER:
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536
        writer.close()

    async with engine(script) as (_, base, upstream):
        answer = await ask(upstream, base, timeout=0.2)
        before = -1
        while sent != before:  # until it no longer gets rid of anything
            before = sent
            await asyncio.sleep(0.3)
        assert before < 64 * HIGH_WATER
        # Time in which we did not listen is not the engine's silence.
        assert len(await whole(answer)) == 64 * HIGH_WATER


async def test_a_large_request():
    body = b"x" * (20 * 2**20)
    async with engine(says(OK)) as (stub, base, upstream):
        stub.script = says(OK)
        await whole(await ask(upstream, base, body))
        assert stub.requests[0].endswith(body)


async def test_engines_that_are_gone_are_forgotten(monkeypatch):
    monkeypatch.setattr("pilotlight.gateway.upstream.MANY", 3)
    async with engine(says(OK)) as (stub, base, upstream):
        await whole(await ask(upstream, base))
        for port in range(1, 9):
            with pytest.raises(Unreached):
                await ask(upstream, f"http://127.0.0.1:{port}")
        await whole(await ask(upstream, base))
        assert stub.connections == 1
        assert len(upstream._origins) <= 3


class Forbidden(Exception):
    pass


async def test_what_forbids_a_request_at_the_last_moment_keeps_every_byte_of_it():
    """On a new connection, and on one that was kept."""

    def forbids() -> None:
        raise Forbidden

    async with engine(says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")) as (stub, base, upstream):
        with pytest.raises(Forbidden):
            await upstream.send(base, "/x", b"", b"{}", 5.0, sent=forbids)
        await asyncio.wait_for(stub.ended.wait(), 20)
        answer = await ask(upstream, base)
        await answer.whole()
        answer.close()
        stub.ended.clear()
        with pytest.raises(Forbidden):
            await upstream.send(base, "/x", b"", b"{}", 5.0, sent=forbids)
        await asyncio.wait_for(stub.ended.wait(), 20)
        assert len(stub.requests) == 1
