"""What is sent to a provider is settled once, and the desk sees to it."""

import math
from collections.abc import Callable

import pytest

from pilotlight.clock import VirtualClock
from pilotlight.fleet.actions import Hold, Ping, Send
from pilotlight.fleet.events import Answered, Arrived, Bounced, Charged, Declined, Event, Finished
from pilotlight.fleet.provider import Remote
from pilotlight.gateway.desk import Desk
from pilotlight.gateway.errand import Errand, within


class Kernel:
    """Sends what arrives, and does with what is declined what it is told."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.events: list[Event] = []
        self.told: list[Event] = []
        self.pinged: list[Errand] = []
        self.after: Callable[[Desk], None] = lambda desk: None
        self.desk = Desk(
            self.clock, self._post, self.pinged.append, lambda errand, event: self.told.append(event)
        )

    def _post(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, Arrived):
            self.desk.send(Send(event.request, "far", "cold", 5.0))
        if isinstance(event, Declined):
            self.after(self.desk)

    def of(self, *kinds: type) -> list[Event]:
        return [e for e in self.events if isinstance(e, kinds)]


def opened(kernel: Kernel) -> tuple[Errand, Callable[[], None]]:
    ticket = kernel.desk.open("r1", "m", None, remote=Remote(9))
    assert ticket.errand is not None
    return ticket.errand, lambda: kernel.desk.close(ticket, ok=True)


def test_a_ticket_that_is_elsewhere_waits_for_nothing():
    kernel = Kernel()
    ticket = kernel.desk.open("r1", "m", None, remote=Remote(9))
    assert ticket.elsewhere
    assert not ticket.waiting
    assert kernel.events[0] == Arrived(0.0, "r1", "m", None, remote=Remote(9))


def test_it_is_answered_once_and_charged_once():
    kernel = Kernel()
    errand, close = opened(kernel)
    errand.owed = lambda: 2.0
    errand.answer()
    errand.answer()
    errand.charge()
    errand.charge(False)
    errand.decline("error", "too late")
    errand.answer()
    close()
    assert kernel.events[1:] == [
        Answered(0.0, "r1", "far"),
        Charged(0.0, "r1", "far", 2.0),
        Finished(0.0, "r1"),
    ]
    assert kernel.told == kernel.events[1:3]


def test_a_ticket_that_is_closed_settles_first_what_is_open():
    kernel = Kernel()
    errand, close = opened(kernel)
    errand.owed = lambda: 2.0
    close()
    close()
    charged, finished = kernel.of(Charged, Finished)
    assert isinstance(charged, Charged)
    assert (charged.usd, charged.ok) == (2.0, True)
    assert isinstance(finished, Finished)


def test_what_is_declined_may_be_sent_again_and_both_are_paid_for():
    kernel = Kernel()
    kernel.after = lambda desk: desk.send(Send("r1", "spare", "declined", 5.0))
    ticket = kernel.desk.open("r1", "m", None, remote=Remote(9))
    first = ticket.errand
    assert first is not None
    first.owed = lambda: 1.0
    first.decline("busy", "it answered 429", 3.0)
    assert kernel.of(Declined) == [Declined(0.0, "r1", "far", "busy", "it answered 429", 3.0, 1.0)]
    assert ticket.errand is not None
    assert ticket.errand.provider == "spare"
    ticket.errand.owed = lambda: 2.0
    ticket.errand.charge()
    assert ticket.usd == 3.0


def test_what_is_declined_and_held_waits_again():
    kernel = Kernel()
    kernel.after = lambda desk: desk.hold(Hold("r1", "starting"))
    ticket = kernel.desk.open("r1", "m", None, remote=Remote(9))
    assert ticket.errand is not None
    ticket.errand.decline("error", "it answered 500")
    assert ticket.waiting
    assert not ticket.elsewhere


def test_one_whose_client_has_left_is_not_sent():
    kernel = Kernel()
    kernel.desk.send(Send("gone", "far", "cold", 5.0))
    (charged,) = kernel.events
    assert isinstance(charged, Charged)
    assert charged.usd == 0.0
    assert not kernel.told, "it is in no metric, for it was at no provider"


def test_a_ping_is_handed_on_or_declined():
    kernel = Kernel()
    kernel.desk.ping(Ping("ping-1", "far", "m", "idle", 1.0))
    (errand,) = kernel.pinged
    assert (errand.is_ping, errand.deployment) == (True, "m")
    kernel.desk.pings = None
    kernel.desk.ping(Ping("ping-2", "far", "m", "idle", 1.0))
    assert isinstance(kernel.events[-1], Declined)


def test_a_bounced_request_may_still_leave():
    kernel = Kernel()
    ticket = kernel.desk.open("r1", "m", None, remote=Remote(9))
    kernel.desk.bounce(ticket)
    assert kernel.of(Bounced) == [Bounced(0.0, "r1", Remote(9))]


@pytest.mark.parametrize(
    ("usd", "charged"),
    [(1.0, 1.0), (9.0, 5.0), (-1.0, 0.0), (math.nan, 5.0), (math.inf, 5.0), (-math.inf, 5.0)],
)
def test_no_more_is_charged_than_was_set_aside(usd: float, charged: float):
    assert within(usd, 5.0) == charged
