"""A result out of its folder, as ``tickrail run`` and ``Result.write`` leave it."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from tickrail.domain.changes import StateChange
from tickrail.domain.positions import Position
from tickrail.errors import DataError
from tickrail.report.result import Result, StrategyError, StrategyResult

__all__ = ["read_result"]

TABLES: Final = ("result", "record", "configuration")
ARRAYS: Final = ("orders", "fills", "worth", "refusals", "held")
#: What of ``result.json`` goes into a result as it is.
PLAIN: Final = ("status", "stop_reason", "ticks", "elapsed_s", "digest", "configuration_digest", "stats", "gate")


class Shown(str):
    """What was shown of an object that is not there any more."""

    __slots__ = ()
    __repr__ = str.__str__


ERROR: Final = ("strategy", "handler", "type", "message", "traceback", "position", "ts_ns")


def read_result(folder: str | os.PathLike[str]) -> Result:
    """The result whose folder this is: its tables, statistics and report are those of the run.

    What cannot be written down is not there: exceptions are their text, and so are the ticks that led to them.

    Raises:
        DataError: It is no folder of a result, or one of its files is damaged.
    """
    where = Path(folder)
    try:
        tables = {name: json.loads((where / f"{name}.json").read_text(encoding="utf-8")) for name in TABLES}
        arrays = {name: np.load(where / f"{name}.npy", allow_pickle=False) for name in ARRAYS}
        return _result(tables["result"], tables["record"], tables["configuration"], arrays)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{where} is no folder of a result: {error}", hint="tickrail run and Result.write make them"
        ) from error


def _result(
    said: Mapping[str, Any],
    record: Mapping[str, Any],
    configuration: Mapping[str, Any],
    arrays: Mapping[str, Any],
) -> Result:
    errors = tuple(_error(one) for one in said["errors"])
    result = Result(
        **{name: said[name] for name in PLAIN},
        **arrays,
        strategies=tuple(_strategy(one, errors) for one in said["strategies"]),
        errors=errors,
        instruments=tuple(said["instruments"]),
        configuration=configuration,
        changes=tuple(StateChange(**one) for one in said["changes"]),
        limit_changes=tuple(said["limit_changes"]),
        seed=record["seed"],
        sources=record["sources"],
        capital=record["capital"],
        facts=tuple(record["instruments"]),
        run_id=record["run_id"],
        code=record["code"],
    )
    # That of the machine which made it, and not of the one that reads it.
    vars(result)["record"] = dict(record)
    return result


def _error(said: Mapping[str, Any]) -> StrategyError:
    tick = None if said["tick"] is None else Shown(said["tick"])
    return StrategyError(**{name: said[name] for name in ERROR}, tick=tick)


def _strategy(said: Mapping[str, Any], errors: Sequence[StrategyError]) -> StrategyResult:
    def position(one: Mapping[str, Any]) -> Position:
        figures: dict[str, Any] = {name: math.nan if one[name] is None else one[name] for name in Position.__slots__}
        return Position(**figures)

    counts: dict[str, Any] = {
        name: said[name] for name in ("name", "state", "delivered", "orders", "fills", "accounts")
    }
    error = next((error for error in errors if error.strategy == said["name"]), None)
    return StrategyResult(**counts, positions=tuple(map(position, said["positions"])), error=error)
