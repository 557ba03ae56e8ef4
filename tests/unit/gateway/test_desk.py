"""The desk, with a kernel that says what a test has it say."""

import asyncio
from collections.abc import Callable

from pilotlight.clock import VirtualClock
from pilotlight.fleet.actions import Assign, Hold, Refuse
from pilotlight.fleet.events import Arrived, Bounced, Event, Finished
from pilotlight.gateway.desk import Desk, Ticket, refusal_error


class Kernel:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.posted: list[Event] = []
        self.answer: Callable[[Desk, str], None] = lambda desk, request: None
        self.desk = Desk(self.clock, self._post)

    def _post(self, event: Event) -> None:
        self.posted.append(event)
        if isinstance(event, Arrived | Bounced):
            self.answer(self.desk, event.request)

    def open(self, request: str = "r") -> Ticket:
        return self.desk.open(request, "m", None)


async def test_a_warm_request_has_its_replica_when_the_ticket_is_there():
    kernel = Kernel()
    kernel.answer = lambda desk, r: desk.assign(Assign(r, "m-1", "ready"))
    ticket = kernel.open()
    assert (ticket.replica, ticket.waiting, ticket.was_held) == ("m-1", False, False)
    assert await ticket.wait()
    kernel.desk.close(ticket, True)
    assert kernel.posted == [Arrived(0.0, "r", "m", None), Finished(0.0, "r", True)]


async def test_one_that_is_held_wakes_the_moment_it_is_assigned():
    kernel = Kernel()
    kernel.answer = lambda desk, r: desk.hold(Hold(r, "no replica is up"))
    ticket = kernel.open()
    assert ticket.waiting
    assert ticket.was_held
    waiter = asyncio.create_task(ticket.wait())
    await asyncio.sleep(0)
    assert not waiter.done()
    kernel.clock.run_until(3.0)
    kernel.desk.assign(Assign("r", "m-1", "it is up"))
    assert await waiter
    assert (ticket.replica, ticket.assigned_at) == ("m-1", 3.0)


async def test_waiting_may_end_before_the_kernel_has_spoken_and_begin_again():
    kernel = Kernel()
    ticket = kernel.open()
    assert not await ticket.wait(0)
    assert not await ticket.wait(0)
    kernel.desk.refuse(Refuse("r", 503, "start_failed", "no"))
    assert await ticket.wait(0)
    assert ticket.refusal is not None
    assert not ticket.waiting


async def test_a_bounced_request_waits_anew():
    kernel = Kernel()
    kernel.answer = lambda desk, r: desk.assign(Assign(r, "m-1", "ready"))
    ticket = kernel.open()
    kernel.answer = lambda desk, r: None
    kernel.clock.run_until(2.0)
    kernel.desk.bounce(ticket)
    assert ticket.waiting
    assert (ticket.arrived_at, ticket.waiting_since) == (0.0, 2.0)
    waiter = asyncio.create_task(ticket.wait())
    await asyncio.sleep(0)
    kernel.desk.assign(Assign("r", "m-2", "ready"))
    assert await waiter
    assert ticket.replica == "m-2"
    kernel.answer = lambda desk, r: desk.assign(Assign(r, "m-3", "ready"))
    kernel.desk.bounce(ticket)  # spoken for before bounce returns
    assert ticket.replica == "m-3"


async def test_a_ticket_is_closed_once():
    kernel = Kernel()
    ticket = kernel.open()
    kernel.desk.close(ticket, False)
    kernel.desk.close(ticket, True)
    assert [e for e in kernel.posted if isinstance(e, Finished)] == [Finished(0.0, "r", False)]


async def test_what_the_kernel_says_of_one_that_has_left_is_nothing():
    kernel = Kernel()
    ticket = kernel.open()
    kernel.desk.close(ticket, False)
    kernel.desk.assign(Assign("r", "m-1", "x"))
    kernel.desk.hold(Hold("r", "x"))
    kernel.desk.refuse(Refuse("r", 503, "x", "x"))
    assert ticket.waiting


async def test_a_waiter_that_is_cancelled_harms_nobody():
    kernel = Kernel()
    ticket = kernel.open()
    waiter = asyncio.create_task(ticket.wait())
    await asyncio.sleep(0)
    waiter.cancel()
    await asyncio.gather(waiter, return_exceptions=True)
    kernel.desk.assign(Assign("r", "m-1", "x"))
    assert await ticket.wait()


def test_a_refusal_as_the_client_reads_it():
    error = refusal_error(Refuse("r", 503, "start_failed", "it exited", 2.0, "m-1"), ("line 1", "line 2"))
    assert (error.status, error.code, error.type, error.retry_after) == (
        503,
        "start_failed",
        "server_error",
        2.0,
    )
    assert error.message == "it exited\nThe engine's last lines:\nline 1\nline 2"
    assert refusal_error(Refuse("r", 429, "x", "full"), ()).type == "rate_limit_error"
    assert refusal_error(Refuse("r", 404, "x", "gone"), ()).param == "model"


async def test_a_stand_in_is_named_until_it_fails_the_request():
    kernel = Kernel()
    kernel.answer = lambda desk, r: desk.assign(Assign(r, "small-1", "stands in", "small"))
    ticket = kernel.desk.open("r", "m", None, 0, "small")
    assert kernel.posted == [Arrived(0.0, "r", "m", None, 0, "small")]
    assert ticket.stands_in == "small"
    kernel.answer = lambda desk, r: desk.hold(Hold(r, "no replica is up"))
    kernel.desk.bounce(ticket)
    assert ticket.stands_in is None
