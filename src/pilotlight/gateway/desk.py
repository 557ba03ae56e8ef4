"""The desk where requests wait for the kernel's word: the gateway's side of the controller."""

import asyncio
from collections.abc import Callable

from pilotlight.clock import Clock
from pilotlight.errors import RequestError
from pilotlight.fleet.actions import Assign, Hold, Ping, Refuse, Send
from pilotlight.fleet.classes import STANDARD
from pilotlight.fleet.events import Arrived, Bounced, Event, Finished
from pilotlight.fleet.provider import Remote
from pilotlight.gateway.errand import NOTHING_CAME, Errand


class Ticket:
    """One request as the kernel sees it. Either it has a replica, or an errand, or a refusal, or it waits."""

    __slots__ = (
        "_future",
        "arrived_at",
        "assigned_at",
        "because",
        "deployment",
        "earlier_usd",
        "errand",
        "refusal",
        "remote",
        "replica",
        "request",
        "stands_in",
        "waiting_since",
    )

    def __init__(
        self, request: str, deployment: str, arrived_at: float, remote: Remote | None = None
    ) -> None:
        self.request = request
        self.deployment = deployment
        self.arrived_at = arrived_at
        self.remote = remote
        self.waiting_since = arrived_at
        """Its arrival, or when the replica that had it failed it."""
        self.replica: str | None = None
        self.stands_in: str | None = None
        """The deployment that the replica is of, where that is not the one that was asked for."""
        self.assigned_at: float | None = None
        self.refusal: Refuse | None = None
        self.errand: Errand | None = None
        """What was sent to a provider last; beside a replica, or beside waiting for one, where it is hedged."""
        self.earlier_usd = 0.0
        """What the errands before that cost."""
        self.because = ""
        """Why it was held, if it was."""
        self._future: asyncio.Future[None] | None = None

    @property
    def was_held(self) -> bool:
        return bool(self.because)

    @property
    def waiting(self) -> bool:
        return self.replica is None and self.refusal is None and not self.elsewhere

    @property
    def elsewhere(self) -> bool:
        """Whether a provider has it."""
        return self.errand is not None and not self.errand.settled

    @property
    def usd(self) -> float:
        """What providers have charged for it so far."""
        return self.earlier_usd + (0.0 if self.errand is None else self.errand.usd)

    async def wait(self, seconds: float | None = None) -> bool:
        """Until the kernel has spoken or the time is over; whether it has."""
        if not self.waiting:
            return True
        if self._future is None or self._future.done():
            self._future = asyncio.get_running_loop().create_future()
        await asyncio.wait((self._future,), timeout=seconds)
        return not self.waiting

    async def word(self) -> None:
        """Until the kernel says something more."""
        if self._future is None or self._future.done():
            self._future = asyncio.get_running_loop().create_future()
        await asyncio.wait((self._future,))

    def spoken(self) -> None:
        if self._future is not None and not self._future.done():
            self._future.set_result(None)


class Desk:
    """Opens, keeps and closes tickets. `post` is the controller's."""

    def __init__(
        self,
        clock: Clock,
        post: Callable[[Event], None],
        pings: Callable[[Errand], None] | None = None,
        told: Callable[[Errand, Event], None] = lambda errand, event: None,
    ) -> None:
        """`pings`: who sends a small request; where nobody does, none is sent. `told`: who else
        hears of errands, first."""
        self._clock = clock
        self._post = post
        self._told = told
        self.pings = pings
        self._tickets: dict[str, Ticket] = {}

    def open(
        self,
        request: str,
        deployment: str,
        keep_alive: float | None,
        rank: int = STANDARD,
        stand_in: str | None = None,
        remote: Remote | None = None,
    ) -> Ticket:
        """The kernel has usually spoken by the time this returns: a warm request never waits for a task switch."""
        now = self._clock.now()
        ticket = Ticket(request, deployment, now, remote)
        self._tickets[request] = ticket
        self._post(Arrived(now, request, deployment, keep_alive, rank, stand_in, remote))
        return ticket

    def bounce(self, ticket: Ticket) -> None:
        """Its replica could not be reached; the kernel finds another."""
        ticket.replica = ticket.assigned_at = ticket.stands_in = None
        ticket.waiting_since = now = self._clock.now()
        self._post(Bounced(now, ticket.request, ticket.remote))

    def close(self, ticket: Ticket, ok: bool) -> None:
        if self._tickets.pop(ticket.request, None) is not None:
            if ticket.errand is not None:
                ticket.errand.charge(reason="" if ticket.errand.answered else NOTHING_CAME)
            self._post(Finished(self._clock.now(), ticket.request, ok))

    def _report(self, errand: Errand, event: Event) -> None:
        self._told(errand, event)
        self._post(event)

    # -- what the kernel says ------------------------------------------------------------------------------------

    def assign(self, action: Assign) -> None:
        ticket = self._tickets.get(action.request)
        if ticket is not None:
            ticket.replica = action.replica
            ticket.stands_in = action.stands_in
            ticket.assigned_at = self._clock.now()
            ticket.spoken()

    def hold(self, action: Hold) -> None:
        ticket = self._tickets.get(action.request)
        if ticket is not None:
            ticket.because = action.because

    def send(self, action: Send) -> None:
        ticket = self._tickets.get(action.request)
        if ticket is None:  # nobody sends it, so nobody but the kernel hears of it
            gone = Errand(self._clock, lambda errand, event: self._post(event), action, "")
            gone.charge(reason="its client had left before it was sent")
            return
        errand = Errand(self._clock, self._report, action, ticket.deployment)
        ticket.earlier_usd = ticket.usd
        ticket.errand = errand
        ticket.spoken()

    def ping(self, action: Ping) -> None:
        errand = Errand(self._clock, self._report, action, action.deployment)
        if self.pings is None:
            errand.decline("error", "nobody is here who could send it")
        else:
            self.pings(errand)

    def refuse(self, action: Refuse) -> None:
        ticket = self._tickets.get(action.request)
        if ticket is not None:
            ticket.refusal = action
            ticket.spoken()


def refusal_error(action: Refuse, log_tail: tuple[str, ...], seen: str = "") -> RequestError:
    """The kernel's refusal as the client reads it, with what was seen of the engine, and its last lines, where they
    explain it."""
    message = f"{action.because}; {seen}" if seen else action.because
    if log_tail:
        message += "\nThe engine's last lines:\n" + "\n".join(log_tail)
    kind = {404: "invalid_request_error", 429: "rate_limit_error"}.get(action.status, "server_error")
    return RequestError(
        action.status,
        message,
        code=action.code,
        type=kind,
        param="model" if action.status == 404 else None,
        retry_after=action.retry_after,
    )
