"""One request through the gateway: hold, send on, relay, tell."""

import logging
from collections.abc import Callable

from aiohttp import web

from pilotlight.errors import RequestError
from pilotlight.fleet.classes import BATCH
from pilotlight.gateway import usage
from pilotlight.gateway.body import rewrite
from pilotlight.gateway.connection import Silent
from pilotlight.gateway.desk import Ticket, refusal_error
from pilotlight.gateway.elsewhere import Elsewhere
from pilotlight.gateway.kitchen import Kitchen
from pilotlight.gateway.remote_body import remote
from pilotlight.gateway.terms import Leave, Terms
from pilotlight.gateway.upstream import Answer, Broken, Unreached
from pilotlight.http import sse
from pilotlight.http.answer import sent
from pilotlight.http.headers import to_engine
from pilotlight.http.routes import OURS
from pilotlight.spec.model import Model

log = logging.getLogger(__name__)


class Exchange(Elsewhere):
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
        leave: Leave | None = None,
        may_leave: Callable[[], bool] = lambda: True,
    ) -> None:
        super().__init__(
            kitchen, request, id=id, deployment=deployment, model=model, stream=stream, key=key, terms=terms
        )
        self.body = body
        self.keep_alive = keep_alive
        self.leave = leave
        """None when nothing of it may leave the house."""
        self.may_leave = may_leave

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
        terms = self.terms
        may = None if terms.stand_in is None else terms.stand_in.deployment
        far = None
        # Where a replica has room nobody asks how large it can get, which takes longer to say than all else here.
        if self.leave is not None and (terms.rank == BATCH or not self.kitchen.has_room(self.deployment)):
            far = remote(self.request.path, self.body, self.leave.hedge)
        return self.kitchen.desk.open(self.id, self.deployment, self.keep_alive, terms.rank, may, far)

    # -- hold ------------------------------------------------------------------------------------------------------

    async def _serve(self) -> web.StreamResponse:
        """Raises RequestError for whatever the client must be told; ConnectionResetError when it has left."""
        tried_before = False
        while True:
            if self.ticket.errand is not None and self.ticket.elsewhere:
                response = await self._elsewhere()
                if response is not None:
                    return response
                continue
            if self.ticket.waiting:
                await self._wait()
                continue
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
                self._bounce()

    def _bounce(self) -> None:
        ticket = self.ticket
        if ticket.remote is None and self.leave is not None and self.may_leave():
            ticket.remote = remote(self.request.path, self.body, self.leave.hedge)
        self.kitchen.desk.bounce(ticket)

    async def _wait(self) -> None:
        kitchen, size = self.kitchen, len(self.body)
        kitchen.held_bytes += size
        try:
            try:
                kitchen.bound()
            except RequestError:
                self.outcome = "refused"
                raise
            await self._hold()
        finally:
            kitchen.held_bytes -= size

    async def _hold(self) -> None:
        await self._signs(self.ticket.wait)

    # -- send on and relay -----------------------------------------------------------------------------------------

    async def _forward(self, fresh: bool) -> web.StreamResponse:
        try:
            return await self._deliver(await self._send_on(fresh))
        except (Broken, Silent) as e:
            raise self._broken(e) from None

    async def _send_on(self, fresh: bool) -> Answer:
        """To the replica that the kernel has found. Raises Unreached or Silent."""
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
        return await kitchen.upstream.send(
            url, target, headers, self._body(), model.request_timeout, fresh=fresh
        )

    async def _deliver(self, answer: Answer) -> web.StreamResponse:
        try:
            if self.stream and answer.status == 200 and _is_events(answer):
                return await self._relay(answer)
            return await self._pass_on(answer)
        finally:
            answer.close()

    def _broken(self, e: Broken | Silent) -> RequestError:
        """What the client is told of an engine that did not end its answer."""
        if isinstance(e, Silent):
            self.outcome = "timeout"
            text = f"the engine sent nothing for {self.serving().request_timeout:g} s (request_timeout)"
            return RequestError(504, text, code="engine_timeout")
        self.outcome = "engine_died"
        text = f"the engine of {self.served_model or self.deployment} died in the middle of its answer: {e}"
        return RequestError(502, text, code="engine_died")

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
        self.tokens = usage.of_answer(payload)
        return await self._hand_over(answer.status, answer.headers, payload)


def _is_events(answer: Answer) -> bool:
    return answer.content_type.startswith(sse.CONTENT_TYPE.encode())
