"""The life of a strategy: six states and the one table of what may follow what.

The native loop holds the state as one atomic byte and has the same table; a test compares the two.
"""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import Final

from tickrail.errors import IllegalTransition

__all__ = ["TRANSITIONS", "Operation", "State", "allowed", "transition"]


class State(IntEnum):
    """Where a strategy stands; the numbers enter the run digest and never change."""

    CREATED = 0
    INITIALISED = 1
    RUNNING = 2
    PAUSED = 3
    STOPPED = 4
    FAILED = 5


class Operation(Enum):
    """What can be asked of a strategy's life; a restart is a stop and a new object in the same place."""

    INITIALISE = "initialise"
    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"
    FAIL = "fail"
    RESTART = "restart"


_ALIVE: Final = (State.CREATED, State.INITIALISED, State.RUNNING, State.PAUSED)

TRANSITIONS: Final[dict[Operation, tuple[tuple[State, ...], State]]] = {
    Operation.INITIALISE: ((State.CREATED,), State.INITIALISED),
    Operation.START: ((State.INITIALISED,), State.RUNNING),
    Operation.PAUSE: ((State.RUNNING,), State.PAUSED),
    Operation.RESUME: ((State.PAUSED,), State.RUNNING),
    Operation.STOP: ((*_ALIVE, State.FAILED), State.STOPPED),
    Operation.FAIL: (_ALIVE, State.FAILED),
    Operation.RESTART: (tuple(State), State.CREATED),
}
"""For each operation, the states it leads from and the one it leads to; already there, nothing happens."""


def allowed(state: State) -> tuple[Operation, ...]:
    """The operations that would lead out of ``state``."""
    return tuple(operation for operation, (sources, _) in TRANSITIONS.items() if state in sources)


def transition(state: State, operation: Operation) -> State:
    """The state after ``operation``; the same one where it is already reached.

    >>> transition(State.RUNNING, Operation.PAUSE).name
    'PAUSED'

    Raises:
        IllegalTransition: The table has no such step.
    """
    sources, target = TRANSITIONS[operation]
    if state in sources:
        return target
    if state is target:
        return state
    names = [other.value for other in allowed(state)]
    raise IllegalTransition(
        f"cannot {operation.value} a strategy that is {state.name}; allowed here: {', '.join(names) or 'nothing'}",
        state=state.name,
        operation=operation.value,
        allowed=names,
    )
