"""``tickrail top``: a live table of a running process, by the socket in its run directory."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import click

from tickrail.cli.ctl import NoAnswer, NoRun, ask, named_run, runs_in
from tickrail.cli.options import FiniteRange, json_option, traceback_option
from tickrail.report.text import duration

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

__all__ = ["top"]

STRATEGY_HEADS: Final = (
    *("strategy", "state", "ticks/s", "lag", "drops", "p50", "p99", "max", "orders", "open", "PnL"),
)
FEED_HEADS: Final = ("feed", "offered/s", "taken/s", "depth", "most", "drops", "rejected", "publishers")
DROPS: Final = ("dropped_newest", "dropped_oldest", "conflated")
STATE_STYLES: Final = {"RUNNING": "green", "PAUSED": "yellow", "FAILED": "bold red"}
TRADING_STYLES: Final = {"ACTIVE": "green", "REDUCING": "yellow", "HALTED": "bold red"}


@dataclass(frozen=True, slots=True)
class View:
    """What was answered, and when.

    Attributes:
        run: What the run is called.
        stats: As ``RuntimeStats.to_dict``, with ``trading``.
        at_s: Monotonic time of the answer.
    """

    run: str
    stats: Mapping[str, Any]
    at_s: float


@click.command(short_help="Watch a running process in a live table.")
@click.option("--run", "run_id", metavar="ID", help="Which run, where several go on.")
@click.option(
    "--run-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs"),
    show_default=True,
    help="The run directory (runtime.run_dir of the configuration).",
)
@click.option(
    "--every", "every_s", type=FiniteRange(min=0.1, max=86_400.0), default=1.0, show_default=True, help="Seconds."
)
@click.option(
    "--timeout", "timeout_s", type=FiniteRange(min=0.1, max=86_400.0), default=5.0, show_default=True, help="Seconds."
)
@click.option("--once", is_flag=True, help="Print one table and end.")
@json_option
@traceback_option
def top(*, run_id: str | None, run_dir: Path, every_s: float, timeout_s: float, once: bool, as_json: bool) -> int:
    """Watch a running process in a live table, until it ends or Ctrl-C.

    Asks for the run's counters and histograms, which any thread may read:
    watching is no input of the run, and works while a handler hangs in
    Python. With --json, or without a terminal, a line or a table each time.

    \b
    Exit codes:
      0  the run has ended, or --once is done
      3  no such run
      4  no answer in time
    """  # noqa: D301 - the mark that keeps lines apart is the character itself
    name = named_run(run_dir, run_id)
    before = _view(run_dir, name, timeout_s)
    if once:
        time.sleep(min(every_s, 1.0))  # rates are over a time
        _print(_view(run_dir, name, timeout_s), before, as_json=as_json)
        return 0
    watch = _draw if sys.stdout.isatty() and not as_json else partial(_list, as_json=as_json)
    try:
        watch(run_dir, name, every_s, timeout_s, before)
    except KeyboardInterrupt:  # how one leaves it
        return 0
    if not as_json:
        click.echo(f"{name} has ended", err=True)
    return 0


def _view(run_dir: Path, run: str, timeout_s: float) -> View:
    answer = ask(run_dir, run, timeout_s, "stats", {})
    if not answer["ok"]:
        raise NoAnswer(f"{run}: {answer['message']}")
    return View(run, answer["result"], time.monotonic())


def _next(run_dir: Path, run: str, every_s: float, timeout_s: float) -> View | None:
    """The next one; ``None``: the run has ended."""
    time.sleep(every_s)
    try:
        return _view(run_dir, run, timeout_s)
    except NoRun:
        return None
    except NoAnswer:
        if run not in runs_in(run_dir):
            return None
        raise


def _list(run_dir: Path, run: str, every_s: float, timeout_s: float, first: View, *, as_json: bool) -> None:
    _print(first, None, as_json=as_json)
    before = first
    while (now := _next(run_dir, run, every_s, timeout_s)) is not None:
        _print(now, before, as_json=as_json)
        before = now


def _draw(run_dir: Path, run: str, every_s: float, timeout_s: float, first: View) -> None:
    from rich.live import Live

    before = first
    with Live(_screen(first, None), auto_refresh=False, transient=False) as live:
        while (now := _next(run_dir, run, every_s, timeout_s)) is not None:
            live.update(_screen(now, before), refresh=True)
            before = now


def _print(now: View, before: View | None, *, as_json: bool) -> None:
    if as_json:
        rates = _rates(now, before)
        click.echo(json.dumps({"run": now.run, **now.stats, "rates": rates}))
        return
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 160).print(_screen(now, before))


def _rates(now: View, before: View | None) -> dict[str, Any]:
    """Per second since ``before``."""
    if before is None:
        return {}
    span_s = max(now.at_s - before.at_s, 1e-9)

    def rows(section: str, *counts: str) -> dict[str, dict[str, float]]:
        old = {row["name"]: row for row in before.stats[section]}
        return {
            row["name"]: {count: (row[count] - old.get(row["name"], row)[count]) / span_s for count in counts}
            for row in now.stats[section]
        }

    return {
        "ticks": (now.stats["ticks"] - before.stats["ticks"]) / span_s,
        "strategies": rows("strategies", "delivered"),
        "feeds": rows("feeds", "offered", "taken"),
    }


def _screen(now: View, before: View | None) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    rates, stats = _rates(now, before), now.stats
    at = datetime.fromtimestamp(stats["now_ns"] / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S") if stats["now_ns"] else "-"
    head = Text.assemble(
        (now.run, "bold"),
        "  trading ",
        (stats["trading"], TRADING_STYLES.get(stats["trading"], "")),
        f"  step {stats['position']:,}  ticks {stats['ticks']:,}  {_rate(rates.get('ticks'))} ticks/s  {at}",
    )
    parts: list[RenderableType] = [head, _strategies(stats, rates)]
    if stats["feeds"]:
        parts.append(_feeds(stats, rates))
    slow = [
        f"{'' if row['strategy'] is None else row['strategy'] + '.'}{row['handler']}: {row['slow']:,} slow, "
        f"{row['stuck']:,} stuck"
        for row in stats["overruns"]
    ]
    if slow:
        parts.append(Text("; ".join(slow), style="yellow"))
    return Group(*parts)


def _strategies(stats: Mapping[str, Any], rates: Mapping[str, Any]) -> Table:
    table = _table(STRATEGY_HEADS)
    for row in stats["strategies"]:
        rate = rates.get("strategies", {}).get(row["name"], {}).get("delivered")
        times = row["handler"] or {}
        table.add_row(
            row["name"],
            f"[{STATE_STYLES.get(row['state'], 'dim')}]{row['state']}",
            _rate(rate),
            f"{row['pending']:,}",
            f"{sum(row[name] for name in (*DROPS, 'max_lag')):,}",
            *(_time(times.get(name)) for name in ("p50_ns", "p99_ns", "max_ns")),
            f"{row['orders']:,}",
            f"{row['open_orders']:,}",
            "-" if row["pnl"] is None else f"{row['pnl']:,.2f}",
        )
    return table


def _feeds(stats: Mapping[str, Any], rates: Mapping[str, Any]) -> Table:
    table = _table(FEED_HEADS)
    for row in stats["feeds"]:
        rate = rates.get("feeds", {}).get(row["name"], {})
        table.add_row(
            row["name"],
            _rate(rate.get("offered")),
            _rate(rate.get("taken")),
            f"{row['pending']:,}",
            f"{row['high_water']:,}",
            f"{sum(row[name] for name in DROPS):,}",
            f"{row['rejected']:,}",
            f"{row['publishers']:,}",
        )
    return table


def _table(heads: tuple[str, ...]) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for number, head in enumerate(heads):
        # Names give way where the terminal is narrow, figures do not.
        justify: Literal["left", "right"] = "left" if number == 0 or head == "state" else "right"
        table.add_column(head, justify=justify, no_wrap=number > 0, overflow="ellipsis")
    return table


def _rate(rate: float | None) -> str:
    return "-" if rate is None else f"{rate:,.0f}"


def _time(ns: float | None) -> str:
    return "-" if ns is None else duration(int(ns))
