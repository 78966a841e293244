"""What a run leaves behind, from what its native loop says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import numpy as np

from tickrail._native import Dispatcher
from tickrail.domain.changes import StateChange
from tickrail.domain.positions import Position
from tickrail.errors import FeedError, HandlerError
from tickrail.report.accounts import StrategyAccount
from tickrail.report.code import code_of
from tickrail.report.measured import feeds_of, lanes_of, measured_of
from tickrail.report.result import STOP_ASKED, Result, Status, StrategyError, StrategyResult
from tickrail.report.stats import RuntimeStats
from tickrail.strategy.compiled.code import Compiled

__all__ = ["Outcome"]

ACCOUNTS: Final = tuple(one.name for one in fields(StrategyAccount) if one.name != "state")
COMPILED_RAISED: Final = "the compiled handler raised"  # all that machine code says


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A run that has ended, or stands still.

    Attributes:
        native: Its loop.
        strategies: Their classes by name, in order of registration.
        instruments: Ids, in the order of the table.
        stats: What was measured.
        compiled: The compiled ones among the strategies, and how many seconds that took.
        abandoned: Coroutines that did not end in time.
        without_lane: Strategies that should have a lane, in a run that has none.
        restarts: How often supervision has restarted each strategy.
        stopped_by: The strategy whose failure has stopped the run.
        wish: Why an operator wanted it to stop, as far as that was said.
        changes: Every step of every life.
        ending: The steps of its end, and what was abandoned.
        data: Rows of the instrument table, the seed, fingerprints of recorded data by feed, capital by strategy.
        run_id: Of its orders' names at venues.
        unknown_orders: Names of orders that venues told of and the run has not made.
    """

    native: Dispatcher
    strategies: Mapping[str, type]
    instruments: tuple[str, ...]
    stats: RuntimeStats
    compiled: Mapping[str, tuple[Compiled, float]]
    abandoned: Sequence[str]
    without_lane: Sequence[str]
    restarts: Mapping[str, int]
    stopped_by: str | None
    wish: str
    changes: tuple[StateChange, ...]
    ending: tuple[Sequence[Mapping[str, Any]], Sequence[str]]
    data: tuple[Sequence[Mapping[str, Any]], int, Mapping[str, str], Mapping[str, float]]
    run_id: str
    unknown_orders: Sequence[str]

    def result(
        self,
        *,
        status: Status,
        elapsed_s: float,
        configuration: Mapping[str, Any],
        configuration_digest: str,
        cause: BaseException | None,
    ) -> Result:
        """What it leaves behind."""
        native = self.native
        if isinstance(cause, FeedError) and status == "stopped":
            status = "failed"  # in order, and all the same not by anybody's wish
        if isinstance(cause, SystemExit | KeyboardInterrupt) and status in ("complete", "stopped"):
            status = "interrupted"  # in on_stop, which the loop calls once it has ended
        errors = tuple(self._explained(_error(row)) for row in native.errors())
        orders, fills, stats = native.orders(), native.fills(), {**native.stats(), **self._more_stats(status)}
        counts = [np.bincount(array["strategy"], minlength=len(self.strategies)) for array in (orders, fills)]
        rows = enumerate(native.strategies())
        return Result(
            status=status,
            stop_reason=self._stop_reason(status, cause),
            ticks=stats["ticks"],
            elapsed_s=elapsed_s,
            digest=native.digest(),
            strategies=tuple(
                _strategy(row, int(counts[0][number]), int(counts[1][number]), errors) for number, row in rows
            ),
            orders=orders,
            fills=fills,
            held=native.held(),
            errors=errors,
            instruments=self.instruments,
            stats=stats,
            configuration=configuration,
            changes=self.changes,
            gate=dict(zip(self.strategies, native.verdicts(), strict=True)),
            refusals=native.refusals(),
            limit_changes=tuple(native.limit_changes()),
            worth=native.worth(),
            facts=tuple(self.data[0]),
            seed=self.data[1],
            sources=dict(self.data[2]),
            capital=dict(self.data[3]),
            configuration_digest=configuration_digest,
            run_id=self.run_id,
            code={name: code_of(kind) for name, kind in self.strategies.items()},
        )

    def _more_stats(self, status: Status) -> dict[str, Any]:
        """What only some runs have."""
        compiled = {name: {"seconds": s, "cached": one.cached} for name, (one, s) in self.compiled.items()}
        more = {
            "abandoned_coroutines": list(self.abandoned),
            "measured": measured_of(self.stats),
            "feeds": feeds_of(self.stats),
            "lanes": lanes_of(self.stats),
            "notes": self._notes(),
            "compiled": compiled,
            "overruns": [one.to_dict() for one in self.stats.overruns],
            "ending": self._ending() if status != "complete" or self._has_wound_down or self.ending[1] else {},
            "unknown_orders": list(self.unknown_orders),
            "restarts": {name: count for name, count in self.restarts.items() if count},
        }
        return {name: value for name, value in more.items() if value}

    def _notes(self) -> list[str]:
        """What a reader may have expected otherwise."""
        left = (one.name for one in self.stats.strategies if one.lane is not None and one.lane.abandoned)
        return [
            *(f"a backtest has no lanes: {name} was called by the loop" for name in self.without_lane),
            *(f"the lane of {name} did not come to rest in time: it was left behind within a call" for name in left),
        ]

    @property
    def _has_wound_down(self) -> bool:
        """Whether orders were awaited that had left the process: at the end of the data too."""
        return any(step["name"] in ("orders", "last orders") for step in self.ending[0])

    def _ending(self) -> dict[str, Any]:
        steps, abandoned = self.ending
        coroutines = [f"coroutine {name} has not ended" for name in self.abandoned]
        return {"steps": [dict(step) for step in steps], "abandoned": [*abandoned, *coroutines]}

    def _explained(self, error: StrategyError) -> StrategyError:
        compiled, _ = self.compiled.get(error.strategy, (None, 0.0))
        if compiled is None or not isinstance(error.exception, HandlerError) or error.message != COMPILED_RAISED:
            return error
        from tickrail.strategy.compiled.explain import raised_by  # late: numba takes a second to import

        found = raised_by(compiled, error.handler, error.tick)
        return error if found is None else replace(error, **found)

    def _stop_reason(self, status: Status, cause: BaseException | None) -> str | None:
        """What ended a run before its data did, as far as it is known."""
        if isinstance(cause, SystemExit) and cause.code is not None:
            return f"SystemExit: {cause.code}"
        if isinstance(cause, FeedError):
            return cause.message
        if cause is not None:
            text = str(cause)
            return f"{type(cause).__name__}: {text}" if text else type(cause).__name__
        if status == "stopped" and self.stopped_by is not None:
            return f"strategy {self.stopped_by} failed"
        if status == "stopped" and self.wish:
            return f"{STOP_ASKED}: {self.wish}"
        # Ctrl-C between two handlers leaves no exception behind.
        return {"interrupted": "KeyboardInterrupt", "stopped": STOP_ASKED}.get(status)


def _error(row: Mapping[str, Any]) -> StrategyError:
    names = ("strategy", "handler", "type", "message", "traceback", "position", "ts_ns", "tick", "exception")
    return StrategyError(**{name: row[name] for name in names})


def _strategy(row: Mapping[str, Any], orders: int, fills: int, errors: Sequence[StrategyError]) -> StrategyResult:
    return StrategyResult(
        name=row["name"],
        state=row["state"],
        delivered=row["delivered"],
        orders=orders,
        fills=fills,
        positions=tuple(Position(**position) for position in row["positions"]),
        accounts={name: row[name] for name in ACCOUNTS},
        error=next((error for error in errors if error.strategy == row["name"]), None),
    )
