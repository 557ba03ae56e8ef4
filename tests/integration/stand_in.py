"""A stand-in for an engine: an HTTP server that does what each request tells it to, and keeps a journal.

    stand_in.py PORT

A request's body may have a field `do`:

    chunks      events of a stream, or tokens of a whole answer; default 3
    every       seconds between them
    gate        a file without which it goes no further than the first event
    die         "now": before any byte; "head": after the headers; "middle": in the middle of the second event
    drop        like die, but only the connection goes, not the process
    only        the name of a file: do it only if this is the process that made the file
    hang        answer nothing
    status      answer this status with `said` as its body
    flood       bytes of events, written as fast as they are taken
    close       end the stream by closing the connection, without a length or chunks
    said        the body of an error, or the last event's text
    type        the content type of the answer
    header      a header line of the answer, as latin-1

Environment: GATE, a file without which it does not listen; FAIL, a file with which it says so and exits 1;
JOURNAL, the file where it writes a JSON line for whatever happens; REFUSE, a file with which health answers 503.
"""

import asyncio
import base64
import contextlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any


def note(event: str, **more: Any) -> None:
    path = os.environ.get("JOURNAL")
    if path:
        line = json.dumps({"event": event, "pid": os.getpid(), "at": time.monotonic(), **more}) + "\n"
        with Path(path).open("a") as file:
            file.write(line)


async def until_there(name: str) -> None:
    while not Path(name).exists():
        await asyncio.sleep(0.005)


class Gone(Exception):
    """The client has left."""


