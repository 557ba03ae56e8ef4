"""How one request goes: what is known of it so far, and how that is told, in headers and in its record."""

from aiohttp import web

from pilotlight.fleet.classes import BATCH
from pilotlight.fleet.records import RequestRecord
from pilotlight.gateway import usage
from pilotlight.gateway.desk import Ticket
from pilotlight.gateway.kitchen import Kitchen
from pilotlight.gateway.terms import Terms
from pilotlight.http.headers import printable
from pilotlight.spec.model import Model
from pilotlight.telemetry.stages import server_timing


class Course:
    def __init__(
        self,
        kitchen: Kitchen,
        request: web.BaseRequest,
        *,
        id: str,
        deployment: str,
        model: Model,
        stream: bool,
        key: str | None,
        terms: Terms,
    ) -> None:
        self.kitchen = kitchen
        self.request = request
        self.id = id
        self.deployment = deployment
        self.model = model
        self.stream = stream
        self.key = key
        self.terms = terms
        self.ticket: Ticket
        """There once the kernel was asked."""
        self.status = 499
        self.outcome = "client_left"
        self.replica: str | None = None
        self.provider: str | None = None
        """Which answers it in place of a replica, or is to."""
        self.served_model: str | None = None
        """The stand-in that it was sent to, if it was."""
        self.replica_ready_at: float | None = None
        self.woken = False
        """It came up by a wake, as far as that matters here."""
        self.sent_at: float | None = None
        self.first_byte_at: float | None = None
        self.tokens = usage.NONE
        self.bytes_out = 0

    def sent_to(self, replica: str) -> None:
        """The kernel has found a replica for it."""
        kitchen, t = self.kitchen, self.ticket
        self.replica, self.served_model = replica, t.stands_in
        ready_at = kitchen.ready_at(replica)
        if self._is_batch and ready_at is not None:
            ready_at = min(ready_at, t.waiting_since)  # it has waited for capacity, not for a start
        self.replica_ready_at = ready_at
        self.woken = t.was_held and kitchen.woken(replica)
        kitchen.began(self.id, replica, t.stands_in or self.deployment, self.key, self.terms.request_class)

    def serving(self) -> Model:
        """The model that it was sent to."""
        stand_in = self.terms.stand_in
        return self.model if self.served_model is None or stand_in is None else stand_in.model

    @property
    def _is_batch(self) -> bool:
        return self.terms.rank == BATCH

    def own_headers(self) -> dict[str, str]:
        """What an answer says of how it came about."""
        start = self._start()
        headers = {"x-pilotlight-request-id": self.id, "x-pilotlight-start": start}
        by = self._served_by()
        if by is not None:
            headers["x-pilotlight-served-by"] = by
        if self.served_model is not None:
            headers["x-pilotlight-served-model"] = self.served_model
        if start in ("cold", "woken") and self.sent_at is not None:
            headers["Server-Timing"] = server_timing(self.record())
        return headers

    def headers_of_whole(self) -> dict[str, str]:
        """The same, and what it cost, of an answer that is over as they are sent."""
        headers, errand = self.own_headers(), self.ticket.errand
        usd = self.cost()
        if usd is not None and (errand is None or errand.settled):
            headers["x-pilotlight-cost-usd"] = money(usd)
        return headers

    def _served_by(self) -> str | None:
        """The provider or the replica that its answer is of, once there is one."""
        if self.provider is not None:
            errand = self.ticket.errand
            return self.provider if errand is not None and errand.answered else None
        return None if self.first_byte_at is None else self.replica

    def cost(self, at: float | None = None) -> float | None:
        """USD up to this moment, or until now: what providers charge, and its share of the time of replicas. None
        where nobody had it."""
        if self.ticket.errand is None and self.replica is None:
            return None
        return self.ticket.usd + self.kitchen.share(self.id, self.kitchen.clock.now() if at is None else at)

    def _start(self) -> str:
        """What can be said before it is over, in the words of RequestRecord.start."""
        if self.provider is not None:
            return "burst"
        if self.replica_ready_at is not None:
            waited = "woken" if self.woken else "cold"
            return waited if self.replica_ready_at > self.ticket.waiting_since else "warm"
        if self.ticket.replica is None and (self._in_vain() or self.outcome == "start_failed"):
            return "cold"
        return "none" if self.outcome == "refused" else "warm"

    def _in_vain(self) -> bool:
        """Whether it waits, or has waited until its end, for nothing but a start."""
        if self._is_batch:
            return False
        return self.ticket.was_held and self.outcome != "refused" and not self.kitchen.is_up(self.deployment)

    def record(self) -> RequestRecord:
        """As it stands now."""
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
            request_class=self.terms.request_class,
            may_stand_in=self.terms.may_stand_in,
            served_model=self.served_model,
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
            provider=self.provider,
            cost_usd=self.cost(now),
        )


def money(usd: float) -> str:
    """US dollars to the billionth, as headers and comments have it."""
    return f"{usd:.9f}"
