"""One request at a provider, from its first byte out to its last one in."""

import asyncio
from collections.abc import Callable

import msgspec

from pilotlight.clock import Clock
from pilotlight.fleet.provider import Provider as Known
from pilotlight.gateway import usage
from pilotlight.gateway.connection import Silent
from pilotlight.gateway.errand import Errand
from pilotlight.gateway.remote_cost import Meter
from pilotlight.gateway.remote_head import Secrets, said_without, without
from pilotlight.gateway.remote_rules import MAY_NOT, Refused, judge, judge_payload
from pilotlight.gateway.upstream import Answer, Broken, Unreached, Upstream
from pilotlight.http import sse
from pilotlight.http.errors import NO_JSON
from pilotlight.http.headers import Raw
from pilotlight.policy.breaker import KEPT
from pilotlight.spec.model import Provider
from pilotlight.units import format_size

FIRST_EVENT = 2**20
"""Bytes in which a stream's first event must have come."""


class Target(msgspec.Struct, frozen=True):
    """A provider as requests are sent to it."""

    name: str
    spec: Provider
    known: Known
    """As the kernel knows it."""
    key: str | None = None
    secrets: Secrets = ()
    """Of what it is sent: what it repeats of them reaches nobody."""


class Order(msgspec.Struct, frozen=True):
    """What is asked of it."""

    path: str
    """Under its base_url, without /v1; with the query that base_url has."""
    headers: bytes
    body: bytes
    model: str
    """As the provider calls it."""
    stream: bool
    inputs: int
    """Tokens at most."""
    outputs: int
    """Tokens at most."""


