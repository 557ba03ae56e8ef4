"""The one table of states: everything can be reached, and from everything there is a way out."""

import re

import pytest

from pilotlight.fleet.states import SERVING, TABLE, Cause, State, after, mermaid

ALLOWED = {
    State.STARTING: {State.READY, State.STOPPING, State.GONE},
    State.READY: {State.SUSPECT, State.GOING_TO_SLEEP, State.FAILING, State.DRAINING, State.STOPPING},
    State.GOING_TO_SLEEP: {State.ASLEEP, State.FAILING, State.STOPPING},
    State.ASLEEP: {State.WAKING, State.FAILING, State.STOPPING},
    State.WAKING: {State.READY, State.FAILING, State.STOPPING},
    State.SUSPECT: {State.READY, State.FAILING, State.DRAINING, State.STOPPING},
    State.DRAINING: {State.FAILING, State.STOPPING},
    State.FAILING: {State.GONE},
    State.STOPPING: {State.GONE},
    State.GONE: set[State](),
}


def reached(start: State) -> set[State]:
    found, left = set[State](), [start]
    while left:
        state = left.pop()
        for (before, _), to in TABLE.items():
            if before is state and to not in found:
                found.add(to)
                left.append(to)
    return found


def test_the_table_is_the_one_that_is_meant():
    assert {s: {to for (before, _), to in TABLE.items() if before is s} for s in State} == ALLOWED


def test_every_state_can_be_reached():
    assert reached(State.STARTING) | {State.STARTING} == set(State)


@pytest.mark.parametrize("state", [s for s in State if s is not State.GONE])
def test_no_state_is_a_dead_end(state: State):
    assert State.GONE in reached(state)


def test_nobody_comes_back_from_leaving():
    for state in (State.DRAINING, State.FAILING, State.STOPPING, State.GONE):
        assert not reached(state) & SERVING


def test_a_process_may_die_in_any_state_in_which_it_is_there():
    for state in State:
        if state is not State.GONE:
            assert {Cause.START_FAILED, Cause.DIED, Cause.ENDED} & {c for s, c in TABLE if s is state}


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("cause", list(Cause))
def test_what_is_not_in_the_table_is_an_error_that_names_both(state: State, cause: Cause):
    if (state, cause) in TABLE:
        assert after(state, cause) is TABLE[state, cause]
    else:
        with pytest.raises(LookupError, match=f"{state.value!r} because {cause.value!r}"):
            after(state, cause)


def test_every_cause_is_used_and_every_state_says_why_it_exists():
    assert {cause for _, cause in TABLE} == set(Cause)


def test_the_diagram_draws_every_transition_once():
    lines = mermaid().splitlines()
    assert lines[0] == "stateDiagram-v2"
    arrows = [m.groups() for line in lines if (m := re.fullmatch(r"    (\w+) --> (\w+): (.+)", line))]
    assert sorted(arrows) == sorted((a.value, b.value, c.value) for (a, c), b in TABLE.items())
    assert "    [*] --> starting: a start is ordered" in lines
    assert lines[-1] == "    gone --> [*]"
