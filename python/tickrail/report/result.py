"""``Result``: what a run leaves behind, complete or not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from tickrail._native import GATE_VERDICTS as GATE_NAMES
from tickrail.domain.changes import StateChange
from tickrail.domain.orders import client_order_id
from tickrail.domain.positions import Money, Position, by_currency
from tickrail.report.equity import ALL_STRATEGIES, WORTH_DTYPE, equity_by_currency, positions_of
from tickrail.report.folder import write_file, write_folder
from tickrail.report.page import page_of
from tickrail.report.quality import HORIZONS_NS, quality_of
from tickrail.report.record import record_of
from tickrail.report.statistics import Statistics, statistics_of
from tickrail.report.tables import TABLES, errors_table, table_of
from tickrail.report.text import html_of, plain, summary_of
from tickrail.report.trades import HELD_DTYPE, rates_of, trades_of

__all__ = [
    "GATE_VERDICTS",
    "ORDER_KINDS",
    "ORDER_STATUS",
    "SIDES",
    "STOP_ASKED",
    "TIMES_IN_FORCE",
    "Result",
    "Status",
    "StrategyError",
    "StrategyResult",
    "left_by_exit",
]

Status: TypeAlias = Literal["complete", "stopped", "interrupted", "failed"]

STOP_ASKED: Final = "stop asked for"
"""Why a run was stopped that was told to; a reason may follow."""
ORDER_STATUS: Final = (
    "PENDING",
    "ACCEPTED",
    "FILLED",
    "CANCELED",
    "REJECTED",
    "SUBMITTED",
    "PARTIALLY_FILLED",
    "EXPIRED",
)
"""Names of the numbers in ``orders["status"]``."""
ORDER_KINDS: Final = ("MARKET", "LIMIT", "STOP", "STOP_LIMIT")
"""Names of the numbers in ``orders["kind"]``."""
TIMES_IN_FORCE: Final = ("GTC", "IOC", "FOK", "DAY", "GTD")
"""Names of the numbers in ``orders["time_in_force"]``."""
GATE_VERDICTS: Final[Mapping[int, str]] = GATE_NAMES
"""Names of the numbers in ``orders["gate"]`` and ``refusals["gate"]``."""
SIDES: Final = ("NONE", "BUY", "SELL")
"""Names of the numbers in ``orders["side"]`` and ``fills["side"]``."""


@dataclass(frozen=True, slots=True)
class StrategyError:
    """What a strategy raised, and on what.

    Attributes:
        strategy: Name of the strategy.
        handler: The handler that raised.
        type: Name of the exception's class.
        message: Its text.
        traceback: As the interpreter would print it.
        position: Loop position of the input.
        ts_ns: The clock at that step.
        tick: The tick that was being handled, or ``None``.
        exception: The exception itself.
    """

    strategy: str
    handler: str
    type: str
    message: str
    traceback: str
    position: int
    ts_ns: int
    tick: object | None = field(default=None, repr=False)
    exception: BaseException | None = field(default=None, repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        names = ("strategy", "handler", "type", "message", "traceback", "position", "ts_ns")
        tick = None if self.tick is None else repr(self.tick)
        return {**{name: getattr(self, name) for name in names}, "tick": tick}


@dataclass(frozen=True, slots=True)
class StrategyResult:
    """What became of one strategy.

    Attributes:
        name: Its name in the run.
        state: ``STOPPED`` or ``FAILED``; after an interruption, whatever it was in.
        delivered: Ticks that it received.
        orders: Number of orders it made.
        fills: Number of fills it had.
        positions: What it held at the end, of each instrument that it traded.
        accounts: Where each published tick went: ``published`` is the sum of the others.
        error: What it raised, or ``None``.
    """

    name: str
    state: str
    delivered: int
    orders: int
    fills: int
    positions: tuple[Position, ...]
    accounts: Mapping[str, int]
    error: StrategyError | None = None

    @property
    def money(self) -> dict[str, Money]:
        """Realised, unrealised, fees and profit, by currency."""
        return by_currency(self.positions)

    @property
    def pnl(self) -> dict[str, float]:
        """Profit less fees, by currency."""
        return {currency: sums.pnl for currency, sums in self.money.items()}


@dataclass(frozen=True)
class Result:
    """What a run leaves behind.

    Attributes:
        status: ``complete``, ``stopped`` (asked to), ``interrupted`` (Ctrl-C, ``sys.exit``) or ``failed``.
        ticks: Input ticks that the loop took.
        elapsed_s: Wall time of the run.
        digest: The run digest; of an interrupted run it says how far that run went.
        strategies: In order of registration.
        orders: Structured array, in the order asked for.
        fills: Structured array, in the order made.
        errors: What strategies raised.
        instruments: Ids by their number in ``orders`` and ``fills``.
        held: What strategies held before the run began: see ``tickrail.report.trades.HELD_DTYPE``.
        stats: Counters of the loop.
        configuration: The resolved configuration, plain values.
        changes: Every step of every strategy's life, in the order taken (the last 65,536).
        gate: By strategy, how often the risk gate gave each verdict: ``passed``, or why an order was refused.
        refusals: Structured array of what it refused (the last 65,536): ``found`` is the figure beyond ``limit``, and
            ``gate`` the verdict, named in ``GATE_VERDICTS``.
        limit_changes: Limits that were changed while the run went on: table, key, before, after, position, time.
        worth: Structured array of what strategies were worth: ``ts_ns``, ``equity``, ``gross``, ``strategy`` (2^32 - 1:
            all of them); at each fill, every ``equity_every_ns`` while anything is held, and at the end. See ``curve``.
        seed: Of whatever draws numbers.
        sources: Fingerprints of the recorded data, by feed.
        capital: What each strategy was given, by name.
        facts: Rows of the instrument table: ``id``, ``currency``, ``multiplier``, ...
        run_id: Of its orders' names at venues; see ``client_ids``.
        configuration_digest: SHA-256 over what of it decides results, in hexadecimal.
        code: By strategy, ``module:Class`` and the SHA-256 of its source.
        stop_reason: What ended it before its data did: ``KeyboardInterrupt``, ``SystemExit: 3``, ``stop asked for``
            (with the reason that an operator said), or the exception of the block of a pulled run; ``None`` otherwise.
        parent: Name of the run that this one followed, as that one came to no end: see ``docs/how-to/operate.md``.
    """

    status: Status
    ticks: int
    elapsed_s: float
    digest: str
    strategies: tuple[StrategyResult, ...]
    orders: npt.NDArray[np.void]
    fills: npt.NDArray[np.void]
    errors: tuple[StrategyError, ...]
    instruments: tuple[str, ...]
    stats: Mapping[str, Any]
    configuration: Mapping[str, Any] = field(default_factory=dict)
    changes: tuple[StateChange, ...] = ()
    gate: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    refusals: npt.NDArray[np.void] = field(default_factory=lambda: np.empty(0, [("gate", "<u8")]))
    limit_changes: tuple[Mapping[str, Any], ...] = ()
    worth: npt.NDArray[np.void] = field(default_factory=lambda: np.empty(0, WORTH_DTYPE))
    held: npt.NDArray[np.void] = field(default_factory=lambda: np.empty(0, HELD_DTYPE))
    seed: int = 0
    sources: Mapping[str, str] = field(default_factory=dict)
    capital: Mapping[str, float] = field(default_factory=dict)
    facts: tuple[Mapping[str, Any], ...] = ()
    configuration_digest: str = ""
    run_id: str = ""
    code: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    stop_reason: str | None = None
    parent: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the run came to its end, or was stopped on purpose, and no strategy failed for good."""
        return self.status in ("complete", "stopped") and not self.failures

    @property
    def failures(self) -> tuple[StrategyError, ...]:
        """The errors that no restart has made good: of strategies that ended FAILED, or after their last restart."""
        again = {change.strategy: change.position for change in self.changes if change.operation == "restart"}
        failed = {one.name for one in self.strategies if one.state == "FAILED"}
        return tuple(
            error for error in self.errors if error.strategy in failed or error.position > again.get(error.strategy, -1)
        )

    @property
    def ticks_per_s(self) -> float:
        """Input ticks by second of wall time."""
        return self.ticks / self.elapsed_s if self.elapsed_s > 0 else 0.0

    @property
    def pnl(self) -> dict[str, float]:
        """Profit less fees of all strategies, by currency."""
        return {currency: sums.pnl for currency, sums in self.money.items()}

    @property
    def money(self) -> dict[str, Money]:
        """Realised, unrealised, fees and profit of all strategies, by currency."""
        return by_currency(position for one in self.strategies for position in one.positions)

    @cached_property
    def equity(self) -> dict[str, npt.NDArray[np.void]]:
        """By currency, profit realised so far less fees, after each fill: fields ``ts_ns`` and ``net``."""
        currencies = {p.instrument: p.currency for one in self.strategies for p in one.positions}
        return equity_by_currency(self.fills, [currencies.get(name, "XXX") for name in self.instruments])

    @cached_property
    def trades(self) -> npt.NDArray[np.void]:
        """Positions that were opened and closed again, from the fills: see ``tickrail.report.trades.TRADE_DTYPE``.

        What was held before the run opens a trade at the price and the time at which the run heard of it.
        """
        return trades_of(self.fills, self._multipliers, self.held)

    @cached_property
    def client_ids(self) -> tuple[str, ...]:
        """The names of ``orders`` at venues, one an order: the run's id, the strategy's place, the order's number."""
        pairs = zip(self.orders["strategy"].tolist(), self.orders["order"].tolist(), strict=True)
        return tuple(client_order_id(self.run_id, strategy, number) for strategy, number in pairs)

    @cached_property
    def positions(self) -> npt.NDArray[np.void]:
        """What each strategy held at the end, of each instrument that it traded."""
        return positions_of(self.strategies, self.instruments)

    @cached_property
    def record(self) -> dict[str, Any]:
        """What made the result: digests, seed, fingerprints of data and code, versions, processor and its flags."""
        return record_of(self)

    def curve(self, strategy: str | None = None) -> npt.NDArray[np.void]:
        """The equity curve of a strategy, or of all together: ``ts_ns``, ``equity``, ``gross``.

        It begins with the capital. Empty where nothing was traded, or amounts of several currencies are not added.

        Raises:
            KeyError: There was no strategy of that name.
        """
        names = [one.name for one in self.strategies]
        if strategy is not None and strategy not in names:
            raise KeyError(strategy)
        number = 0 if strategy is None else names.index(strategy)
        if strategy is None and len(names) > 1:  # the curve of one is that of all
            number = ALL_STRATEGIES
        curve: npt.NDArray[np.void] = self.worth[self.worth["strategy"] == number]
        if not len(curve):
            return curve
        begin = curve[:1].copy()
        begin["equity"], begin["gross"] = self._given(strategy), 0.0
        return np.concatenate([begin, curve])

    def statistics(self, strategy: str | None = None, *, days_per_year: float = 252.0) -> Statistics:
        """Figures with named formulas, of a strategy or of all together: see ``Statistics``.

        Args:
            strategy: Its name; ``None``: all.
            days_per_year: 252 for exchanges, 365 for markets that never close.

        Raises:
            KeyError: There was no strategy of that name.
        """
        orders, fills, trades = self.orders, self.fills, self.trades
        if strategy is not None:
            number = [one.name for one in self.strategies].index(self.strategy(strategy).name)
            orders, fills, trades = (one[one["strategy"] == number] for one in (orders, fills, trades))
        notional = fills["quantity"] * np.abs(fills["price"]) * np.asarray(self._multipliers)[fills["instrument"]]
        rates = rates_of(fills)
        if np.isnan(rates).all() and self._trades_one_currency(fills):
            # The run has several and does not add them; here there is nothing to be added.
            rates, trades = np.ones(len(fills)), trades.copy()
            trades["rate"] = 1.0
        return statistics_of(
            self.curve(strategy),
            trades,
            orders=len(orders),
            fills=len(fills),
            value=float((notional * rates).sum()),
            fees=float((fills["fee"] * rates).sum()),
            begin=math.nan if len(fills) or len(self.held) else self._given(strategy),
            days_per_year=days_per_year,
        )

    def _given(self, strategy: str | None) -> float:
        """Capital of one strategy, or of all."""
        return float(sum(self.capital.values()) if strategy is None else self.capital.get(strategy, 0.0))

    def _trades_one_currency(self, fills: npt.NDArray[np.void]) -> bool:
        known = {str(row["id"]): str(row.get("currency")) for row in self.facts}
        return len({known.get(self.instruments[number]) for number in np.unique(fills["instrument"])}) == 1

    def quality(self, ticks: Any, horizons_ns: Sequence[int] = HORIZONS_NS) -> npt.NDArray[np.void]:
        """How well each fill was: ``arrival`` mid, ``slippage`` against it, markouts after 1, 10 and 60 s.

        Args:
            ticks: The data that the run was over, of which a result keeps none: a ``TickArray``, the path of a tick
                file, or a list or dict of these.
            horizons_ns: How long after a fill the market is looked at.
        """
        return quality_of(self.fills, self.decided_ns, self.instruments, ticks, horizons_ns)

    @cached_property
    def decided_ns(self) -> npt.NDArray[np.int64]:
        """When the order of each fill was decided, ns UTC."""
        keys = self._key(self.orders)
        by_key = np.argsort(keys)
        found: npt.NDArray[np.int64] = self.orders["made_ns"][
            by_key[np.searchsorted(keys, self._key(self.fills), sorter=by_key)]
        ]
        return found

    @staticmethod
    def _key(rows: npt.NDArray[np.void]) -> npt.NDArray[np.uint64]:
        """Strategy and number of the order as one."""
        key: npt.NDArray[np.uint64] = rows["strategy"].astype(np.uint64) << np.uint64(32) | rows["order"]
        return key

    def table(self, name: str) -> Any:
        """``orders``, ``fills``, ``trades``, ``positions``, ``equity``, ``refusals`` or ``errors`` as a pyarrow table.

        polars (``pl.from_arrow``) and pandas (``.to_pandas(types_mapper=pd.ArrowDtype)``) take it without a copy. Codes
        are their names, times timestamps in UTC.

        Raises:
            KeyError: There is no such table.
            ModuleNotFoundError: pyarrow is not installed (extra ``data``).
        """
        if name not in TABLES:
            raise KeyError(f"no table '{name}'; there are {', '.join(TABLES)}")
        if name == "errors":
            return errors_table(self.errors)
        strategies: dict[int, str] = dict(enumerate(one.name for one in self.strategies))
        if name == "equity":
            array = self.worth.astype(WORTH_DTYPE)
            array["strategy"][array["strategy"] == ALL_STRATEGIES] = len(strategies)
            return table_of(array, {"strategy": {**strategies, len(strategies): "*"}})
        names: dict[str, Sequence[str] | Mapping[int, str]] = {
            "strategy": strategies,
            "instrument": self.instruments,
            "side": SIDES,
            "kind": ORDER_KINDS,
            "time_in_force": TIMES_IN_FORCE,
            "status": ORDER_STATUS,
            "gate": GATE_VERDICTS,
        }
        return table_of(getattr(self, name), names)

    def report(self, path: str | Path = "report.html", *, ticks: Any = None, days_per_year: float = 252.0) -> Path:
        """Write one HTML file that opens offline: statistics, equity, drawdown, fills, refusals, times of handlers.

        Args:
            path: Where; it appears whole, or not at all.
            ticks: The data that the run was over, as in ``quality``: with it the page has prices around the fills,
                slippage and markouts.
            days_per_year: 252 for exchanges, 365 for markets that never close.

        Returns:
            The path, absolute.
        """
        return write_file(Path(path), page_of(self, ticks=ticks, days_per_year=days_per_year))

    @property
    def _multipliers(self) -> list[float]:
        known = {str(row["id"]): float(row.get("multiplier") or 1.0) for row in self.facts}
        return [known.get(name, 1.0) for name in self.instruments]

    def strategy(self, name: str) -> StrategyResult:
        """The result of one strategy.

        Raises:
            KeyError: There was none of that name.
        """
        return {one.name: one for one in self.strategies}[name]

    def summary(self) -> str:
        """A table of at most 100 columns."""
        return summary_of(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; orders and fills as counts, NaN as ``None``."""
        return {
            "status": self.status,
            "stop_reason": self.stop_reason,
            "parent": self.parent,
            "ok": self.ok,
            "ticks": self.ticks,
            "elapsed_s": self.elapsed_s,
            "ticks_per_s": self.ticks_per_s,
            "digest": self.digest,
            "configuration_digest": self.configuration_digest,
            "orders": len(self.orders),
            "fills": len(self.fills),
            "pnl": plain(self.pnl),
            "strategies": [_plain_strategy(one) for one in self.strategies],
            "errors": [error.to_dict() for error in self.errors],
            "failures": len(self.failures),
            "changes": [change.to_dict() for change in self.changes],
            "gate": {name: dict(counts) for name, counts in self.gate.items()},
            "limit_changes": [plain(dict(change)) for change in self.limit_changes],
            "instruments": list(self.instruments),
            "stats": plain(dict(self.stats)),
        }

    def write(self, folder: str | Path) -> Path:
        """Write arrays (``orders.npy``, ...), ``summary.txt``, and as JSON ``result``, ``record``, ``configuration``.

        The folder appears whole or not at all; ``tickrail.report.stored.read_result`` makes a result of it again.

        Raises:
            FileExistsError: ``folder`` exists and is not empty.
        """
        texts = {
            "result.json": self.to_dict(),
            "record.json": self.record,
            "configuration.json": plain(dict(self.configuration)),
        }
        arrays = {f"{name}.npy": getattr(self, name) for name in ("orders", "fills", "worth", "refusals", "held")}
        return write_folder(Path(folder), texts, arrays, {"summary.txt": self.summary() + "\n"})

    def __repr__(self) -> str:
        traded = f"{len(self.orders)} orders, {len(self.fills)} fills"
        return f"<Result {self.status}: {self.ticks:,} ticks, {traded}, digest {self.digest[:16]}>"

    def _repr_html_(self) -> str:
        return html_of(self)


def left_by_exit(result: Result) -> bool:
    """Whether a handler called ``sys.exit``: to a command a failure, and no Ctrl-C."""
    return (result.stop_reason or "").startswith("SystemExit")


def _plain_strategy(one: StrategyResult) -> dict[str, Any]:
    positions = [
        {name: plain(getattr(position, name)) for name in (*Position.__slots__, "pnl")} for position in one.positions
    ]
    return {
        "name": one.name,
        "state": one.state,
        "delivered": one.delivered,
        "orders": one.orders,
        "fills": one.fills,
        "pnl": plain(one.pnl),
        "positions": positions,
        "accounts": dict(one.accounts),
        "error": None if one.error is None else f"{one.error.type}: {one.error.message}",
    }
