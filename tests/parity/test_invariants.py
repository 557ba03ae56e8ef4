"""What must hold after every step, whatever happens in whatever order."""

from hypothesis import given, settings
from hypothesis import strategies as st

from pilotlight.fleet import actions as ac
from pilotlight.fleet import events as ev
from pilotlight.fleet.fleet import Fleet
from pilotlight.fleet.states import RESTING, SERVING, State

from .heap import Script, simulate
from .traffic import TRAFFIC


class Invariants:
    def __init__(self) -> None:
        self.waiting: dict[str, str] = {}
        """Requests that arrived and were neither refused nor finished."""
        self.states: dict[str, State] = {}
        self.last_moment = 0.0

    def __call__(self, fleet: Fleet, event: ev.Event, actions: list[ac.Action]) -> None:
        assert event.at >= self.last_moment
        self.last_moment = event.at
        self._requests(fleet, event, actions)
        self._replicas(fleet, event, actions)
        self._room(fleet, event, actions)
        self._starts(fleet, event, actions)

    def _requests(self, fleet, event, actions) -> None:
        if isinstance(event, ev.Arrived):
            self.waiting[event.request] = event.deployment
        if isinstance(event, ev.Finished):
            self.waiting.pop(event.request, None)
        for a in actions:
            if isinstance(a, ac.Refuse):
                del self.waiting[a.request]
            if isinstance(a, ac.Assign):
                assert a.request in self.waiting, "assigned a request that is not there"
        known = set(fleet.assigned) | set(fleet.holding)
        assert known == set(self.waiting), "a request was lost or kept after its end"
        assert not set(fleet.assigned) & set(fleet.holding)
        for d in fleet.deployments.values():
            if isinstance(event, ev.Arrived) and any(isinstance(a, ac.Hold) for a in actions):
                asked = fleet.deployments[event.deployment]
                assert len(asked.held) <= asked.spec.max_pending_requests
            assert all(fleet.holding[h] == d.spec.id for h in d.held)

    def _replicas(self, fleet, event, actions) -> None:
        for a in actions:
            if isinstance(a, ac.Moved):
                self.states[a.replica] = a.state
            if isinstance(a, ac.Assign):
                assert self.states[a.replica] is State.READY, "assigned to a replica that is not ready"
                r = fleet.assigned[a.request]
                slots = fleet.deployments[r.deployment].spec.slots
                assert slots is None or r.in_flight <= slots, "more requests than slots"
            if isinstance(a, ac.Stop | ac.Probe):
                assert self.states[a.replica] is not State.FAILING, "asked something of what has ended"
            if isinstance(a, ac.Stop) and a.because.startswith(("idle", "least", "makes")):
                d = fleet.deployments[fleet.replicas[a.replica].deployment]
                up = sum(r.state in SERVING or r.is_put_aside for r in d.replicas.values())
                up += sum(isinstance(o, ac.Stop) and o.because.startswith("goes before") for o in actions)
                assert up >= d.spec.min_replicas, "below min_replicas by its own choice"
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
            for r in d.replicas.values():
                assert r.in_flight >= 0
                assert not r.in_flight or r.state not in RESTING, "a request on a replica that sleeps"
                assert r.awake is not None or r.state not in RESTING
                assert r.awake is None or r.state not in SERVING
            assert d.in_flight == sum(r.in_flight for r in d.replicas.values())

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
            needed = (
                d.held
                or any(r.in_flight for r in d.replicas.values() if r.state in SERVING)
                or d.warm_asked
                or a.because == "the configuration changed"
                or len(d.current()) <= d.spec.min_replicas
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
