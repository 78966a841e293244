"""``tickrail data``: make tick files and look into them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tickrail.cli.data_import import import_command
from tickrail.cli.options import json_option, new_file, traceback_option
from tickrail.cli.progress import progress_bar
from tickrail.data.times import to_iso, to_ns

if TYPE_CHECKING:
    from tickrail._native import Tick, TickArray

__all__ = ["data"]

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def data() -> None:
    """Make, import and look into tick files."""


data.add_command(import_command)


@data.command(short_help="Say what a tick file holds.")
@click.argument("file", type=_FILE)
@click.option("--verify", is_flag=True, help="Read every record: checksum, order, kinds, instruments.")
@json_option
@traceback_option
def info(file: Path, verify: bool, as_json: bool) -> None:
    """Say what a tick file holds."""
    ticks = _open(file)
    if verify:
        ticks.verify()
    facts: dict[str, Any] = {"path": str(file)} | (ticks.header() or {}) | {"verified": verify}
    facts["instruments"] = ticks.instrument_table
    if as_json:
        click.echo(json.dumps(facts))
        return
    click.echo(f"{file}  tick file, format {facts['format_version']}, record layout {facts['layout_version']}")
    click.echo(f"  ticks        {facts['count']:,}  ({facts['file_size']:,} bytes)")
    if facts["count"]:
        click.echo(f"  first        {to_iso(facts['first_ns'])}")
        click.echo(f"  last         {to_iso(facts['last_ns'])}")
    click.echo(f"  order        {facts['order_by']}")
    click.echo(f"  checksum     {facts['checksum']}  ({'verified' if verify else 'not verified: --verify'})")
    click.echo(f"  instruments  {len(facts['instruments'])}")
    for row in facts["instruments"]:
        click.echo(f"    {_instrument_line(row)}")


def _instrument_line(row: dict[str, Any]) -> str:
    parts = [row["id"]]
    parts += [row["currency"]] if row["currency"] != "XXX" else []
    parts += [f"step {row['price_increment']:g}"] if row["price_increment"] else []
    parts += [f"bars of {row['bar_duration_ns'] / 1e9:g} s"] if row["bar_duration_ns"] else []
    parts += ["prices may be negative"] if row["negative_prices"] else []
    return "  ".join(parts)


@data.command(short_help="Show the first ticks of a file.")
@click.argument("file", type=_FILE)
@click.option("-n", "count", type=click.IntRange(min=0), default=10, show_default=True, help="How many.")
@json_option
@traceback_option
def head(file: Path, count: int, as_json: bool) -> None:
    """Show the first ticks of a file; with --json one object a line."""
    for tick in _open(file)[:count]:
        facts = _tick_facts(tick)
        if as_json:
            click.echo(json.dumps(facts))
        else:
            numbers = "  ".join(f"{name} {value}" for name, value in list(facts.items())[4:])
            click.echo(f"{to_iso(tick.ts_event)}  {facts['instrument']}  {tick.kind:<5}  {numbers}")


_FIELDS = {
    "QUOTE": ("bid", "ask", "bid_size", "ask_size"),
    "TRADE": ("price", "size", "side"),
    "BAR": ("open", "high", "low", "close", "volume"),
}


def _tick_facts(tick: Tick) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "ts_event": tick.ts_event,
        "ts_init": tick.ts_init,
        "instrument": str(tick.instrument),
        "kind": tick.kind,
    }
    for name in _FIELDS.get(tick.kind, ()):
        value = getattr(tick, name)
        # JSON has no NaN: a size that the source did not give is null.
        facts[name] = None if value != value else value  # noqa: PLR0124
    return facts


@data.command(short_help="Make a file of random quotes.")
@click.argument("out", type=_FILE)
@click.option("--ticks", "count", type=click.IntRange(min=0), required=True, help="How many quotes.")
@click.option("--seed", type=click.IntRange(0, 2**64 - 1), default=0, show_default=True, help="Decides all randomness.")
@click.option("--instrument", "instruments", multiple=True, default=("EURUSD.SIM",), show_default=True, metavar="ID")
@click.option("--start", default="2024-01-01T00:00:00Z", show_default=True, help="The first quote comes after it.")
@click.option("--interval-us", type=click.IntRange(min=1), default=1_000, show_default=True, help="Mean time between.")
@click.option("--force", is_flag=True, help="Replace an existing file.")
@json_option
@traceback_option
def generate(
    *,
    out: Path,
    count: int,
    seed: int,
    instruments: tuple[str, ...],
    start: str,
    interval_us: int,
    force: bool,
    as_json: bool,
) -> None:
    """Make a file of random quotes; the same seed gives the same file anywhere."""
    from tickrail.data.generator import generate_file

    new_file(out, force=force)
    try:
        start_ns = to_ns(start)
        with progress_bar(f"generating {out.name}", wanted=not as_json) as progress:
            report = generate_file(
                out,
                count,
                seed,
                instruments=instruments,
                start=start_ns,
                mean_interval_ns=interval_us * 1_000,
                progress=progress,
            )
    except (ValueError, OverflowError) as error:
        raise click.UsageError(str(error)) from None
    if as_json:
        click.echo(json.dumps(report))
    else:
        click.echo(f"{out}: {report['count']:,} ticks of {', '.join(report['instruments'])}, seed {seed}")


def _open(file: Path) -> TickArray:
    from tickrail._native import TickArray

    return TickArray.open(file)
