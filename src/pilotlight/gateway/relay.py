"""An answer on its way to the client: whole in one piece, or a stream as it comes."""

import asyncio
from typing import Protocol

from aiohttp import web

from pilotlight.clock import Timer
from pilotlight.gateway import usage
from pilotlight.gateway.reply import Reply
from pilotlight.gateway.upstream import Broken
from pilotlight.http import sse
from pilotlight.http.answer import sent
from pilotlight.http.errors import as_error
from pilotlight.http.headers import Raw, for_client

_ENDS_IN_DONE = frozenset({"/v1/chat/completions", "/v1/completions"})
_AT_END = ("x-pilotlight-served-by", "x-pilotlight-cost-usd")


class Source(Protocol):
    """What a stream is read from: an engine's answer, or a provider's."""

    status: int
    delimited: bool

    @property
    def headers(self) -> Raw: ...

    async def chunk(self) -> bytes: ...
    @property
    def awaited(self) -> bool: ...


class Relay(Reply):
    body: bytes
    """Empty once a stream has begun, for then it is not sent again."""
    _watch: Timer | None = None

    async def _hand_over(self, status: int, headers: Raw, payload: bytes) -> web.StreamResponse:
        """A whole answer."""
        self.bytes_out = len(payload)
        self.answered = status < 500
        outcome = "ok" if status < 400 else "engine_error"
        response = self.response
        if response is None:
            await self._send(status, headers, self.headers_of_whole(), payload, outcome)
            return sent(self.request)
        self.outcome = outcome
        if status >= 400:
            payload = as_error(payload, status)
        try:
            async with asyncio.timeout(self._patience_for_reader()):
                await response.write(sse.event(payload) if self.stream else payload)
                await response.write_eof()
        except TimeoutError:
            self._cut()
        return response

    async def _relay(self, answer: Source) -> web.StreamResponse:
        """A stream, chunk by chunk as it comes; reads on only when the client has taken what there was.

        Of an event that is not whole nothing is sent, so that an error may always follow.
        """
        chunk = await answer.chunk()
        self.first_byte_at = self.kitchen.clock.now()
        self.body = b""
        response = self.response
        if response is None:
            headers = for_client(answer.headers)
            headers.setdefault("Cache-Control", "no-cache")
            headers.setdefault("X-Accel-Buffering", "no")
            response = await self._commit(answer.status, headers)
        self._look_after_reader(answer)
        whole = sse.WholeEvents()
        tail = told = first = b""
        count, says_cost = 0, False
        while chunk:
            events = whole.take(chunk)
            if events:
                if not count:
                    first = events
                if b'"usage"' in events:
                    told = events
                count += events.count(b"\ndata:") + events.startswith(b"data:")
                tail = events if len(events) > usage.TAIL else tail[-usage.TAIL :] + events
                self.bytes_out += len(events)
                if b"[DONE]" in events and self._count(tail, count, told, first):
                    # many a client leaves as soon as it has seen this
                    self.outcome, self.answered = "ok", True
                    events, says_cost = self._with_cost(events), True
                await response.write(events)
            chunk = await answer.chunk()
        count += whole.rest.startswith(b"data:")
        tail += whole.rest
        done = self._count(tail, count, told, first)
        if not answer.delimited and not done and self.request.path in _ENDS_IN_DONE:
            raise Broken("its connection closed before the stream was done")
        self.outcome, self.answered = "ok", True
        if not says_cost:
            whole.rest = self._with_cost(whole.rest)
        if whole.rest:
            await response.write(whole.rest)
        await response.write_eof()
        return response

    def _with_cost(self, events: bytes) -> bytes:
        """The end of a stream, and before it, as a comment, which every client skips, what was not known when the
        headers left."""
        said = self.headers_of_whole()
        text = " ".join(f"{name}={said[name]}" for name in _AT_END if name in said)
        end = sse.done_at(events) or 0
        return events[:end] + sse.comment(text) + events[end:]

    def _count(self, tail: bytes, count: int, told: bytes, first: bytes) -> bool:
        """The tokens of a stream, from its last events and the number of those with data, as usage.of_stream has it;
        whether it is done."""
        done = sse.done_at(tail) is not None
        self.tokens = usage.of_stream(tail, count - done, told, first)
        return done

    def _look_after_reader(self, answer: Source, before: int = -1) -> None:
        """Once every request_timeout, so that nothing is paid for it chunk by chunk: who has taken nothing since the
        last look, while the engine was not waited for, no longer reads. It is let go, or it would keep its replica.
        """
        seconds = self._patience_for_reader()
        if seconds is None:
            return
        if self.bytes_out == before and not answer.awaited:
            self._cut()
            return
        clock, now = self.kitchen.clock, self.bytes_out
        self._watch = clock.call_at(clock.now() + seconds, lambda: self._look_after_reader(answer, now))
