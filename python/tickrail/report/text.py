"""A result in words: plain text of at most 100 columns, and HTML for notebooks."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

__all__ = ["duration", "html_of", "plain", "summary_of"]

WIDTH: Final = 100
HEADS: Final = ("strategy", "state", "ticks", "orders", "fills", "fees", "pnl")
TIMES: Final = ("measured", "of", "count", "p50", "p99", "max")
MEASURES: Final = {"handler": "handler", "latency": "tick to handler", "lateness": "timer late by"}
#: Of the statistics, for a notebook: those that a run is looked at by first.
FIGURES: Final = ("profit", "total_return", "sharpe", "max_drawdown", "trades", "hit_rate", "profit_factor", "fees")
MAX_NAME: Final = 24
MAX_MONEY: Final = 18


def plain(value: Any) -> Any:
    """The value as JSON can say it: NaN and infinities are ``None``."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def summary_of(result: Any) -> str:
    """The summary of a run."""
    rate = f"{_ticks(result)} in {result.elapsed_s:.2f} s ({result.ticks_per_s / 1e6:.2f} M ticks/s)"
    lines = [f"{_status(result)}: {rate}, {len(result.orders):,} orders, {len(result.fills):,} fills", ""]
    lines += _table(HEADS, [_row(one) for one in result.strategies])
    if times := _times(result.stats):
        lines += ["", *_table(TIMES, times)]
    lines += [line for note in result.stats.get("notes", ()) for line in ("", f"note: {note}")]
    for error in result.errors:
        lines += ["", f"error in {error.strategy}.{error.handler} at loop position {error.position:,}:"]
        lines += [f"  {line}" for line in f"{error.type}: {error.message}".splitlines()[:3]]
    lines += _notes(result)
    lines += ["", f"digest {result.digest}"]
    return "\n".join(_cut(line.rstrip(), WIDTH) for line in lines)


def _notes(result: Any) -> list[str]:
    """What went on beside the ticks, where anything did."""
    stats = result.stats
    slow = [
        f"slow: {'' if one['strategy'] is None else one['strategy'] + '.'}{one['handler']}: {one['slow']:,} calls, "
        f"the longest {one['slowest_ns'] / 1e9:.2f} s, {one['stuck']:,} stuck"
        for one in stats.get("overruns", ())
    ]
    again = [f"restarted: {name} {count:,} times" for name, count in stats.get("restarts", {}).items()]
    return ["", *slow, *again] if slow or again else []


def html_of(result: Any) -> str:
    """The same as a table for notebooks; every text is escaped."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in HEADS)
    rows = "".join(_html_row(_row(one)) for one in result.strategies)
    errors = "".join(
        f"<p><b>{html.escape(e.strategy)}.{html.escape(e.handler)}</b>: {html.escape(f'{e.type}: {e.message}')}</p>"
        for e in result.errors
    )
    facts = f"{_status(result)}: {_ticks(result)}, {result.ticks_per_s / 1e6:.2f} M ticks/s"
    caption = f"<caption>{html.escape(facts)}</caption>"
    table = f"<table>{caption}<tr>{head}</tr>{rows}</table>{_html_figures(result)}"
    return f"{table}{errors}<code>{html.escape(result.digest)}</code>"


def _html_figures(result: Any) -> str:
    """The statistics of all strategies together that have a meaning, where anything was traded."""
    if not len(result.fills):
        return ""
    found = result.statistics()
    known = [(name, value) for name in FIGURES if not math.isnan(value := getattr(found, name))]
    head = "".join(f"<th>{name}</th>" for name, _ in known)
    shown = (f"{value:,}" if isinstance(value, int) else f"{value:,.4g}" for _, value in known)
    return f"<table><tr>{head}</tr>{_html_row(shown)}</table>"


def _status(result: Any) -> str:
    reason = f" ({result.stop_reason})" if result.stop_reason else ""
    failed, made_good = len(result.failures), len(result.errors) - len(result.failures)
    failures = f", {failed} failed" if failed else ""
    good = f", {made_good} failure{'' if made_good == 1 else 's'} made good by a restart" if made_good else ""
    return f"{result.status}{reason}{failures}{good}"


def _ticks(result: Any) -> str:
    return f"{result.ticks:,} tick{'' if result.ticks == 1 else 's'}"


def _times(stats: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Of a live run: how long handlers took, and how long ticks were on their way to them and waited for the loop."""
    feeds: Mapping[str, Any] = stats.get("feeds", {})
    rows = [
        (_cut(name, MAX_NAME), MEASURES[measure], *_quantiles(found))
        for name, measures in stats.get("measured", {}).items()
        for measure, found in measures.items()
    ]
    for name, feed in feeds.items():
        if feed["wait"] is not None:
            rows.append((_cut(name, MAX_NAME), "lag", *_quantiles(feed["wait"])))
            rows.append((_cut(name, MAX_NAME), "most waiting", f"{feed['high_water']:,}", "", "", ""))
    for name, lane in stats.get("lanes", {}).items():
        rows.append((_cut(name, MAX_NAME), "lane lost", f"{lane['lost']:,}", "", "", ""))
    return rows


def _quantiles(found: Mapping[str, Any]) -> tuple[str, ...]:
    return (f"{found['count']:,}", *(duration(int(found[name])) for name in ("p50_ns", "p99_ns", "max_ns")))


def duration(ns: int) -> str:
    """A time in the unit in which it has one to three digits; long ones in seconds."""
    if ns >= 1e12:
        return f"{ns / 1e9:,.0f} s"
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if ns >= size:
            return f"{ns / size:.3g} {unit}"
    return f"{ns} ns"


def _row(one: Any) -> tuple[str, ...]:
    fees = _money({currency: sums.fees for currency, sums in one.money.items()})
    counts = (f"{one.delivered:,}", f"{one.orders:,}", f"{one.fills:,}")
    return (_cut(one.name, MAX_NAME), one.state, *counts, _cut(fees, MAX_MONEY), _cut(_money(one.pnl), MAX_MONEY))


def _money(sums: Mapping[str, float]) -> str:
    return ", ".join(
        _amount(amount) + ("" if currency == "XXX" else f" {currency}") for currency, amount in sums.items()
    )


def _amount(amount: float) -> str:
    return f"{amount:,.2f}" if abs(amount) >= 100 else f"{amount:,.4f}"  # one unit of a currency earns pips


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    return [_line(row, widths) for row in (heads, ["-" * width for width in widths], *rows)]


def _line(cells: Iterable[str], widths: Sequence[int]) -> str:
    aligned = (
        cell.ljust(width) if number < 2 else cell.rjust(width)
        for number, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join(aligned)


def _html_row(cells: Iterable[str]) -> str:
    return "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"
