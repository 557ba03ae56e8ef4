"""One request through the gateway: hold, send on, relay, tell."""

import asyncio
import logging
from collections.abc import Mapping

from aiohttp import web

from pilotlight.clock import Timer
from pilotlight.errors import RequestError
from pilotlight.fleet.records import RequestRecord
from pilotlight.gateway import usage
from pilotlight.gateway.connection import Silent
from pilotlight.gateway.desk import Ticket, refusal_error
from pilotlight.gateway.kitchen import Kitchen
from pilotlight.gateway.upstream import Answer, Broken, Unreached
from pilotlight.http import sse
from pilotlight.http.answer import sent, whole
from pilotlight.http.errors import as_error, error_bytes, error_headers
from pilotlight.http.headers import SERVER, Raw, for_client, printable, to_engine
from pilotlight.http.routes import OURS
from pilotlight.spec.model import Model
from pilotlight.telemetry.stages import server_timing

log = logging.getLogger(__name__)


_STREAM = {"Content-Type": sse.CONTENT_TYPE, "Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
_JSON = {"Content-Type": "application/json"}
AT_ONCE = 64 * 2**10
"""Bytes that are handed to the system without waiting for the client to take any."""
_ENDS_IN_DONE = frozenset({"/v1/chat/completions", "/v1/completions"})


class Exchange:
    """Runs once."""

    def __init__(
        self,
        kitchen: Kitchen,
        request: web.BaseRequest,
        *,
        id: str,
        deployment: str,
        model: Model,
        body: bytes,
        stream: bool,
        keep_alive: float | None,
        key: str | None,
    ) -> None:
        self.kitchen = kitchen
        self.request = request
        self.id = id
        self.deployment = deployment
        self.model = model
        self.body = body
        """Empty once a stream has begun, for then it is not sent again."""
        self.stream = stream
        self.keep_alive = keep_alive
        self.key = key
        self.response: web.StreamResponse | None = None
        """Set once something was sent to the client."""
        self.ticket: Ticket
        self.status = 499
        self.outcome = "client_left"
        self.answered = False
        """The engine answered in full, and did not say that it failed."""
        self.replica: str | None = None
        self.replica_ready_at: float | None = None
        self.woken = False
        """It came up by a wake, as far as that matters here."""
        self.sent_at: float | None = None
        self.first_byte_at: float | None = None
        self.tokens = usage.NONE
        self.bytes_out = 0
        self._watch: Timer | None = None

    async def run(self) -> web.StreamResponse:
        desk = self.kitchen.desk
        self.ticket = desk.open(self.id, self.deployment, self.keep_alive)
        try:
            return await self._serve()
        except RequestError as e:
            return await self._fail(e)
        except ConnectionResetError:
            # The client left while we wrote; it needs no answer, but aiohttp wants one.
            self.outcome = "client_left"
            return self.response or sent(self.request)
        except Exception:
            log.exception("request %s", self.id)
            self.outcome = "internal_error"
            return await self._fail(OURS)
        finally:
            if self._watch is not None:
                self._watch.cancel()
            desk.close(self.ticket, self.answered)
            self.kitchen.tell(self._record())

    # -- hold ------------------------------------------------------------------------------------------------------

    async def _serve(self) -> web.StreamResponse:
        """Raises RequestError for whatever the client must be told; ConnectionResetError when it has left."""
        tried_before = False
        while True:
            if self.ticket.waiting:
                await self._wait()
            refusal = self.ticket.refusal
            if refusal is not None:
                self.outcome = "start_failed" if refusal.code == "start_failed" else "refused"
                tail = self.kitchen.log_tail(refusal.replica) if refusal.replica else ()
                seen = self.kitchen.seen(refusal.replica) if refusal.replica else ""
                raise refusal_error(refusal, tail, seen)
            try:
                return await self._forward(fresh=tried_before)
            except Unreached as e:
                if tried_before:
                    self.outcome = "engine_died"
                    text = (
                        f"the engine of {self.deployment} ended the request before its first byte, twice: {e}"
                    )
                    raise RequestError(502, text, code="engine_died") from None
                tried_before = True
                self.replica_ready_at = None
                self.kitchen.desk.bounce(self.ticket)

    async def _wait(self) -> None:
        kitchen, size = self.kitchen, len(self.body)
        if kitchen.held_bytes + size > kitchen.max_held_bytes:
            self.outcome = "refused"
            text = f"the requests that wait hold {kitchen.held_bytes} bytes already; try again later"
            raise RequestError(
                429, text, code="too_many_pending_requests", type="rate_limit_error", retry_after=2.0
            )
        kitchen.held_bytes += size
        try:
            await self._hold()
        finally:
            kitchen.held_bytes -= size

    async def _hold(self) -> None:
        patience = self.kitchen.patience
        first = patience.comment if self.stream else patience.space
        delay = first if self.response is None else patience.every
        while not await self.ticket.wait(delay):
            if self.response is None:
                response = await self._commit(200, _STREAM if self.stream else _JSON)
            else:
                response = self.response
            sign = sse.comment(self.kitchen.progress(self.deployment)) if self.stream else b" "
            await response.write(sign)
            delay = patience.every

    # -- send on and relay -----------------------------------------------------------------------------------------

    async def _forward(self, fresh: bool) -> web.StreamResponse:
        kitchen = self.kitchen
        replica = self.ticket.replica
        assert replica is not None
        self.replica = replica
        self.replica_ready_at = kitchen.ready_at(replica)
        self.woken = self.ticket.was_held and kitchen.woken(replica)
        try:
            url = kitchen.url_of(replica)
        except KeyError:
            raise Unreached(f"{replica} is gone") from None
        self.sent_at = kitchen.clock.now()
        headers = to_engine(self.request.raw_headers)
        target = self.request.raw_path
        if not target.startswith("/"):  # http://host/path, which a client of a proxy sends
            target = self.request.path_qs
        try:
            answer = await kitchen.upstream.send(
                url, target, headers, self.body, self.model.request_timeout, fresh=fresh
            )
            try:
                if self.stream and answer.status == 200 and _is_events(answer):
                    return await self._relay(answer)
                return await self._pass_on(answer)
            finally:
                answer.close()
        except Silent:
            self.outcome = "timeout"
            text = f"the engine sent nothing for {self.model.request_timeout:g} s (request_timeout)"
            raise RequestError(504, text, code="engine_timeout") from None
        except Broken as e:
            self.outcome = "engine_died"
            text = f"the engine of {self.deployment} died in the middle of its answer: {e}"
            raise RequestError(502, text, code="engine_died") from None

    async def _pass_on(self, answer: Answer) -> web.StreamResponse:
        """An answer that is read whole before the client gets any of it, so that a cut one is a clean error."""
        payload = await answer.whole()
        self.first_byte_at = self.kitchen.clock.now()
        self.bytes_out = len(payload)
        self.tokens = usage.of_answer(payload)
        self.answered = answer.status < 500
        outcome = "ok" if answer.status < 400 else "engine_error"
        response = self.response
        if response is None:
            await self._send(answer.status, answer.headers, self._own_headers(), payload, outcome)
            return sent(self.request)
        self.outcome = outcome
        if answer.status >= 400:
            payload = as_error(payload, answer.status)
        try:
            async with asyncio.timeout(self._patience_for_reader()):
                await response.write(sse.event(payload) if self.stream else payload)
                await response.write_eof()
        except TimeoutError:
            self._cut()
        return response

    async def _send(
        self, status: int, headers: Raw, own: Mapping[str, str], body: bytes, outcome: str
    ) -> None:
        """A whole answer in one piece. ConnectionResetError when the client has left."""
        writer = self.request.writer
        data = whole(self.request, status, headers, own, body)
        if len(data) <= AT_ONCE:
            await writer.write(data)
            self.status, self.outcome = status, outcome
            return
        # The engine has done its part: a client that is slow to read keeps nobody else from it.
        self.kitchen.desk.close(self.ticket, self.answered)
        try:
            async with asyncio.timeout(self._patience_for_reader()):
                await writer.write(data)
                await writer.drain()
            self.outcome = outcome
        except TimeoutError:
            self._cut()
        self.status = status

    async def _relay(self, answer: Answer) -> web.StreamResponse:
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
        tail = b""
        count = 0
        while chunk:
            events = whole.take(chunk)
            if events:
                count += events.count(b"\ndata:") + events.startswith(b"data:")
                tail = events if len(events) > usage.TAIL else tail[-usage.TAIL :] + events
                self.bytes_out += len(events)
                if sse.DONE in events and self._count(tail, count):
                    self.outcome, self.answered = (
                        "ok",
                        True,
                    )  # many a client leaves as soon as it has seen this
                await response.write(events)
            chunk = await answer.chunk()
        count += whole.rest.startswith(b"data:")
        tail += whole.rest
        done = self._count(tail, count)
        if not answer.delimited and not done and self.request.path in _ENDS_IN_DONE:
            raise Broken("its connection closed before the stream was done")
        self.outcome, self.answered = "ok", True
        if whole.rest:
            await response.write(whole.rest)
        await response.write_eof()
        return response

    def _count(self, tail: bytes, count: int) -> bool:
        """The tokens of a stream, from its last events and the number of those with data; whether it is done."""
        done = tail.startswith(sse.DONE) or b"\n" + sse.DONE in tail
        self.tokens = usage.of_stream(tail, count - done)
        return done

    def _look_after_reader(self, answer: Answer, before: int = -1) -> None:
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

    def _patience_for_reader(self) -> float | None:
        seconds = self.model.request_timeout
        return None if seconds == float("inf") else seconds

    def _cut(self) -> None:
        """Lets go a client that does not read."""
        self.outcome = "client_left"
        if self.request.transport is not None:
            self.request.transport.abort()

    async def _commit(self, status: int, headers: Mapping[str, str]) -> web.StreamResponse:
        response = web.StreamResponse(status=status)
        response.headers.extend(headers)
        response.headers["Server"] = SERVER
        response.headers.update(self._own_headers())
        await response.prepare(self.request)
        self.response = response
        self.status = status
        return response

    # -- tell --------------------------------------------------------------------------------------------------------

    def _own_headers(self) -> dict[str, str]:
        start = self._start()
        headers = {"x-pilotlight-request-id": self.id, "x-pilotlight-start": start}
        if start in ("cold", "woken") and self.sent_at is not None:
            headers["Server-Timing"] = server_timing(self._record())
        return headers

    def _start(self) -> str:
        """What can be said before it is over, in the words of RequestRecord.start."""
        if self.replica_ready_at is not None:
            waited = "woken" if self.woken else "cold"
            return waited if self.replica_ready_at > self.ticket.waiting_since else "warm"
        if self.ticket.replica is None and (self._in_vain() or self.outcome == "start_failed"):
            return "cold"
        return "none" if self.outcome == "refused" else "warm"

    def _in_vain(self) -> bool:
        """Whether it waits, or has waited until its end, for nothing but a start."""
        return self.ticket.was_held and self.outcome != "refused" and not self.kitchen.is_up(self.deployment)

    async def _fail(self, e: RequestError) -> web.StreamResponse:
        """The error as a status when nothing was sent yet, else as an event or as the object that was promised."""
        response = self.response
        try:
            if response is None:
                headers = {**error_headers(e), **self._own_headers()}
                await self._send(e.status, (), headers, error_bytes(e), self.outcome)
                return sent(self.request)
            await response.write(sse.error_event(e) if self.stream else error_bytes(e))
            await response.write_eof()
        except ConnectionResetError:
            log.debug("%s left before it could be told: %s", self.id, e)
        return response or sent(self.request)

    def _record(self) -> RequestRecord:
        t, ready_at = self.ticket, self.replica_ready_at
        waited = self.replica is not None and ready_at is not None and ready_at > t.waiting_since
        report = self.kitchen.report(self.replica) if waited and self.replica else None
        clock = self.kitchen.clock
        now = clock.now()
        return RequestRecord(
            request_id=self.id,
            model=self.deployment,
            path=self.request.path,
            stream=self.stream,
            arrived_at=t.arrived_at,
            waiting_since=t.waiting_since,
            arrived_unix=clock.wall() - (now - t.arrived_at),
            ended_at=now,
            status=self.status,
            outcome=self.outcome,
            key=self.key,
            session=printable(self.request.headers.get("x-session-id")),
            replica=self.replica,
            assigned_at=t.assigned_at,
            sent_at=self.sent_at,
            first_byte_at=self.first_byte_at,
            replica_ready_at=ready_at,
            woken=self.woken,
            prompt_tokens=self.tokens.prompt,
            output_tokens=self.tokens.output,
            tokens_from=self.tokens.source,
            bytes_out=self.bytes_out,
            start_record=report,
            in_vain=t.replica is None and self._in_vain(),
        )


def _is_events(answer: Answer) -> bool:
    return answer.content_type.startswith(sse.CONTENT_TYPE.encode())
