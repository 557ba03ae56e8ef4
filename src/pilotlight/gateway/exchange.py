"""One request through the gateway: hold, send on, relay, tell."""

import logging
from collections.abc import Callable, Sequence

from aiohttp import web

from pilotlight.clock import Clock
from pilotlight.errors import RequestError
from pilotlight.fleet.records import RequestRecord, StartRecord
from pilotlight.gateway import usage
from pilotlight.gateway.desk import Desk, Ticket, refusal_error
from pilotlight.gateway.stages import server_timing
from pilotlight.gateway.upstream import Answer, Broken, Silent, Unreached, Upstream
from pilotlight.http import sse
from pilotlight.http.errors import error_bytes, error_headers
from pilotlight.http.headers import to_client, to_engine
from pilotlight.spec.model import Model

log = logging.getLogger(__name__)


class Patience:
    """When a held request is told that it is not forgotten; seconds [G].

    The first sign commits a 200, so it is delayed: a start that fails before it is still answered with its status.
    """

    def __init__(self, comment: float = 2.0, space: float = 20.0, every: float = 5.0) -> None:
        self.comment = comment
        """The first SSE comment of a streaming request."""
        self.space = space
        """The first leading blank of a JSON answer."""
        self.every = every
        """Each further one; below the 60 s after which common proxies cut."""


