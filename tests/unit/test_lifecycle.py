"""The transition table, compared with the one of the native core, which is read from its source."""

from __future__ import annotations

import pytest

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


def test_nothing_leads_out_of_stopped() -> None:
    assert allowed(State.STOPPED) == ()
    assert transition(State.STOPPED, Operation.STOP) is State.STOPPED
