"""What others read off the fleet."""

from pilotlight.fleet import view
from pilotlight.fleet.deployment import Deployment, Host, Need
from pilotlight.fleet.fleet import DeploymentState, Fleet, Held, Replica
from pilotlight.fleet.host import HostState
from pilotlight.fleet.plan import Plan
from pilotlight.fleet.states import State


def fleet(min_replicas: int = 0) -> Fleet:
    fleet = Fleet()
    spec = Deployment(id="m", fingerprint="f", need=Need(10), plan=Plan(()), min_replicas=min_replicas)
    fleet.deployments["m"] = d = DeploymentState(spec)
    for name, state in (("m-1", State.READY), ("m-2", State.STARTING)):
        r = Replica(name, "m", "f", state, 1.0, "local", (), 100, (), 0.0)
        fleet.replicas[name] = d.replicas[name] = r
    fleet.replicas["m-1"].ready_at = 1.0
    return fleet


def test_when_a_replica_came_up():
    f = fleet()
    assert [view.ready_at(f, r) for r in ("m-1", "m-2", "gone")] == [1.0, None, None]
    f.replicas["m-1"].woken = True
    assert [view.woken(f, r) for r in ("m-1", "m-2", "gone")] == [True, False, False]


def test_whether_any_is_up():
    f = fleet()
    assert (view.is_up(f, "m"), view.is_up(f, "other")) == (True, False)
    f.deployments["m"].replicas["m-1"].state = State.STOPPING
    assert not view.is_up(f, "m")


def test_room_where_nothing_is_on_the_devices():
    f = fleet()
    f.hosts["local"] = HostState(Host("local", 1000), memory=200, overhead=50, devices={0: 7, 1: 0})
    assert (view.room(f), view.room(f, [1, 2]), view.room(f, [0, 1])) == (750, 750, 0)


def test_who_waits():
    f = fleet()
    assert view.held(f) == {}
    f.deployments["m"].held["r"] = Held("r", 0.0)
    assert view.held(f) == {"m": 1}


def test_a_row():
    f = fleet()
    row = view.row(f, f.replicas["m-1"], now=3.0, leaves_at=10.5)
    assert (row["state"], row["since_s"], row["age_s"], row["idle_left_s"]) == ("ready", 2.0, 3.0, 7.5)
    assert view.row(f, f.replicas["m-1"], 3.0, float("inf"))["idle_left_s"] is None
    kept = fleet(min_replicas=2)
    assert view.row(kept, kept.replicas["m-1"], 3.0, 10.5)["idle_left_s"] is None
    assert view.states(f, "m") == {"ready": 1, "starting": 1}
