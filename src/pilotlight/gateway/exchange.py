"""One request through the gateway: hold, send on, relay, tell."""

import asyncio
import logging

from aiohttp import web

from pilotlight.clock import Timer
from pilotlight.errors import RequestError
from pilotlight.gateway import usage
from pilotlight.gateway.body import rewrite
from pilotlight.gateway.connection import Silent
from pilotlight.gateway.desk import Ticket, refusal_error
from pilotlight.gateway.kitchen import Kitchen
from pilotlight.gateway.reply import Reply
from pilotlight.gateway.terms import Terms
from pilotlight.gateway.upstream import Answer, Broken, Unreached
from pilotlight.http import sse
from pilotlight.http.answer import sent
from pilotlight.http.errors import as_error
from pilotlight.http.headers import for_client, to_engine
from pilotlight.http.routes import OURS
from pilotlight.spec.model import Model

log = logging.getLogger(__name__)


_STREAM = {"Content-Type": sse.CONTENT_TYPE, "Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
_JSON = {"Content-Type": "application/json"}
_ENDS_IN_DONE = frozenset({"/v1/chat/completions", "/v1/completions"})


class Exchange(Reply):
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
        terms: Terms,
    ) -> None:
        super().__init__(
            kitchen, request, id=id, deployment=deployment, model=model, stream=stream, key=key, terms=terms
        )
        self.body = body
        """Empty once a stream has begun, for then it is not sent again."""
        self.keep_alive = keep_alive
        self._watch: Timer | None = None

    async def run(self) -> web.StreamResponse:
        desk = self.kitchen.desk
        self.ticket = self._open()
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
            self.kitchen.tell(self.record())

    def _open(self) -> Ticket:
        stand_in = self.terms.stand_in
        may = None if stand_in is None else stand_in.deployment
        return self.kitchen.desk.open(self.id, self.deployment, self.keep_alive, self.terms.rank, may)

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
                self.replica_ready_at = self.served_model = None
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
        self.sent_to(replica)
        model = self.serving()
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
                url, target, headers, self._body(), model.request_timeout, fresh=fresh
            )
            try:
                if self.stream and answer.status == 200 and _is_events(answer):
                    return await self._relay(answer)
                return await self._pass_on(answer)
            finally:
                answer.close()
        except Silent:
            self.outcome = "timeout"
            text = f"the engine sent nothing for {model.request_timeout:g} s (request_timeout)"
            raise RequestError(504, text, code="engine_timeout") from None
        except Broken as e:
            self.outcome = "engine_died"
            text = (
                f"the engine of {self.served_model or self.deployment} died in the middle of its answer: {e}"
            )
            raise RequestError(502, text, code="engine_died") from None

    def _body(self) -> bytes:
        """As the engine is to read it: a stand-in goes by its own name."""
        stand_in = self.terms.stand_in
        if self.served_model is None or stand_in is None:
            return self.body
        return rewrite(self.body, stand_in.served_name, drop_keep_alive=False)

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
            await self._send(answer.status, answer.headers, self.own_headers(), payload, outcome)
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


def _is_events(answer: Answer) -> bool:
    return answer.content_type.startswith(sse.CONTENT_TYPE.encode())
