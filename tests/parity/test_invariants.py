"""What must hold after every step, whatever happens in whatever order."""

from collections import defaultdict
from math import isclose

from hypothesis import given, settings
from hypothesis import strategies as st

from pilotlight.fleet import actions as ac
from pilotlight.fleet import events as ev
from pilotlight.fleet.classes import BATCH, CRITICAL
from pilotlight.fleet.fleet import Fleet
from pilotlight.fleet.states import RESTING, SERVING, State
from pilotlight.policy import budget

from .heap import Script, simulate
from .traffic import TRAFFIC


class Invariants:
    def __init__(self) -> None:
        self.waiting: dict[str, str] = {}
        """Requests that arrived and were neither refused nor finished."""
        self.came: dict[str, ev.Arrived] = {}
        self.aged: set[str] = set()
        """Batch requests past their deadline; a reload may have moved it since."""
        self.states: dict[str, State] = {}
        self.last_moment = 0.0
        self.sent: dict[str, float] = {}
        """USD set aside for requests at providers."""
        self.spent = defaultdict[str, float](float)

    def __call__(self, fleet: Fleet, event: ev.Event, actions: list[ac.Action]) -> None:
        assert event.at >= self.last_moment
        self.last_moment = event.at
        self._requests(fleet, event, actions)
        self._classes(fleet, event, actions)
        self._replicas(fleet, event, actions)
        self._room(fleet, event, actions)
        self._starts(fleet, event, actions)
        self._providers(fleet, event, actions)

    def _requests(self, fleet, event, actions) -> None:
        if isinstance(event, ev.Arrived):
            self.waiting[event.request] = event.deployment
            self.came[event.request] = event
        if isinstance(event, ev.Finished):
            self.waiting.pop(event.request, None)
        for a in actions:
            if isinstance(a, ac.Refuse):
                del self.waiting[a.request]
            if isinstance(a, ac.Assign):
                assert a.request in self.waiting, "assigned a request that is not there"
        there = {s.request for s in fleet.sent.values() if s.held is not None and not s.over}
        known = set(fleet.assigned) | set(fleet.holding) | there
        if isinstance(event, ev.Charged) and event.request not in known:
            self.waiting.pop(event.request, None)  # its end is on its way
        assert known == set(self.waiting), "a request was lost or kept after its end"
        assert not set(fleet.assigned) & set(fleet.holding)
        for d in fleet.deployments.values():
            if isinstance(event, ev.Arrived) and any(isinstance(a, ac.Hold) for a in actions):
                asked = fleet.deployments[event.deployment]
                assert len(asked.held) + len(asked.patient) <= asked.spec.max_pending_requests
            assert all(fleet.holding[h] == d.spec.id for h in [*d.held, *d.patient])
        queued = sum(len(d.held) + len(d.patient) for d in fleet.deployments.values())
        assert queued == len(fleet.holding), "a request waits twice, or for nobody"
        assert set(fleet.asides) <= set(fleet.assigned)

    def _classes(self, fleet, event, actions) -> None:
        for d in fleet.deployments.values():
            critical = [h.id for h in d.held.values() if h.rank == CRITICAL]
            assert set(critical) == set(d.urgent)
            assert all(h.rank == BATCH for h in d.patient.values())
            due = [h.at + d.spec.batch_deadline for h in d.patient.values()]
            assert all(event.at <= moment for moment in due), "a batch request waits past its deadline"
        for a in actions:
            if not isinstance(a, ac.Assign) or isinstance(event, ev.Arrived):
                continue
            rank, r = self.came[a.request].rank, fleet.assigned[a.request]
            d = fleet.deployments[r.deployment]
            assert rank == CRITICAL or not d.urgent, "a critical request waits behind another"
            young = self.came[a.request].at + d.spec.batch_deadline > event.at and a.request not in self.aged
            assert not (rank == BATCH and young and d.held), "a batch request was served before its time"
        for d in fleet.deployments.values():
            self.aged |= {h.id for h in d.held.values() if h.rank == BATCH}

    def _replicas(self, fleet, event, actions) -> None:
        for a in actions:
            if isinstance(a, ac.Moved):
                self.states[a.replica] = a.state
            if isinstance(a, ac.Assign):
                assert self.states[a.replica] is State.READY, "assigned to a replica that is not ready"
                r = fleet.assigned[a.request]
                asked = self.came[a.request]
                assert (r.deployment == asked.deployment) is (a.stands_in is None)
                assert a.stands_in in (None, asked.stand_in), "a stand-in that was not allowed"
                spec = fleet.deployments[r.deployment].spec
                slots = spec.warmer.slots if r.small else spec.slots
                assert slots is None or r.in_flight <= slots, "more requests than slots"
            if isinstance(a, ac.Stop | ac.Probe):
                assert self.states[a.replica] is not State.FAILING, "asked something of what has ended"
            if isinstance(a, ac.Stop) and "its warmer" in a.because:
                d = fleet.deployments[fleet.replicas[a.replica].deployment]
                gone = any(
                    isinstance(o, ac.Stop | ac.Sleep) and o.because.startswith("least") for o in actions
                )
                assert gone or any(r.state is State.READY for r in d.small), "a gap between it and its warmer"
            if isinstance(a, ac.Stop) and a.because.startswith(("idle", "least", "makes")):
                d = fleet.deployments[fleet.replicas[a.replica].deployment]
                up = sum(r.state in SERVING or r.is_put_aside for r in d.replicas.values())
                up += sum(isinstance(o, ac.Stop) and o.because.startswith("goes before") for o in actions)
                least = d.floor if a.because.startswith("idle") else d.spec.min_replicas
                assert up >= least or fleet.replicas[a.replica].small, "below its floor by its own choice"
                assert not d.spec.pinned or a.because.startswith("idle"), "a pinned replica was evicted"
                assert not fleet.replicas[a.replica].in_flight, "a busy replica was stopped"
            if isinstance(a, ac.Sleep):
                r = fleet.replicas[a.replica]
                assert self.states[a.replica] is State.GOING_TO_SLEEP
                assert not r.in_flight, "a busy replica was put to sleep"
                assert not fleet.deployments[r.deployment].spec.pinned or "makes room" not in a.because
        for d in fleet.deployments.values():
            if not d.removed and not fleet.closing:
                assert len(d.current()) + len(d.resting()) <= d.spec.max_replicas, "more than max_replicas"
            coming = [r for r in d.small if r.state in SERVING and d.is_current(r)]
            assert len(coming) <= 1, "more than one warmer"
            for r in d.every:
                assert r.in_flight >= 0
                assert not r.in_flight or r.state not in RESTING, "a request on a replica that sleeps"
                assert r.awake is not None or r.state not in RESTING
                assert r.awake is None or r.state not in SERVING
            assert d.in_flight == sum(r.in_flight for r in d.every) + d.away
            asked = [a for a in fleet.asides.values() if a.asked is d]
            alone = [s for s in fleet.sent.values() if s.asked is d and s.alone]
            assert d.away == len(asked) + len(alone)
            assert d.bursting is None or d.bursting.sent == len(alone)

    def _providers(self, fleet, event, actions) -> None:
        if isinstance(event, ev.Charged | ev.Declined):
            dearest = self.sent.pop(event.request)
            self.spent[event.provider] += event.usd if event.usd >= 0.0 else dearest
        for a in actions:
            if isinstance(a, ac.Send):
                came = self.came[a.request]
                assert came.remote is not None, "it must not leave the house"
                assert a.hedged is False or came.remote.hedge
                asked = fleet.deployments[came.deployment].spec
                assert asked.burst is not None and a.provider in asked.burst.providers
            if isinstance(a, ac.Send | ac.Ping):
                p, s = fleet.providers[a.provider], fleet.sent[a.request]
                assert not p.removed and not fleet.closing
                assert p.in_flight <= p.spec.max_requests
                assert budget.left(fleet, p, event.at) >= -1e-9, "more than the budget at its dearest"
                assert not p.breaker.opened or p.breaker.probe == s.request, "an ill one was asked"
                assert a.request not in self.sent, "the same request twice"
                self.sent[a.request] = a.dearest_usd
        if isinstance(event, ev.Spent):
            self.spent[event.provider] += sum(usd for _, usd in event.hours)
        for p in fleet.providers.values():
            there = [s for s in fleet.sent.values() if s.provider == p.spec.id]
            assert p.in_flight == len(there)
            assert isclose(p.spend.set_aside, sum(s.dearest for s in there), abs_tol=1e-9)
            for buckets in (p.spend.hours, p.spend.days, p.spend.months):
                assert isclose(sum(buckets.values()), self.spent[p.spec.id], abs_tol=1e-9), "spend was lost"
            assert p.breaker.probe is None or p.breaker.probe in fleet.sent

    def _room(self, fleet, event, actions) -> None:
        for host in fleet.hosts.values():
            mine = [r for r in fleet.replicas.values() if r.host == host.spec.id]
            assert host.memory == sum(r.memory for r in mine), "the running sum is off"
            for device, taken in host.devices.items():
                sizes = [s for r in mine for i, s in zip(r.devices, r.gpu_memory, strict=True) if i == device]
                assert taken == sum(sizes)
            has = {d.id: d.memory for d in host.spec.devices}
            for a in actions:
                started = a.replica if isinstance(a, ac.Start | ac.Wake) else ""
                if started and fleet.replicas[started].host == host.spec.id:
                    taken = host.memory + host.overhead
                    assert taken <= host.spec.memory, f"{a} exceeded the memory budget"
                    devices = fleet.replicas[started].devices
                    assert all(host.devices[i] <= has[i] for i in devices), f"{a} exceeded VRAM"
            addresses = [r.exclusive for r in mine if r.exclusive is not None]
            assert len(addresses) == len(set(addresses)), "two replicas have one address"

    def _starts(self, fleet, event, actions) -> None:
        for a in actions:
            if not isinstance(a, ac.Start):
                continue
            d = fleet.deployments[a.deployment]
            assert d.spec.warmer is not None or not a.small
            needed = (
                a.small
                or d.held
                or any(r.in_flight for r in d.every if r.state in SERVING)
                or d.away
                or (d.demand is not None and d.in_flight)  # also on one that is to go
                or d.wanted_up
                or a.because == "the configuration changed"
                or len(d.current()) <= max(d.spec.min_replicas, d.floor)
            )
            assert needed, "a start that nobody needs"


@given(
    TRAFFIC,
    st.builds(Script, st.integers(0, 9), fail=st.sampled_from([0, 10, 100]), crash=st.sampled_from([0, 30])),
)
@settings(max_examples=400, deadline=None)
def test_invariants_hold_and_every_hold_ends(events, script):
    invariants = Invariants()
    simulate(events, script, invariants)
    assert not invariants.waiting, "a request was held for ever"
