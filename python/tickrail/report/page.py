"""``Result.report()``: one HTML file that needs nothing else; a script of ours lets it be looked at more closely."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from tickrail.report.curves import Line, Marks, chart
from tickrail.report.quality import prices_of
from tickrail.report.text import duration

__all__ = ["page_of"]

#: Instruments whose fills are drawn: those with the most.
MOST_CHARTS: Final = 6
STYLE: Final = """
body{font:14px/1.45 system-ui,sans-serif;max-width:1000px;margin:24px auto;padding:0 16px;color:#1f2328;background:#fff}
h1{font-size:20px}h2{font-size:16px;margin:28px 0 8px}table{border-collapse:collapse;font-variant-numeric:tabular-nums}
td,th{padding:3px 12px 3px 0;text-align:right;border-bottom:1px solid #d1d9e0}
td:first-child,th:first-child{text-align:left}
figure{margin:0 0 18px}figcaption{font-weight:600;margin-bottom:4px}figcaption span{font-weight:400;margin-left:10px}
svg{width:100%;height:auto;border:1px solid #d1d9e0}svg text{font-size:11px;fill:#57606a}.grid{stroke:#eaeef2}
figure svg{cursor:crosshair;touch-action:pan-y;user-select:none}
.readout{font-size:12px;color:#57606a;min-height:18px;white-space:pre-wrap}
code{font-size:12px;word-break:break-all}.bad{color:#cf222e}
"""


def page_of(result: Any, *, ticks: Any = None, days_per_year: float = 252.0) -> str:
    """The page of a result; every text of the user's is escaped. ``ticks``: the run's data, for prices and markouts."""
    title = f"tickrail: {result.status}, {result.ticks:,} ticks"
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        _errors(result),
        _statistics(result, days_per_year),
        "<h2>Equity</h2>",
        _curves(result),
        "<h2>Fills</h2>",
        *_fills(result, ticks),
        _fill_figures(result),
        _quality(result, ticks),
        "<h2>Orders</h2>",
        _gate(result),
        "<h2>Handlers</h2>",
        _latency(result),
        "<h2>Run</h2>",
        _run(result),
    ]
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{STYLE}</style>'
    look = Path(__file__).with_name("look.js").read_text(encoding="utf-8")
    body = f"{''.join(parts)}<script>{look}</script>"
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>\n'


def _errors(result: Any) -> str:
    told = (
        f'<p class="bad"><b>{html.escape(error.strategy)}.{html.escape(error.handler)}</b>: '
        f"{html.escape(f'{error.type}: {error.message}')}</p>"
        for error in result.errors
    )
    return "".join(told)


def _statistics(result: Any, days_per_year: float) -> str:
    names = [one.name for one in result.strategies]
    columns = [("all", result.statistics(days_per_year=days_per_year))] if len(names) != 1 else []
    columns += [(name, result.statistics(name, days_per_year=days_per_year)) for name in names]
    if not columns:
        return ""
    figures = [one.to_dict() for _, one in columns]
    rows = [[label.replace("_", " "), *(_figure(each[label]) for each in figures)] for label in figures[0]]
    return "<h2>Statistics</h2>" + _table(["", *(name for name, _ in columns)], rows)


def _curves(result: Any) -> str:
    whole = result.curve()
    ts, equity = whole["ts_ns"], whole["equity"]
    falls = equity - np.maximum.accumulate(equity) if len(equity) else equity
    charts = chart("Equity", [("equity", ts, equity)]) + chart("Below the peak", [("drawdown", ts, falls)], fill=True)
    if len(result.strategies) < 2:
        return charts
    # By what they made: what they were given would keep their lines apart, and flat.
    curves = [(one.name, result.curve(one.name)) for one in result.strategies]
    lines = [(name, curve["ts_ns"], curve["equity"] - curve["equity"][:1]) for name, curve in curves]
    return charts + chart("Profit by strategy", lines)


def _fills(result: Any, ticks: Any) -> Iterable[str]:
    counts = np.bincount(result.fills["instrument"], minlength=len(result.instruments))
    most = [int(index) for index in np.argsort(-counts, kind="stable")[:MOST_CHARTS] if counts[index]]
    if not most:
        return ["<p>none</p>"]
    return [_fill_chart(result, index, ticks) for index in most]


def _fill_chart(result: Any, index: int, ticks: Any) -> str:
    fills = result.fills[result.fills["instrument"] == index]
    name = result.instruments[index]
    marks: list[Marks] = []
    for told, side, colour in (("bought", 1, "#2da44e"), ("sold", 2, "#cf222e")):
        chosen = fills[fills["side"] == side]
        marks.append((told, chosen["ts_ns"], chosen["price"], colour))
    line: Line = ("price of fills", fills["ts_ns"], fills["price"])
    if ticks is not None and len((market := prices_of(ticks, name))[0]):
        line = ("price", *market)
    return chart(name, [line], marks)


def _fill_figures(result: Any) -> str:
    """How much was filled, how, and how long after its decision, by strategy."""
    fills = result.fills
    if not len(fills):
        return ""
    took_ns = fills["ts_ns"] - result.decided_ns
    shown = []
    for number, one in enumerate(result.strategies):
        mine = fills["strategy"] == number
        if not mine.any():
            continue
        times = (duration(int(np.quantile(took_ns[mine], part, method="higher"))) for part in (0.5, 0.99, 1.0))
        shares = (float(fills["quantity"][mine].mean()), float(fills["maker"][mine].mean()))
        shown.append([one.name, f"{int(mine.sum()):,}", *map(_figure, shares), *times])
    return _table(["fills", "count", "mean quantity", "maker share", "after p50", "p99", "most"], shown)


def _quality(result: Any, ticks: Any) -> str:
    """What fills cost against the market at their decision, and where it went: means by strategy, in its price."""
    if ticks is None or not len(result.fills):
        return ""
    rows = result.quality(ticks)
    names = [name for name in rows.dtype.names if name != "arrival"]
    shown = []
    for number, one in enumerate(result.strategies):
        mine = rows[result.fills["strategy"] == number]
        means = [float(np.nanmean(mine[name])) if np.isfinite(mine[name]).any() else math.nan for name in names]
        shown.append([one.name, f"{len(mine):,}", *(_figure(mean) for mean in means)])
    heads = [name.replace("_", " ") for name in names]
    return _table(["mean of fills, in price", "fills", *heads], shown)


def _gate(result: Any) -> str:
    rows = []
    for one in result.strategies:
        refused = {name: count for name, count in result.gate.get(one.name, {}).items() if name != "passed"}
        told = ", ".join(f"{name} {count:,}" for name, count in refused.items()) or "none"
        rows.append([one.name, f"{one.orders:,}", f"{one.fills:,}", told])
    return _table(["strategy", "orders", "fills", "refused by the gate"], rows)


def _latency(result: Any) -> str:
    measured: Mapping[str, Any] = result.stats.get("measured", {})
    if not measured:
        return "<p>not measured: sample_every is 0</p>"
    figures = {name: one["handler"] for name, one in measured.items()}
    keys = list(next(iter(figures.values())))
    return _table(
        ["handler, ns", *keys], [[name, *(_figure(one[key]) for key in keys)] for name, one in figures.items()]
    )


def _run(result: Any) -> str:
    record = {name: value for name, value in result.record.items() if name not in ("cpu_flags", "build", "instruments")}
    shown = [[name, str(value)] for name, value in record.items()]
    shown.append(["speed", f"{result.ticks_per_s / 1e6:.2f} M ticks/s"])
    return _table(["", ""], shown)


def _figure(value: Any) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:,.6g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{html.escape(one)}</th>" for one in heads)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"
