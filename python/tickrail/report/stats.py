"""``RuntimeStats``: how a run is doing, read while it goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeAlias

from tickrail._native import Histogram
from tickrail.report.accounts import Accounts, FeedAccount, StrategyAccount, Traded
from tickrail.report.text import duration

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["STRATEGY_MEASURES", "FeedStats", "LaneStats", "Latency", "Overrun", "RuntimeStats", "StrategyStats"]

Exported: TypeAlias = Literal["times", "counts"]
QUANTILES: Final = {"p50_ns": 0.5, "p90_ns": 0.9, "p99_ns": 0.99, "p999_ns": 0.999}
STRATEGY_MEASURES: Final = ("handler", "latency", "lateness")
NOTHING: Final = Traded()


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Times that were measured, ns. Quantiles are right to 1.6 % and never too low.

    Attributes:
        count: How many.
        mean_ns: Their mean.
        p50_ns: Half of them are not longer.
        p90_ns: Nine in ten.
        p99_ns: 99 in a hundred.
        p999_ns: 999 in a thousand.
        max_ns: The longest.
        histogram: All of them: ``quantile(part)``, ``buckets()``.
    """

    count: int
    mean_ns: float
    p50_ns: int
    p90_ns: int
    p99_ns: int
    p999_ns: int
    max_ns: int
    histogram: Histogram = field(repr=False, compare=False)

    @classmethod
    def of(cls, histogram: Histogram) -> Self | None:
        """``None`` where nothing was measured."""
        if histogram.count == 0:
            return None
        quantiles = {name: histogram.quantile(part) for name, part in QUANTILES.items()}
        return cls(
            count=histogram.count,
            mean_ns=histogram.mean_ns,
            max_ns=histogram.max_ns,
            histogram=histogram,
            **quantiles,
        )

    def to_dict(self) -> dict[str, float]:
        """The numbers by their names."""
        names = ("count", "mean_ns", *QUANTILES, "max_ns")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrun:
    """Calls of one handler that took too long, as a watch saw them that looks now and then.

    Attributes:
        strategy: Whose; ``None`` for commands that concern no strategy.
        handler: Its name; several where one of them took the tick.
        slow: How many took longer than ``slow_handler_ns``.
        slowest_ns: The longest of these that have returned.
        stuck: How many took longer than ``handler_deadline_ns``.
    """

    strategy: str | None
    handler: str
    slow: int
    slowest_ns: int
    stuck: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {name: getattr(self, name) for name in self.__slots__}

    def __str__(self) -> str:
        whose = self.handler if self.strategy is None else f"{self.strategy}.{self.handler}"
        calls = f"{self.slow:,} slow call{'' if self.slow == 1 else 's'}"
        return f"{whose}: {calls}, the longest {duration(self.slowest_ns)}, {self.stuck:,} stuck"


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneStats:
    """The lane of one strategy: ``offered = handled + lost + pending``, over all lives of the strategy.

    Attributes:
        offered: Records that the loop wrote for it.
        handled: Records that its handlers were given.
        lost: Records that were written over before, under ``lossy``.
        pending: Records that wait: its lag.
        gaps: How often it was overtaken.
        asked: Calls of handlers that asked for something: orders, timers.
        high_water: Most records that ever waited.
        waits: How often the loop waited for it, under ``gating``.
        abandoned: Whether its thread was left behind at the end, as it did not come to rest in time.
    """

    offered: int
    handled: int
    lost: int
    pending: int
    gaps: int
    asked: int
    high_water: int
    waits: int
    abandoned: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyStats:
    """One strategy.

    Attributes:
        name: Its name in the run.
        account: What became of every record.
        traded: What it has ordered, and what came of it.
        handler: How long its handlers take with a tick or a batch; ``None`` where nothing was measured.
        latency: From the stamp that a feed gave a tick on entry to the handler; live only.
        lateness: From the time a timer was set for to its call; live only.
        lane: What is counted of its lane, if it has one; ``handler`` and ``latency`` are then measured there.
    """

    name: str
    account: StrategyAccount
    traded: Traded = NOTHING
    handler: Latency | None = None
    latency: Latency | None = None
    lateness: Latency | None = None
    lane: LaneStats | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        measures = {name: _plain(getattr(self, name)) for name in STRATEGY_MEASURES}
        lane = None if self.lane is None else self.lane.to_dict()
        counts = {**self.account.to_dict(), **self.traded._asdict()}
        return {"name": self.name, "state": self.account.state, **counts, **measures, "lane": lane}


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedStats:
    """One feed.

    Attributes:
        name: Its name.
        account: What became of every record; ``pending`` is the lag in records, ``high_water`` the most there ever was.
        wait: How long records wait for the loop, of one in each slice; ``None`` where nothing was measured.
    """

    name: str
    account: FeedAccount
    wait: Latency | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        names = (name for name in FeedAccount.__slots__ if name not in ("name", "invalid"))
        counts = {name: getattr(self.account, name) for name in names}
        return {"name": self.name, **counts, "invalid": dict(self.account.invalid), "wait": _plain(self.wait)}


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeStats:
    """A run at one moment, the end of a step.

    Attributes:
        position: Loop position of that step.
        now_ns: Its clock, ns UTC.
        ticks: Ticks that the loop had taken.
        strategies: In order of registration.
        feeds: In the order opened; empty in a backtest, whose files wait for the loop.
        drift_ns: How far the wall clock is ahead of the run's, which it set once; ``None`` in a simulation.
        wall_jumps: How often the wall clock was found to have been set meanwhile; ``None`` in a simulation.
        overruns: Handlers that took too long.
    """

    position: int
    now_ns: int
    ticks: int
    strategies: tuple[StrategyStats, ...]
    feeds: tuple[FeedStats, ...] = ()
    drift_ns: int | None = None
    wall_jumps: int | None = None
    overruns: tuple[Overrun, ...] = ()

    @classmethod
    def of(cls, accounts: Accounts, measured: Mapping[str, Any], overruns: Sequence[Overrun] = ()) -> Self:
        """From the accounts and what the native loop has measured."""
        rows: Sequence[Mapping[str, Histogram]] = measured["strategies"]
        lanes: Mapping[int, Mapping[str, Any]] = measured["lanes"]
        waits: Sequence[Histogram] = measured["feeds"]
        strategies = (
            StrategyStats(
                name=name,
                account=account,
                traded=accounts.traded.get(name, NOTHING),
                **_measures(rows[number] if number < len(rows) else {}, lanes.get(number)),
            )
            for number, (name, account) in enumerate(accounts.strategies.items())
        )
        feeds = (
            FeedStats(name=name, account=account, wait=Latency.of(waits[number]) if number < len(waits) else None)
            for number, (name, account) in enumerate(accounts.feeds.items())
        )
        return cls(
            position=accounts.position,
            now_ns=accounts.now_ns,
            ticks=accounts.inputs,
            strategies=tuple(strategies),
            feeds=tuple(feeds),
            drift_ns=measured["drift_ns"],
            wall_jumps=measured["wall_jumps"],
            overruns=tuple(overruns),
        )

    def strategy(self, name: str) -> StrategyStats:
        """One strategy.

        Raises:
            KeyError: There is none of that name.
        """
        return {one.name: one for one in self.strategies}[name]

    def feed(self, name: str) -> FeedStats:
        """One feed.

        Raises:
            KeyError: There is none of that name.
        """
        return {one.name: one for one in self.feeds}[name]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; keys are only ever added to."""
        return {
            "position": self.position,
            "now_ns": self.now_ns,
            "ticks": self.ticks,
            "strategies": [one.to_dict() for one in self.strategies],
            "feeds": [one.to_dict() for one in self.feeds],
            "drift_ns": self.drift_ns,
            "wall_jumps": self.wall_jumps,
            "overruns": [one.to_dict() for one in self.overruns],
        }

    def to_arrow(self, what: Exported = "times") -> pa.Table:
        """As a table: what was measured (``times``), a row a bucket, or what was counted (``counts``), a row a counter.

        Columns: ``kind`` (``strategy`` or ``feed``), ``name``, and then of ``times`` ``measure``, ``from_ns``,
        ``to_ns``, ``count``; of ``counts`` ``counter``, ``value``.

        Raises:
            ImportError: ``pyarrow`` is not installed.
            ValueError: ``what`` is neither.
        """
        import pyarrow as pa

        text, number = pa.string(), pa.int64()
        whose = {"kind": text, "name": text}
        if what == "times":
            columns = {**whose, "measure": text, "from_ns": number, "to_ns": number, "count": number}
            return _arrow_table(columns, self._buckets())
        if what == "counts":
            return _arrow_table({**whose, "counter": text, "value": number}, self._counters())
        raise ValueError(f"what is {what!r}: expected 'times' or 'counts'")

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """What was counted, for whatever reads Arrow: ``polars.DataFrame(stats)``. Needs ``pyarrow``."""
        return self.to_arrow("counts").__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        return "\n".join(
            "  ".join(cell.rjust(width) for cell, width in zip(row, self._widths(), strict=True))
            for row in self._table()
        )

    def _repr_html_(self) -> str:
        head, *rows = self._table()
        cells = "".join(f"<th>{escape(cell)}</th>" for cell in head)
        body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
        return f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>"

    def _buckets(self) -> list[tuple[str, str, str, int, int, int]]:
        measured = [
            ("strategy", one.name, key, getattr(one, key)) for one in self.strategies for key in STRATEGY_MEASURES
        ]
        measured += [("feed", one.name, "wait", one.wait) for one in self.feeds]
        return [
            (kind, name, key, *bucket)
            for kind, name, key, latency in measured
            if latency is not None
            for bucket in latency.histogram.buckets()
        ]

    def _counters(self) -> list[tuple[str, str, str, int]]:
        parts = [("strategy", one.name, one.to_dict()) for one in self.strategies]
        parts += [("feed", one.name, one.to_dict()) for one in self.feeds]
        # Plain whole numbers; what is nested is told apart by the name of its part.
        flat = [
            (kind, name, counter, value)
            for kind, name, counts in parts
            for counter, value in (*counts.items(), *_nested(counts, "invalid"), *_nested(counts, "lane"))
        ]
        return [row for row in flat if isinstance(row[3], int)]

    def _table(self) -> list[tuple[str, ...]]:
        rows: list[tuple[str, ...]] = [("", "state", "ticks", "lag", "p50", "p99", "max")]
        for strategy in self.strategies:
            account, times = strategy.account, strategy.latency or strategy.handler
            rows.append(
                (strategy.name, account.state, f"{account.delivered:,}", f"{account.pending:,}", *_times(times))
            )
        for feed in self.feeds:
            state = "open" if feed.account.publishers else "quiet"
            rows.append((feed.name, state, f"{feed.account.taken:,}", f"{feed.account.pending:,}", *_times(feed.wait)))
        return rows

    def _widths(self) -> list[int]:
        return [max(len(cell) for cell in column) for column in zip(*self._table(), strict=True)]


def _nested(counts: Mapping[str, Any], part: str) -> list[tuple[str, int]]:
    return [(f"{part}.{name}", int(value)) for name, value in (counts.get(part) or {}).items()]


def _arrow_table(columns: Mapping[str, pa.DataType], rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    import pyarrow as pa

    places = enumerate(columns.items())
    return pa.table({name: pa.array([row[place] for row in rows], kind) for place, (name, kind) in places})


def _measures(row: Mapping[str, Histogram], lane: Mapping[str, Any] | None) -> dict[str, Any]:
    """By name; where a strategy has a lane, the loop's stamps are those of handing over, and the lane's count."""
    if lane is None:
        return {key: Latency.of(histogram) for key, histogram in row.items()}
    counts = {name: lane[name] for name in LaneStats.__slots__}
    times = {**row, "handler": lane["handler"], "latency": lane["latency"]}
    return {**{key: Latency.of(histogram) for key, histogram in times.items()}, "lane": LaneStats(**counts)}


def _plain(latency: Latency | None) -> dict[str, float] | None:
    return None if latency is None else latency.to_dict()


def _times(latency: Latency | None) -> tuple[str, str, str]:
    if latency is None:
        return ("-", "-", "-")
    return (duration(latency.p50_ns), duration(latency.p99_ns), duration(latency.max_ns))
