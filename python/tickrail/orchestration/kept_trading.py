"""The state of trading that outlives a process: HALTED with its reason, and limits that were changed."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from tickrail._native import Operations, trading_problem
from tickrail.errors import Problem, TradingStateError

__all__ = ["is_kept", "restored", "socket_folder", "trading_file", "unreadable"]

logger = logging.getLogger("tickrail.trading")

HINT: Final = "it keeps a halt, its reason and changed limits over restarts: without it trading goes on as configured"
SIMULATED: Final = "backtest"
"""The environment whose results depend on its inputs alone, and on nothing that an earlier run has left."""


def socket_folder(run_dir: Path) -> Path:
    """Where the sockets of running processes lie, and what they keep."""
    return run_dir / "control"


def is_kept(env: str) -> bool:
    """Whether runs of the environment begin with the state of trading that the last one has left."""
    return env != SIMULATED


def trading_file(run_dir: Path, env: str) -> Path:
    """Where it is kept."""
    return socket_folder(run_dir) / f"{env}.trading"


def unreadable(run_dir: Path, env: str) -> list[Problem]:
    """What keeps a run of the environment from beginning with what is kept."""
    file = trading_file(run_dir, env)
    if not is_kept(env) or (why := trading_problem(file)) is None:
        return []
    return [Problem("", str(file), why.removeprefix(str(file)).lstrip(": "), expected=None)]


def restored(operations: Operations) -> None:
    """Take the state of trading that the last process kept, and say what of it differs from the configuration.

    Raises:
        TradingStateError: It cannot be read; trading is halted then.
    """
    try:
        kept = operations.load()
    except OSError as error:
        raise TradingStateError(str(error), hint=HINT) from None
    if operations.trading != "ACTIVE":
        why = f": {operations.reason}" if operations.reason else ""
        logger.warning("trading is %s, as the last process left it%s", operations.trading, why)
    for table, key, value, is_set in kept:
        said = (
            "is no limit of this run any more" if not is_set else f"is {'no limit' if value is None else f'{value:g}'}"
        )
        logger.warning("limits.%s: %s %s, as an operator has set it in an earlier run", table, key, said)