class Conversation:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def run(self) -> None:
        with contextlib.suppress(
            Gone, ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError
        ):
            while await self.one():
                pass
        self.writer.close()

    async def one(self) -> bool:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *rest = head.strip().split("\r\n")
        method, target, _ = line.split(" ")
        headers = [tuple(h.split(": ", 1)) for h in rest]
        length = int({k.lower(): v for k, v in headers}.get("content-length", 0))
        body = await self.reader.readexactly(length)
        if method == "GET":
            refused = (r := os.environ.get("REFUSE")) and Path(r).exists()
            self.whole(503 if refused else 200, b'{"status":"ok"}')
            return True
        watch = asyncio.create_task(self.reader.read(1))
        try:
            await self.answer(target, headers, body, watch)
        except (Gone, ConnectionError):
            note("disconnected", target=target, request=told(body).get("id"))
            raise Gone from None
        finally:
            watch.cancel()
            await asyncio.wait([watch])
        note("answered", request=told(body).get("id"))
        return True

    async def answer(
        self, target: str, headers: list[Any], body: bytes, watch: "asyncio.Task[bytes]"
    ) -> None:
        parsed = told(body)
        do = parsed.get("do") or {}
        note(
            "request",
            target=target,
            request=parsed.get("id"),
            headers=headers,
            size=len(body),
            body=base64.b64encode(body).decode() if len(body) < 100_000 else None,
        )
        if "only" in do:
            mark = Path(do["only"])
            with contextlib.suppress(FileExistsError):
                mark.open("x").write(str(os.getpid()))
            if mark.read_text() != str(os.getpid()):
                do = {}
        self.ends(do, "now")
        if do.get("hang"):
            await self.pause(watch, 3600)
        if "status" in do:
            self.whole(do["status"], str(do.get("said", "")).encode(), do.get("type"), do.get("header"))
            return
        if parsed.get("stream"):
            await self.stream(do, watch)
            return
        if "gate" in do:
            await self.gate(watch, do["gate"])
        await self.pause(watch, do.get("every", 0) * do.get("chunks", 3))
        self.whole(200, self.completion(target, parsed, do), do.get("type"), do.get("header"), do)

    def completion(self, target: str, parsed: dict[str, Any], do: dict[str, Any]) -> bytes:
        n = do.get("chunks", 3)
        usage = {"prompt_tokens": 5, "completion_tokens": n, "total_tokens": 5 + n}
        if "embeddings" in target:
            value: dict[str, Any] = {
                "object": "list", "model": parsed.get("model"), "usage": usage,
                "data": [{"object": "embedding", "index": 0, "embedding": [0.25, 0.5]}],
            }  # fmt: skip
        else:
            message = {"role": "assistant", "content": do.get("said", "hello " * n)}
            value = {
                "id": "c1", "object": "chat.completion", "created": 1, "model": parsed.get("model"), "usage": usage,
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            }  # fmt: skip
        return json.dumps(value).encode()

    async def stream(self, do: dict[str, Any], watch: "asyncio.Task[bytes]") -> None:
        how = "Connection: close" if do.get("close") else "Transfer-Encoding: chunked"
        extra = do.get("header")
        lines = ["HTTP/1.1 200 OK", f"Content-Type: {do.get('type', 'text/event-stream')}", how]
        head = "\r\n".join([*lines, *([extra] if extra else []), "", ""])
        self.writer.write(head.encode("latin-1"))
        self.ends(do, "head")
        if "flood" in do:
            await self.flood(do, watch)
        n = do.get("chunks", 3)
        for i in range(n):
            text = do["said"] if i == n - 1 and "said" in do else f"t{i} "
            event = chunk_of({"role": "assistant", "content": text})
            if i == 1 and "middle" in (do.get("die"), do.get("drop")):
                self.part(event[: len(event) // 2], do)
                await self.writer.drain()
                await asyncio.sleep(0.05)
                self.ends(do, "middle")
            self.part(event, do)
            if i == 0 and "gate" in do:
                await self.gate(watch, do["gate"])
            await self.pause(watch, do.get("every", 0))
        self.part(b"data: [DONE]\n\n", do)
        if do.get("close"):
            await self.writer.drain()
            raise asyncio.IncompleteReadError(b"", None)
        self.writer.write(b"0\r\n\r\n")
        await self.drain(watch)

    async def flood(self, do: dict[str, Any], watch: "asyncio.Task[bytes]") -> None:
        event = chunk_of({"content": "x" * 16000})
        sent = 0
        while sent < do["flood"]:
            self.part(event, do)
            sent += len(event)
            note("flooded", sent=sent)
            await self.drain(watch)

    # -- the wire ----------------------------------------------------------------------------------------------

    def part(self, data: bytes, do: dict[str, Any]) -> None:
        self.writer.write(data if do.get("close") else b"%x\r\n%s\r\n" % (len(data), data))

    def whole(
        self, status: int, body: bytes, type: str | None = None, extra: str | None = None, do: Any = None
    ) -> None:
        lines = [
            f"HTTP/1.1 {status} X",
            f"Content-Type: {type or 'application/json'}",
            f"Content-Length: {len(body)}",
        ]
        head = "\r\n".join([*lines, *([extra] if extra else []), "", ""]).encode("latin-1")
        if do and "head" in (do.get("die"), do.get("drop")):
            self.writer.write(head)
            self.ends(do, "head")
        if do and "middle" in (do.get("die"), do.get("drop")):
            self.writer.write(head + body[: len(body) // 2])
            self.ends(do, "middle")
        self.writer.write(head + body)

    def ends(self, do: dict[str, Any], when: str) -> None:
        if do.get("die") == when:
            note("died")
            os._exit(3)
        if do.get("drop") == when:
            raise Gone

    async def drain(self, watch: "asyncio.Task[bytes]") -> None:
        await self.either(watch, self.writer.drain())

    async def pause(self, watch: "asyncio.Task[bytes]", seconds: float) -> None:
        await self.either(watch, asyncio.sleep(seconds))

    async def gate(self, watch: "asyncio.Task[bytes]", name: str) -> None:
        await self.either(watch, until_there(name))

    async def either(self, watch: "asyncio.Task[bytes]", wanted: Any) -> None:
        task = asyncio.ensure_future(wanted)
        await asyncio.wait((task, watch), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
            raise Gone
        task.result()


def told(body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def chunk_of(delta: dict[str, str]) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    value = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(value).encode() + b"\n\n"


async def main(port: int) -> None:
    print("the stand-in speaks: my last words", flush=True)
    note("born", keys=sorted(k for k in os.environ if "KEY" in k))
    fail = os.environ.get("FAIL")
    while not Path(os.environ.get("GATE") or "/").exists():
        if fail and Path(fail).exists():
            print("Error: the stand-in was told to fail", flush=True)
            sys.exit(1)
        await asyncio.sleep(0.005)
    if fail and Path(fail).exists():
        print("Error: the stand-in was told to fail", flush=True)
        sys.exit(1)
    server = await asyncio.start_server(
        lambda r, w: Conversation(r, w).run(), "127.0.0.1", port, limit=2**26, backlog=1000
    )
    note("listening", port=port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
