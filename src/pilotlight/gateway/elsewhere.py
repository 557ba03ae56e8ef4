"""A request that a provider is asked for: alone, or beside a replica where it is hedged."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from pilotlight.errors import RequestError
from pilotlight.gateway.connection import Silent
from pilotlight.gateway.desk import Ticket
from pilotlight.gateway.errand import Errand
from pilotlight.gateway.relay import Relay
from pilotlight.gateway.remote_call import Call
from pilotlight.gateway.remote_head import entering, said_without
from pilotlight.gateway.remote_rules import MAY_NOT, Refused
from pilotlight.gateway.upstream import Answer, Broken, Unreached
from pilotlight.policy.breaker import KEPT

log = logging.getLogger("pilotlight")


class Elsewhere(Relay):
    call: Call | None = None
    """The provider's part, once it answers."""
    may_leave: Callable[[], bool]
    """Whether it still may, asked at the moment of sending: a reload may have forbidden it since it came."""

    async def _send_on(self, fresh: bool) -> Answer:
        raise NotImplementedError

    async def _deliver(self, answer: Answer) -> web.StreamResponse:
        raise NotImplementedError

    def _broken(self, e: Broken | Silent) -> RequestError:
        raise NotImplementedError

    async def _elsewhere(self) -> web.StreamResponse | None:
        """The answer; None when no provider has it any more, and the kernel has said where it goes, or will.

        Raises RequestError when an answer ended before its end.
        """
        home: Home | None = None
        try:
            while self.ticket.elsewhere:
                errand = self.ticket.errand
                assert errand is not None
                if errand.hedged and home is None:
                    home = asyncio.ensure_future(self._at_home())
                response = await self._race(errand, home)
                if response is not None:
                    return response
                if home is not None and not self.ticket.elsewhere:
                    await self._signs(_end_of(home, self.ticket))
            self.provider = None
            return None if home is None or _gave_none(home) else await self._of_replica(home)
        finally:
            await _let_go(home)

    async def _race(self, errand: Errand, home: "Home | None") -> web.StreamResponse | None:
        """The errand, against `home` where that is; whoever gives the first byte has it. None: it was declined."""
        call = self._call(errand)
        if call is None:
            return None
        opening = asyncio.ensure_future(self.kitchen.remotes.open(call))
        try:
            await self._signs(_first_of(opening, home))
            if opening.done():
                opening.result()
                await _let_go(home)  # the kernel has given its place to somebody else already
                return await self._of_provider(call)
            call.settle(reason="a replica was faster")
            await _let_go(opening)
            call.close()
            assert home is not None
            return await self._of_replica(home)
        except Refused as e:
            if e.kind == KEPT:
                self.ticket.remote = None
            call.decline(e)
            log.info(
                "%s: %s declined: %s", self.id, errand.provider, said_without(call.target.secrets, e.reason)
            )
            return None
        except (Broken, Silent) as e:
            raise self._cut_short(call, e) from None
        finally:
            await _let_go(opening)
            call.close()

    def _call(self, errand: Errand) -> Call | None:
        remote, request = self.ticket.remote, self.request
        if remote is None or not self.may_leave():
            self.ticket.remote = None
            errand.decline(KEPT, MAY_NOT)
            return None
        errand.key, errand.request_class = self.key, self.terms.request_class
        self.provider, self.first_byte_at = errand.provider, None
        tokens = remote.input_tokens
        return self.kitchen.remotes.call(
            errand, request.path, request.raw_headers, self.body, self.stream, tokens, self.may_leave
        )

    # -- the replica's part of a hedge -----------------------------------------------------------------------------

    async def _at_home(self) -> Answer | None:
        """A replica's answer of which the first byte is there; None when none gives one."""
        ticket = self.ticket
        for fresh in (False, True):
            while ticket.replica is None and ticket.refusal is None:
                await ticket.word()
            if ticket.replica is None:
                return None
            try:
                return await self._begun(await self._send_on(fresh))
            except Unreached:
                self.kitchen.desk.bounce(ticket)
            except Silent:
                return None
        return None

    async def _begun(self, answer: Answer) -> Answer | None:
        good = False
        try:
            await answer.come()
            good = answer.status < 500
        finally:
            if not good:
                answer.close()
        return answer if good else None

    async def _of_replica(self, home: "Home") -> web.StreamResponse:
        answer = home.result()
        assert answer is not None
        self.provider = None
        try:
            return await self._deliver(answer)
        except (Broken, Silent) as e:
            raise self._broken(e) from None

    # -- the provider's ----------------------------------------------------------------------------------------------

    async def _of_provider(self, call: Call) -> web.StreamResponse:
        if self.replica is not None:  # what it does from now on it does for others
            self.kitchen.began(self.id, "", self.deployment, self.key, self.terms.request_class)
        self.replica = self.replica_ready_at = self.served_model = None
        self.sent_at, self.first_byte_at = call.began_at, call.first_byte_at
        call.headers = entering(call.headers, call.target.secrets)
        if call.payload is None:
            self.call = call
            return await self._relay(call)
        call.settle()
        if call.status == 200:
            self.tokens = call.meter.tokens()
        return await self._hand_over(call.status, call.headers, call.shown())

    def _count(self, tail: bytes, count: int, told: bytes, first: bytes) -> bool:
        done = super()._count(tail, count, told, first)
        if self.call is not None:
            meter = self.call.meter
            meter.told, meter.events = self.tokens, count - done
            self.tokens = meter.tokens()
        return done

    def _with_cost(self, events: bytes) -> bytes:
        if self.call is not None:
            self.call.settle()
        return super()._with_cost(events)

    def _cut_short(self, call: Call, e: Broken | Silent) -> RequestError:
        """What the client is told of a provider that did not end its answer."""
        reason = call.why_cut(e)
        call.settle(False, reason)
        text = f"the provider {call.target.name} did not end its answer: {reason}"
        if isinstance(e, Silent):
            self.outcome = "timeout"
            return RequestError(504, text, code="provider_timeout")
        self.outcome = "provider_failed"
        return RequestError(502, text, code="provider_failed")


Home = asyncio.Task[Answer | None]
_Over = Callable[[float | None], Awaitable[bool]]


def _first_of(opening: "asyncio.Task[None]", home: Home | None) -> _Over:
    """Until one of them has an answer; a replica that gave none leaves it to the provider."""

    async def over(seconds: float | None) -> bool:
        tasks: set[asyncio.Task[Any]] = {opening}
        if home is not None and not _gave_none(home):
            tasks.add(home)
        await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return opening.done() or (home is not None and home.done() and not _gave_none(home))

    return over


def _end_of(home: Home, ticket: Ticket) -> _Over:
    """Of the replica's part; or until another provider has it, as one may that could not be asked before."""

    async def leaves() -> None:
        while not ticket.elsewhere:
            await ticket.word()

    async def over(seconds: float | None) -> bool:
        leaving = asyncio.ensure_future(leaves())
        try:
            await asyncio.wait((home, leaving), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
        return home.done() or ticket.elsewhere

    return over


def _gave_none(home: Home) -> bool:
    return home.done() and (home.exception() is not None or home.result() is None)


async def _let_go(task: "asyncio.Task[Any] | None") -> None:
    """Ends it; an answer that nobody took is cut."""
    if task is None:
        return
    if not task.done():
        task.cancel()
        await asyncio.wait((task,))
    if not task.cancelled() and task.exception() is None and isinstance(answer := task.result(), Answer):
        answer.close()
