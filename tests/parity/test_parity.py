"""A policy that was tuned on a trace is, to the line, the policy that runs in production."""

from hypothesis import given, settings
from hypothesis import strategies as st

from pilotlight.fleet import actions as ac
from pilotlight.fleet import events as ev
from pilotlight.fleet.deployment import Deployment, Host

from .heap import Script, simulate
from .live import live
from .traffic import TRAFFIC

SCRIPTS = st.builds(
    Script, st.integers(0, 9), fail=st.sampled_from([0, 10, 60]), crash=st.sampled_from([0, 20])
)


@given(TRAFFIC, SCRIPTS)
@settings(max_examples=300, deadline=None)
def test_live_and_simulated_action_logs_are_equal(events, script):
    assert live(events, script) == simulate(events, script)


def test_the_comparison_sees_actions():
    """The parity above is not the equality of two empty logs."""
    events = [
        ev.Configured(0.0, (Deployment("a", ttl=5.0),), (Host(),)),
        *(ev.Arrived(1.0 + i, f"r{i}", "a") for i in range(9)),
    ]
    kinds = {type(a) for a in simulate(events, Script(0, fail=0))}
    assert kinds >= {ac.Start, ac.Hold, ac.Assign, ac.Stop, ac.Moved, ac.WakeAt}
