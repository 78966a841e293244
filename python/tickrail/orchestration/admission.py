"""Who may enter a run, and how a compiled strategy is made ready for it."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from tickrail._native import CompiledCode, InstrumentId
from tickrail.domain.near import did_you_mean
from tickrail.errors import DataError, ParameterError
from tickrail.strategy.strategy import Strategy, check_ready, parameters_of

if TYPE_CHECKING:
    from tickrail.strategy.compiled.code import Compiled

__all__ = ["admit", "compile_into"]


def admit(
    strategy: object,
    name: str,
    wanted: Sequence[InstrumentId | str] | None,
    *,
    strategies: Collection[str],
    instruments: Sequence[str],
) -> None:
    """Refuse what cannot be a strategy of this run.

    Args:
        strategy: What was handed over.
        name: What it is to be called.
        wanted: What it is to receive; ``None`` is everything.
        strategies: Names that are taken.
        instruments: Ids of the run.

    Raises:
        ParameterError: It is no strategy, is not complete, or its name is taken.
        DataError: No feed has what it is to receive.
    """
    if not isinstance(strategy, Strategy):
        raise ParameterError(
            f"{name}: {strategy!r} is no strategy",
            hint="derive its class from tickrail.Strategy, and hand over an object of it",
        )
    if name in strategies:
        raise ParameterError(f"two strategies have the name '{name}'", strategy=name)
    check_ready(strategy)
    for one in wanted or ():
        if str(one) not in instruments:
            near = did_you_mean(str(one), instruments)
            raise DataError(
                f"{name}: no feed has the instrument '{one}'{near}", hint=f"there are: {', '.join(instruments)}"
            )


def compile_into(
    compiled: dict[str, Compiled], seconds: dict[str, float], name: str, strategy: Strategy
) -> CompiledCode:
    """Its handlers as machine code; what was made, and how long that took, is noted under its name."""
    from tickrail.strategy.compiled.code import compile_strategy  # late: numba takes a second to import

    begun = time.perf_counter()
    made = compile_strategy(type(strategy), parameters_of(strategy))
    seconds[name] = time.perf_counter() - begun
    strategy.__dict__.update(state=made.state[0], _compiled=made)
    compiled[name] = made
    return made.code