class Kitchen:
    """What every exchange uses."""

    def __init__(
        self,
        *,
        clock: Clock,
        desk: Desk,
        upstream: Upstream,
        url_of: Callable[[str], str],
        ready_at: Callable[[str], float | None],
        report: Callable[[str], StartRecord | None],
        log_tail: Callable[[str], tuple[str, ...]],
        progress: Callable[[str], str],
        told: Sequence[Callable[[RequestRecord], None]],
        patience: Patience | None = None,
    ) -> None:
        self.clock = clock
        self.desk = desk
        self.upstream = upstream
        self.url_of = url_of
        """A replica's base URL. KeyError when it is gone."""
        self.ready_at = ready_at
        """When a replica came up; None when it is gone."""
        self.report = report
        self.log_tail = log_tail
        self.progress = progress
        """What a held request of this deployment may be told."""
        self.told = told
        self.patience = patience or Patience()


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
        self.stream = stream
        self.keep_alive = keep_alive
        self.key = key
        self.response: web.StreamResponse | None = None
        """Set once something was sent to the client."""
        self.ticket: Ticket
        self.status = 499
        self.outcome = "client_left"
        self.replica: str | None = None
        self.replica_ready_at: float | None = None
        self.sent_at: float | None = None
        self.first_byte_at: float | None = None
        self.tokens = usage.NONE
        self.bytes_out = 0

    async def run(self) -> web.StreamResponse:
        desk = self.kitchen.desk
        self.ticket = desk.open(self.id, self.deployment, self.keep_alive)
        try:
            return await self._serve()
        except RequestError as e:
            return await self._fail(e)
        except ConnectionResetError:
            # The client left while we wrote; it needs no answer, but aiohttp wants one.
            self.status, self.outcome = 499, "client_left"
            return self.response or web.Response(status=499)
        finally:
            desk.close(self.ticket, self.outcome == "ok")
            self._tell()

    # -- hold ------------------------------------------------------------------------------------------------------

    async def _serve(self) -> web.StreamResponse:
        """Raises RequestError for whatever the client must be told; ConnectionResetError when it has left."""
        tried_before = False
        while True:
            if self.ticket.waiting:
                await self._hold()
            refusal = self.ticket.refusal
            if refusal is not None:
                self.outcome = "start_failed" if refusal.code == "start_failed" else "refused"
                tail = self.kitchen.log_tail(refusal.replica) if refusal.replica else ()
                raise refusal_error(refusal, tail)
            try:
                return await self._forward()
            except Unreached as e:
                if tried_before:
                    self.outcome = "engine_died"
                    text = (
                        f"the engine of {self.deployment} ended the request before its first byte, twice: {e}"
                    )
                    raise RequestError(502, text, code="engine_died") from None
                tried_before = True
                self.kitchen.desk.bounce(self.ticket)

    async def _hold(self) -> None:
        patience = self.kitchen.patience
        first = patience.comment if self.stream else patience.space
        delay = first if self.response is None else patience.every
        while not await self.ticket.wait(delay):
            if self.response is None:
                await self._commit(
                    200, {"Content-Type": sse.CONTENT_TYPE if self.stream else "application/json"}
                )
            assert self.response is not None
            sign = sse.comment(self.kitchen.progress(self.deployment)) if self.stream else b" "
            await self.response.write(sign)
            delay = patience.every

    # -- send on and relay -----------------------------------------------------------------------------------------

    async def _forward(self) -> web.StreamResponse:
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
        headers = to_engine(self.request.headers)
        try:
            answer = await kitchen.upstream.send(
                url + self.request.path_qs, headers, self.body, self.model.request_timeout
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
        if self.response is None:
            self.status = answer.status
            response = web.Response(status=answer.status, body=payload)
            response.headers.extend(to_client(answer.headers))
            response.headers.extend(self._own_headers())
            return response
        if self.stream:
            payload = b"data: " + payload.replace(b"\n", b" ") + b"\n\n"
        await self.response.write(payload)
        await self.response.write_eof()
        return self.response

    async def _relay(self, answer: Answer) -> web.StreamResponse:
        """A stream, chunk by chunk as it comes; reads on only when the client has taken what there was."""
        chunk = await answer.chunk()
        self.first_byte_at = self.kitchen.clock.now()
        if self.response is None:
            headers = to_client(answer.headers)
            headers.setdefault("Cache-Control", "no-cache")
            headers.setdefault("X-Accel-Buffering", "no")
            await self._commit(answer.status, headers)
        response = self.response
        assert response is not None
        before = tail = b""
        count = 0
        while chunk:
            count += chunk.count(b"data: ")
            self.bytes_out += len(chunk)
            await response.write(chunk)
            before, tail = tail, chunk
            chunk = await answer.chunk()
        end = (before + tail)[-usage.TAIL :]
        self.tokens = usage.of_stream(end, count)
        if not answer.delimited and sse.DONE not in end:
            raise Broken("its connection closed before the stream was done")
        self.outcome = "ok"
        await response.write_eof()
        return response

    async def _commit(self, status: int, headers: dict[str, str] | object) -> None:
        response = web.StreamResponse(status=status)
        response.headers.extend(headers)  # pyright: ignore[reportArgumentType]
        response.headers.extend(self._own_headers())
        await response.prepare(self.request)
        self.response = response
        self.status = status

    # -- tell --------------------------------------------------------------------------------------------------------

    def _own_headers(self) -> dict[str, str]:
        cold = self._cold()
        headers = {"x-pilotlight-request-id": self.id, "x-pilotlight-start": "cold" if cold else "warm"}
        if cold and self.sent_at is not None:
            headers["Server-Timing"] = server_timing(self._record())
        return headers

    def _cold(self) -> bool:
        if self.replica_ready_at is not None:
            return self.replica_ready_at > self.ticket.arrived_at
        return self.ticket.replica is None and self.outcome != "refused"

    async def _fail(self, e: RequestError) -> web.StreamResponse:
        """The error as a status when nothing was sent yet, else as an event or as the object that was promised."""
        response = self.response
        if response is None:
            self.status = e.status
            body, headers = error_bytes(e), error_headers(e)
            headers["x-pilotlight-request-id"] = self.id
            return web.Response(status=e.status, body=body, headers=headers)
        try:
            await response.write(sse.error_event(e) if self.stream else error_bytes(e))
            await response.write_eof()
        except ConnectionResetError:
            log.debug("%s left before it could be told: %s", self.id, e)
        return response

    def _record(self) -> RequestRecord:
        t, ready_at = self.ticket, self.replica_ready_at
        waited = self.replica is not None and ready_at is not None and ready_at > t.arrived_at
        report = self.kitchen.report(self.replica) if waited and self.replica else None
        clock = self.kitchen.clock
        now = clock.now()
        return RequestRecord(
            request_id=self.id,
            model=self.deployment,
            path=self.request.path,
            stream=self.stream,
            arrived_at=t.arrived_at,
            arrived_unix=clock.wall() - (now - t.arrived_at),
            ended_at=now,
            status=self.status,
            outcome=self.outcome,
            key=self.key,
            session=self.request.headers.get("x-session-id"),
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
        )

    def _tell(self) -> None:
        record = self._record()
        for tell in self.kitchen.told:
            try:
                tell(record)
            except Exception:
                log.exception("a request could not be recorded")


def _is_events(answer: Answer) -> bool:
    return answer.headers.get("Content-Type", "").startswith(sse.CONTENT_TYPE)
