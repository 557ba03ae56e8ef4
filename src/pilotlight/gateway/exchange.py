"""One request through the gateway: hold, send on, relay, tell."""

import asyncio
import logging
from collections.abc import Mapping

from aiohttp import web

from pilotlight.clock import Timer
from pilotlight.errors import RequestError
from pilotlight.fleet.records import RequestRecord
from pilotlight.gateway import usage
from pilotlight.gateway.desk import Ticket, refusal_error
from pilotlight.gateway.kitchen import Kitchen
from pilotlight.gateway.stages import server_timing
from pilotlight.gateway.upstream import Answer, Broken, Silent, Unreached
from pilotlight.http import sse
from pilotlight.http.errors import as_error, error_bytes, error_headers
from pilotlight.http.handler import OURS
from pilotlight.http.headers import printable, to_client, to_engine
from pilotlight.spec.model import Model

log = logging.getLogger(__name__)


_STREAM = {"Content-Type": sse.CONTENT_TYPE, "Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
_JSON = {"Content-Type": "application/json"}
_ENDS_IN_DONE = frozenset({"/v1/chat/completions", "/v1/completions"})


class Exchange:
    """Runs once."""

    def __init__(
        self,
        kitchen: Kitchen,
        request: web.Request,
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
            return self.response or web.Response(status=499)
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
                raise refusal_error(refusal, tail)
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
        self.outcome = "ok" if answer.status < 400 else "engine_error"
        self.answered = answer.status < 500
        response = self.response
        if response is None:
            self.status = answer.status
            headers = to_client(answer.headers)
            headers.update(self._own_headers())
            return web.Response(status=answer.status, body=payload, headers=headers)
        if answer.status >= 400:
            payload = as_error(payload, answer.status)
        try:
            async with asyncio.timeout(self._patience_for_reader()):
                await response.write(sse.event(payload) if self.stream else payload)
                await response.write_eof()
        except TimeoutError:
            self._cut()
        return response

    async def _relay(self, answer: Answer) -> web.StreamResponse:
        """A stream, chunk by chunk as it comes; reads on only when the client has taken what there was.

        Of an event that is not whole nothing is sent, so that an error may always follow.
        """
        chunk = await answer.chunk()
        self.first_byte_at = self.kitchen.clock.now()
        self.body = b""
        response = self.response
        if response is None:
            headers = to_client(answer.headers)
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
                await response.write(events)
            chunk = await answer.chunk()
        count += whole.rest.startswith(b"data:")
        tail += whole.rest
        done = tail.startswith(sse.DONE) or b"\n" + sse.DONE in tail
        self.tokens = usage.of_stream(tail, count - done)
        if not answer.delimited and not done and self.request.path in _ENDS_IN_DONE:
            raise Broken("its connection closed before the stream was done")
        self.outcome, self.answered = "ok", True
        if whole.rest:
            await response.write(whole.rest)
        await response.write_eof()
        return response

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
        response.headers.update(self._own_headers())
        await response.prepare(self.request)
        self.response = response
        self.status = status
        return response

    # -- tell --------------------------------------------------------------------------------------------------------

    def _own_headers(self) -> dict[str, str]:
        start = self._start()
        headers = {"x-pilotlight-request-id": self.id, "x-pilotlight-start": start}
        if start == "cold" and self.sent_at is not None:
            headers["Server-Timing"] = server_timing(self._record())
        return headers

    def _start(self) -> str:
        """What can be said before it is over, in the words of RequestRecord.start."""
        if self.replica_ready_at is not None:
            return "cold" if self.replica_ready_at > self.ticket.waiting_since else "warm"
        if self.ticket.replica is None and (self._in_vain() or self.outcome == "start_failed"):
            return "cold"
        return "none" if self.outcome == "refused" else "warm"

    def _in_vain(self) -> bool:
        """Whether it waits, or has waited until its end, for nothing but a start."""
        return self.ticket.was_held and self.outcome != "refused" and not self.kitchen.is_up(self.deployment)

    async def _fail(self, e: RequestError) -> web.StreamResponse:
        """The error as a status when nothing was sent yet, else as an event or as the object that was promised."""
        response = self.response
        if response is None:
            self.status = e.status
            body, headers = error_bytes(e), error_headers(e)
            headers.update(self._own_headers())
            return web.Response(status=e.status, body=body, headers=headers)
        try:
            await response.write(sse.error_event(e) if self.stream else error_bytes(e))
            await response.write_eof()
        except ConnectionResetError:
            log.debug("%s left before it could be told: %s", self.id, e)
        return response

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
            prompt_tokens=self.tokens.prompt,
            output_tokens=self.tokens.output,
            tokens_from=self.tokens.source,
            bytes_out=self.bytes_out,
            start_record=report,
            in_vain=t.replica is None and self._in_vain(),
        )


def _is_events(answer: Answer) -> bool:
    return answer.content_type.startswith(sse.CONTENT_TYPE.encode())
