"""Which strategies can have a lane of their own."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from tickrail._native import processors
from tickrail.domain.lanes import Lane
from tickrail.domain.near import did_you_mean
from tickrail.errors import ParameterError
from tickrail.strategy.compiled.form import is_compiled
from tickrail.strategy.strategy import Strategy

__all__ = ["check_lane", "check_names", "processor_problem"]


def check_lane(name: str, strategy: Strategy) -> None:
    """Refuse a lane for handlers in Python.

    Raises:
        ParameterError: The strategy is not compiled.
    """
    if not is_compiled(type(strategy)):
        raise ParameterError(
            f"{name}: {type(strategy).__name__} cannot have a lane: its handlers are Python, which has the GIL",
            strategy=name,
            hint="a lane is for compiled strategies (a state_dtype, static handlers); leave it out for the others",
        )


def check_names(lanes: Mapping[str, Lane] | None, strategies: Collection[str]) -> None:
    """Refuse lanes of strategies that are not there.

    Raises:
        ParameterError: There is no strategy of that name.
    """
    for name in lanes or ():
        if name not in strategies:
            near = did_you_mean(name, strategies)
            raise ParameterError(f"lanes: no strategy '{name}'{near}; there are {', '.join(strategies)}", strategy=name)


def processor_problem(lane: Lane) -> str | None:
    """Why the processor that it names cannot be had here, if so."""
    allowed = processors()
    if lane.processor is None or lane.processor in allowed:
        return None
    known = ", ".join(map(str, allowed)) or "none by number"
    return f"processor {lane.processor} cannot be had: this process may use {known}"
