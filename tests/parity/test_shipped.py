"""`pilotlight simulate` decides as the server does: action for action."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from pilotlight.fleet import actions as ac
from pilotlight.fleet import events as ev
from pilotlight.fleet.deployment import Deployment, Goal, Host, Warmer
from pilotlight.fleet.provider import Remote
from pilotlight.sim.starts import StartTimes
from pilotlight.spec.simulation import Outage, RemoteTroubles

from .shipped import Scene, live, simulated
from .traffic import events


def scene(seed: int, length: int) -> Scene:
    """The requests and the first declaration of random traffic; half of the time with moments that fall together."""
    rng = Random(seed)
    found = events(seed, length)
    even = rng.random() < 0.5
    configured = found[0]
    assert isinstance(configured, ev.Configured)
    configured = ev.Configured(
        configured.at,
        configured.deployments,
        configured.hosts,
        Goal(
            wait=rng.choice([0.0, 2.0, 10.0]),
            cold_usd=rng.choice([None, None, 0.0, 1.0]),
            per_model_max=rng.choice([None, 0.05]),
            commitment=rng.choice([0.0, 60.0]),
        ),
        configured.unix,
        configured.providers,
    )
    arrivals = tuple((_moved(e, even), _runs(rng, even)) for e in found if isinstance(e, ev.Arrived))
    starts = rng.choice(
        [StartTimes(constant=5.0), StartTimes(drawn=(0.5, 3.0, 40.0)), StartTimes(constant=0.5)]
    )
    troubles = {
        p.id: RemoteTroubles(
            rng.choice([0.0, 0.3, 1.0]), rng.choice([None, 0.05]), rng.choice([(), (Outage(20.0, 60.0),)])
        )
        for p in configured.providers
    }
    return Scene(configured, arrivals, starts, seed, troubles if rng.random() < 0.5 else {})


def _moved(e: ev.Arrived, even: bool) -> ev.Arrived:
    at = float(round(e.at)) if even else e.at
    # The server's own effects would have to say who is the first of a hedge.
    remote = None if e.remote is None else Remote(e.remote.input_tokens, e.remote.output_tokens)
    return ev.Arrived(at, e.request, e.deployment, e.keep_alive, e.rank, e.stand_in, remote)


def _runs(rng: Random, even: bool) -> float:
    return float(rng.choice([0, 1, 1, 5, 20])) if even else rng.choice([0.01, 0.2, 1.7, 20.3])


@given(st.builds(scene, st.integers(0, 2**32), st.integers(0, 40)))
@settings(max_examples=250, deadline=None)
def test_the_shipped_simulator_decides_as_the_server_does(scene: Scene):
    assert simulated(scene) == live(scene)


def test_the_comparison_sees_every_kind_of_action():
    """The parity above is not the equality of two logs with little in them."""
    kinds = {type(a) for seed in range(25) for a in simulated(scene(seed, 40))}
    assert kinds >= {
        ac.Assign,
        ac.Hold,
        ac.Refuse,
        ac.Send,
        ac.Ping,
        ac.Start,
        ac.Stop,
        ac.Sleep,
        ac.Wake,
        ac.Moved,
        ac.Rented,
        ac.WakeAt,
    }


def test_the_comparison_sees_classes_and_stand_ins():
    seen = [a for seed in range(25) for a in simulated(scene(seed, 40))]
    assert any(isinstance(a, ac.Assign) and a.stands_in is not None for a in seen)
    assert {"it waits for idle capacity", "was held until capacity was idle"} <= {
        a.because for a in seen if isinstance(a, ac.Hold | ac.Assign)
    }


def test_a_learning_model_with_a_warmer_by_both():
    """By hand, so that it is seen to do something."""
    learns = Deployment("a", ttl_is_auto=True, base=None, max_replicas=3, target_requests=1)
    small = Deployment("b", fingerprint="b", ttl=30.0, ttl_to_zero=30.0, warmer=Warmer("w"))
    configured = ev.Configured(0.0, (learns, small), (Host(),), unix=1.8e9)
    arrivals = tuple(
        (ev.Arrived(10.0 * i + j, f"r{i}.{j}", name), 3.5)
        for i in range(40)
        for j, name in enumerate(["a", "a", "b" if i < 3 else "a"])
    )
    of = Scene(configured, arrivals, StartTimes(constant=5.0), 0)
    log = simulated(of)
    assert log == live(of)
    assert any(isinstance(a, ac.Start) and a.small for a in log)
    assert sum(isinstance(a, ac.Assign) for a in log) == len(arrivals)
