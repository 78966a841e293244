"""The state of trading that outlives a process: HALTED with its reason, and limits that were changed."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from tickrail._native import Operations

__all__ = ["is_kept", "restored", "socket_folder", "trading_file"]

logger = logging.getLogger("tickrail.trading")

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


def restored(operations: Operations) -> None:
    """Take the state of trading that the last process kept, and say what of it differs from the configuration.

    Raises:
        OSError: It cannot be read; trading is halted then.
    """
    kept = operations.load()
    if operations.trading != "ACTIVE":
        why = f": {operations.reason}" if operations.reason else ""
        logger.warning("trading is %s, as the last process left it%s", operations.trading, why)
    for table, key, value, is_set in kept:
        said = (
            "is no limit of this run any more" if not is_set else f"is {'no limit' if value is None else f'{value:g}'}"
        )
        logger.warning("limits.%s: %s %s, as an operator has set it in an earlier run", table, key, said)
