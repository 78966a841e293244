"""What is loaded before ticks come, by those runs that need it while ticks wait; the others load it at their end.

numpy and what writes results are a third of the time from the start of a process to its first tick. A simulation has
no use for them until it is over. A live loop must not stand still for them: not when somebody reads its accounts, nor
when it is told to stop.
"""

from __future__ import annotations

import importlib

__all__ = ["load_arrays", "load_results"]


def load_arrays() -> None:
    """The dtypes of records, for strategies that are handed arrays."""
    importlib.import_module("tickrail.domain.ticks")


def load_results() -> None:
    """All that reads accounts and writes results, arrays among it."""
    for module in ("orchestration.outcome", "orchestration.overruns", "report.shutdown"):
        importlib.import_module(f"tickrail.{module}")