_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Call:
    """`open` once, then read, then `close`, whatever happens."""

    def __init__(
        self,
        target: Target,
        errand: Errand,
        order: Order,
        clock: Clock,
        may_leave: Callable[[], bool] = lambda: True,
    ) -> None:
        """`may_leave`: asked when its first byte is to go out."""
        self.target = target
        self.errand = errand
        self.meter = Meter(target.known.tariff, len(order.body), order.inputs, order.outputs)
        self.payload: bytes | None = None
        """The answer, where it is no stream."""
        self.status = 0
        self.headers: Raw = ()
        self.delimited = True
        self.began_at = clock.now()
        self.first_byte_at: float | None = None
        self._order = order
        self._clock = clock
        self._may_leave = may_leave
        self._answer: Answer | None = None
        self._first = b""
        """Of a stream, what was read to see how it begins."""
        self._whole = sse.WholeEvents()
        self._timer: asyncio.TimerHandle | None = None
        self._overdue = False
        errand.owed = lambda: self.meter.usd(clock.now())

    # -- up to the first byte ------------------------------------------------------------------------------------

    async def open(self, upstream: Upstream) -> None:
        """Returns once the client can be given something. Raises Refused before that, Broken or Silent when a whole
        answer ended in its middle."""
        spec, order = self.target.spec, self._order
        limits = (spec.first_byte_timeout, "first_byte_timeout"), (spec.max_duration, "max_duration")
        seconds, key = min(limits)
        try:
            async with asyncio.timeout(seconds):
                answer = self._answer = await upstream.send(
                    spec.base_url,
                    order.path,
                    order.headers,
                    order.body,
                    float("inf"),
                    connect=spec.connect_timeout,
                    sent=self._sent,
                )
                self.status, self.headers, self.delimited = answer.status, answer.headers, answer.delimited
                self._judge()
                if order.stream and answer.status == 200:
                    await self._begins()
                else:
                    await self._whole_begins(answer)
        except TimeoutError:
            raise Refused("timeout", f"no byte of its answer came within {seconds:g} s ({key})") from None
        except Silent as e:
            raise Refused("timeout", self.why_cut(e)) from None
        except Unreached as e:
            raise self._unreached(e) from None
        except Broken as e:
            raise Refused("error", f"its answer ended before its first event: {e}") from None
        answer.within(spec.request_timeout)
        if order.stream and answer.status == 200:
            self.first_byte_at = self._clock.now()
            self.errand.answer()
        else:
            await self._read_whole(answer)

    def _sent(self) -> None:
        """Raises Refused when it may not be sent any more."""
        if not self._may_leave():
            raise Refused(KEPT, MAY_NOT)
        spec = self.target.spec
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(spec.max_duration, self._out_of_time)
        if self.meter.sent_at is None:
            self.meter.sent_at = self._clock.now()

    def _out_of_time(self) -> None:
        self._overdue = True
        if self._answer is not None:
            self._answer.give_up(Silent())

    def why_cut(self, error: Broken | Unreached | Silent) -> str:
        """What an answer that was not ended came to."""
        spec = self.target.spec
        if not isinstance(error, Silent):
            return f"its answer was cut: {error}"
        if self._overdue:
            return f"its answer took longer than {spec.max_duration:g} s (max_duration)"
        return f"its answer went without a byte for {spec.request_timeout:g} s (request_timeout)"

    def _unreached(self, error: Unreached) -> Refused:
        if self._answer is not None:
            return Refused("error", f"its answer ended with its head: {error}", worked=True)
        return Refused("unreachable", str(error))

    def _judge(self) -> None:
        judge(self.status, self.headers, self._order.stream, self._clock.wall())
        self.meter.only_time = self.status != 200

    async def _begins(self) -> None:
        """Reads a stream up to its first event: comments before it are signs of life and no answer."""
        while (event := _first_event(self._first)) is None:
            chunk = await self.chunk()
            if not chunk:
                raise Refused("error", "its stream ended without an event", worked=True)
            self._first += chunk
            if len(self._first) > FIRST_EVENT:
                began = any(line.startswith(b"data:") for line in self._first.split(b"\n"))
                what = "its stream's first event is larger than" if began else "its stream has no event in"
                raise Refused("error", f"{what} {format_size(FIRST_EVENT)}", worked=True)
        self.meter.events = 0  # of what is kept back they are counted when it is read
        judge_payload(event, self._order.model, self.target.name)

    async def _whole_begins(self, answer: Answer) -> None:
        """Leading blanks are a pilotlight's signs of life."""
        while not self._first.strip():
            chunk = await answer.chunk()
            if not chunk:
                break
            self._first = chunk

    async def _read_whole(self, answer: Answer) -> None:
        """Raises Broken or Silent, and Refused for what is no answer to what was asked."""
        try:
            rest = await answer.whole()
        except (Broken, Unreached, Silent) as e:
            if self.errand.hedged:  # its replica may still answer
                raise Refused("error", self.why_cut(e), worked=True) from None
            self.errand.answer(whole=True)
            raise (e if not isinstance(e, Unreached) else Broken(str(e))) from None
        self.payload = payload = self._first + rest
        self.meter.came = len(payload)
        self.first_byte_at = self.meter.ended_at = self._clock.now()
        self.meter.told = usage.of_answer(payload)
        if self.status == 200:
            try:
                _decode(payload)
            except NO_JSON:
                raise Refused("error", "its answer is no JSON object", worked=True) from None
            judge_payload(payload, self._order.model, self.target.name)
        if self.errand.is_ping:
            self.errand.answer()
        else:
            self.errand.answer(whole=True, tokens=self.meter.tokens().output if self.status == 200 else None)

    # -- and on --------------------------------------------------------------------------------------------------

    async def chunk(self) -> bytes:
        """As Answer has it, but of whole events."""
        if self.first_byte_at is not None and self._first:
            data, self._first = self._first, b""
        else:
            data = await self._events()
        self.meter.events += data.count(b"\ndata:") + data.startswith(b"data:")
        return data

    async def _events(self) -> bytes:
        """What has come, without our secrets: of an event that is not whole they could not be told."""
        assert self._answer is not None
        whole = self._whole
        while chunk := await self._answer.chunk():
            self.meter.came += len(chunk)
            if events := whole.take(chunk):
                return without(self.target.secrets, events)
        rest, whole.rest = whole.rest, b""
        return without(self.target.secrets, rest)

    @property
    def awaited(self) -> bool:
        return self._answer is not None and self._answer.awaited

    def shown(self) -> bytes:
        """The whole answer as a client may see it: what repeats our secrets does not reach it."""
        assert self.payload is not None
        return without(self.target.secrets, self.payload)

    def decline(self, refused: Refused) -> None:
        self.meter.only_time = not refused.worked and refused.kind != "timeout"
        reason = said_without(self.target.secrets, refused.reason)
        self.errand.decline(refused.kind, reason, refused.retry_after)

    def settle(self, ok: bool = True, reason: str = "") -> None:
        """What was counted until now is what it costs."""
        if self.meter.ended_at is None:
            self.meter.ended_at = self._clock.now()
        self.errand.lied = self.meter.lied
        self.errand.charge(ok, said_without(self.target.secrets, reason))

    def close(self) -> None:
        """Cuts what is not over. What is not settled is settled by the desk."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._answer is not None:
            self._answer.close()


def _first_event(data: bytes) -> bytes | None:
    """The data of the first event that is whole."""
    for line in data.split(b"\n")[:-1]:
        if line.startswith(b"data:"):
            return line[5:].strip()
    return None
