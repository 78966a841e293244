"""The transition table, compared with the one of the native core, which is read from its source."""

from __future__ import annotations

import re
from pathlib import Path

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


def native_table() -> dict[tuple[State, Operation], State]:
    """What the core's ``match`` says: every cell that leads somewhere or stays."""
    source = Path(__file__).parents[2].joinpath("rust/core/src/lifecycle.rs").read_text()
    body = source.split("match (operation, from) {", 1)[1].split("_ => Transition::Refused", 1)[0]
    table = {}
    for left, right in re.findall(r"((?:[^=]|=(?!>))*)=>\s*Transition::(\w+(?:\(\w+\))?),", body):
        for cell in re.findall(r"\(([^()]*)\)", left):
            names = re.findall(r"\w+", cell.replace("Operation::", "@").replace("@", " OP_"))
            operations = [Operation[name.removeprefix("OP_").upper()] for name in names if name.startswith("OP_")]
            states = [State[name.upper()] for name in names if not name.startswith("OP_")]
            target = re.fullmatch(r"To\((\w+)\)", right)
            for operation in operations:
                table.update({(state, operation): State[target[1].upper()] if target else state for state in states})
    return table


def test_both_languages_have_the_same_table() -> None:
    native = native_table()
    assert len(native) == 19
    for state in State:
        for operation in Operation:
            try:
                ours: State | None = transition(state, operation)
            except IllegalTransition:
                ours = None
            assert native.get((state, operation)) == ours, (state, operation)
