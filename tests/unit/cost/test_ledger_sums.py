"""Whatever happens, the ledger's sums are those of the spans in which replicas were up, and of their bill."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotlight.cost.capacity import Devices, Price, Spans, bill, rentals
from pilotlight.cost.ledger import Ledger
from pilotlight.cost.rows import SERVING, Row, Rows, add, replica_seconds, usd
from pilotlight.fleet.actions import Moved, Rented
from pilotlight.fleet.states import TABLE, State

PRICE = Price(1.0, 2.5, commitment=7.0)
DEVICES = Devices(full=2, small=1)
NEXT = {state: sorted({b for (a, _), b in TABLE.items() if a is state}) for state in State}
SERVES = (State.READY, State.SUSPECT, State.DRAINING)

Step = tuple[float, int, int]
"""Seconds until it, what, and a number that chooses of whom."""
steps = st.lists(st.tuples(st.floats(0, 5), st.integers(0, 7), st.integers(0, 50)), max_size=80)


class Play:
    """Random, but possible: replicas move as the table of states lets them, requests are in those that serve. Beside
    the ledger it keeps what it takes to add everything up anew."""

    def __init__(self) -> None:
        self.ledger = Ledger(PRICE, lambda name: DEVICES)
        self.now = 0.0
        self.rows: Rows = {}
        self.state: dict[str, tuple[State, bool]] = {}
        self.since: dict[str, float] = {}
        self.spans: dict[bool, Spans] = {False: [], True: []}
        self.rented: list[tuple[float, int]] = []
        self.inside: dict[str, list[str]] = {}
        self.shares: dict[str, float] = {}
        self.told = 0.0
        """USD that requests that are over were told as theirs."""
        self.count = 0
        self.ops: list[Callable[[int], None]] = [
            self.order, self.move, self.move, self.begin, self.begin, self.end, self.rent, self.again,
        ]  # fmt: skip

    def play(self, script: list[Step]) -> None:
        for seconds, what, n in script:
            self.wait(seconds)
            self.ops[what](n)

    def wait(self, seconds: float) -> None:
        for replica, requests in self.inside.items():
            if self.state[replica][0] in SERVES:
                for request in requests:
                    key = request[0]
                    self.shares[key] = self.shares.get(key, 0.0) + seconds / len(requests)
        self.now += seconds

    def order(self, n: int) -> None:
        self.count += 1
        name, small = f"m-{self.count}", n % 4 == 0
        self.state[name], self.since[name], self.inside[name] = (State.STARTING, small), self.now, []
        self.ledger.moved(Moved(self.now, name, "m", None, State.STARTING, None, "", small))

    def move(self, n: int) -> None:
        if self.state:
            name = sorted(self.state)[n % len(self.state)]
            (was, small), ways = self.state[name], NEXT[self.state[name][0]]
            to = ways[n % len(ways)]
            self.ledger.moved(Moved(self.now, name, "m", was, to, None, "", small))
            self.state[name] = (to, small)
            if to is State.GONE:
                self.told += sum(self.ledger.share(request, self.now) for request in self.inside[name])
                self.spans[small].append((self.since[name], self.now))
                del self.state[name], self.inside[name]

    def begin(self, n: int) -> None:
        up = sorted(name for name, (state, _) in self.state.items() if state in SERVES)
        if up:
            self.count += 1
            request = f"{'abc'[n % 3]}{self.count}"
            name = up[n % len(up)]
            self.inside[name].append(request)
            self.ledger.began(request, name, self.now, request[0], "standard")

    def again(self, n: int) -> None:
        """Another replica has it, or none for now."""
        busy = sorted(name for name, requests in self.inside.items() if requests)
        up = sorted(name for name, (state, _) in self.state.items() if state in SERVES)
        if busy and up:
            was, now = busy[n % len(busy)], up[n % len(up)]
            request = self.inside[was].pop()
            if n % 2:
                self.ledger.began(request, "", self.now)
            self.ledger.began(request, now, self.now, request[0], "standard")
            self.inside[now].append(request)

    def end(self, n: int) -> None:
        busy = sorted(name for name, requests in self.inside.items() if requests)
        if busy:
            request = self.inside[busy[n % len(busy)]].pop(n % len(self.inside[busy[n % len(busy)]]))
            self.told += self.ledger.share(request, self.now)
            self.ledger.ended(request, self.now)
            assert self.ledger.share(request, self.now) == 0.0
        elif n % 3 == 0:
            self.take()

    def rent(self, n: int) -> None:
        self.rented.append((self.now, n % 4))
        self.ledger.rented(Rented(self.now, "m", n % 4, ""))

    def take(self) -> Rows:
        self.ledger.settle(self.now)
        for row, amount in self.ledger.take().items():
            add(self.rows, row, amount.seconds, amount.usd)
        return self.rows

    def up(self, small: bool) -> Spans:
        return self.spans[small] + [
            (self.since[name], self.now) for name, (_, kind) in self.state.items() if kind is small
        ]


@settings(max_examples=300, deadline=None)
@given(script=steps)
def test_every_second_of_every_replica_is_on_one_rung_and_the_dollars_are_those_of_the_bill(
    script: list[Step],
) -> None:
    play = Play()
    play.play(script)
    rows = play.take()
    expected = bill(
        play.up(False),
        rentals(play.rented, PRICE.commitment, play.now),
        PRICE,
        DEVICES,
        0.0,
        play.now,
        play.up(True),
    )
    assert replica_seconds(rows) == pytest.approx(expected.replica_seconds, rel=1e-9, abs=1e-9)
    assert usd(rows) == pytest.approx(expected.usd, rel=1e-9, abs=1e-9)
    assert all(amount.seconds >= 0.0 and amount.usd >= 0.0 for amount in rows.values())


@settings(max_examples=200, deadline=None)
@given(script=steps)
def test_each_of_k_requests_in_a_replica_has_a_kth_of_its_seconds(script: list[Step]) -> None:
    play = Play()
    play.play(script)
    rows = play.take()
    for key in "abc":
        found = rows.get(Row("m", key, "standard", SERVING))
        assert (found.seconds if found else 0.0) == pytest.approx(play.shares.get(key, 0.0), abs=1e-9)


@settings(max_examples=200, deadline=None)
@given(script=steps)
def test_what_requests_are_told_of_adds_up_to_what_serving_cost(script: list[Step]) -> None:
    play = Play()
    play.play(script)
    ledger = play.ledger
    open_yet = sum(ledger.share(request, play.now) for inside in play.inside.values() for request in inside)
    serving = sum(amount.usd for row, amount in play.take().items() if row.rung == SERVING)
    assert play.told + open_yet == pytest.approx(serving, abs=1e-9)


@settings(max_examples=100, deadline=None)
@given(script=steps, more=steps)
def test_taking_in_between_changes_no_sum(script: list[Step], more: list[Step]) -> None:
    once, twice = Play(), Play()
    once.play(script)
    twice.play(script)
    twice.take()
    once.play(more)
    twice.play(more)
    a, b = once.take(), twice.take()
    assert a.keys() == b.keys()
    for row, amount in a.items():
        assert b[row].seconds == pytest.approx(amount.seconds, abs=1e-9)
        assert b[row].usd == pytest.approx(amount.usd, abs=1e-9)
