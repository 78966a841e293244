"""The transition table, compared with the one of the native core."""

from __future__ import annotations

import pytest

from tickrail import _native
from tickrail.errors import IllegalTransition
from tickrail.strategy.lifecycle import TRANSITIONS, Operation, State, allowed, transition


def test_six_states_keep_their_numbers() -> None:
    assert {state.name: int(state) for state in State} == {
        "CREATED": 0,
        "INITIALISED": 1,
        "RUNNING": 2,
        "PAUSED": 3,
        "STOPPED": 4,
        "FAILED": 5,
    }


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("operation", Operation)
def test_each_cell(state: State, operation: Operation) -> None:
    sources, target = TRANSITIONS[operation]
    if state in sources or state is target:
        assert transition(state, operation) is target
        return
    with pytest.raises(IllegalTransition, match=f"cannot {operation.value} a strategy that is {state.name}") as caught:
        transition(state, operation)
    assert caught.value.allowed == tuple(other.value for other in allowed(state))


def test_only_a_new_object_leads_out_of_stopped() -> None:
    assert allowed(State.STOPPED) == (Operation.RESTART,)
    assert transition(State.STOPPED, Operation.STOP) is State.STOPPED


def test_both_languages_have_the_same_table() -> None:
    native = {(State[before], Operation(name)): State[after] for before, name, after in _native.transition_table()}
    assert len(native) == 25
    for state in State:
        for operation in Operation:
            try:
                ours: State | None = transition(state, operation)
            except IllegalTransition:
                ours = None
            assert native.get((state, operation)) == ours, (state, operation)
