"""``tickrail data import``: market data of other formats into a tick file."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from tickrail.cli.options import json_option, new_file, traceback_option
from tickrail.cli.progress import progress_bar
from tickrail.data.importers.layout import check_names
from tickrail.data.importers.registry import importer_named
from tickrail.data.importers.zones import zone_of
from tickrail.data.times import to_iso
from tickrail.errors import ImportFormatError

if TYPE_CHECKING:
    from tickrail.data.importing import ImportReport

__all__ = ["import_command"]

_DURATION: Final = re.compile(r"(\d+)(ms|s|m|h|d)")
_UNIT_NS: Final = {
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60 * 1_000_000_000,
    "h": 3_600 * 1_000_000_000,
    "d": 86_400 * 1_000_000_000,
}

_FORMATS: Final = """\b
Formats:
  arrow              Parquet and Arrow IPC
  csv                CSV of any layout; --map says its columns
  numpy              structured arrays in .npy files
  fx                 Lean tick quotes, a zip a day
  binance            dumps; --layout aggTrades, trades or bookTicker
  binance-recording  recorded websocket streams
  tardis             CSV of quotes and trades"""


def _duration(_ctx: click.Context, _param: click.Parameter, text: str | None) -> int:
    if text is None:
        return 0
    found = _DURATION.fullmatch(text)
    if found is None or int(found[1]) == 0:
        msg = f"'{text}' is no duration; expected such as 1s, 5m, 1h, 1d"
        raise click.BadParameter(msg)
    return int(found[1]) * _UNIT_NS[found[2]]


def _mapping(_ctx: click.Context, _param: click.Parameter, pairs: tuple[str, ...]) -> dict[str, str]:
    columns = {}
    for pair in pairs:
        name, equals, column = pair.partition("=")
        if not name or not equals or not column:
            msg = f"'{pair}': expected NAME=COLUMN, such as bid=BidPrice"
            raise click.BadParameter(msg)
        columns[name] = column
    _say_at_once(lambda: check_names(columns))
    return columns


def _format(_ctx: click.Context, _param: click.Parameter, name: str | None) -> str | None:
    if name is not None:
        _say_at_once(lambda: importer_named(name))
    return name


def _zone(_ctx: click.Context, _param: click.Parameter, name: str | None) -> str | None:
    if name is not None:
        _say_at_once(lambda: zone_of(name))
    return name


def _say_at_once(check: Callable[[], object]) -> None:
    """What is wrong with an option is wrong whatever the source: a mistake of usage."""
    try:
        check()
    except ImportFormatError as error:
        raise click.BadParameter(f"{error.message}. {error.hint}" if error.hint else error.message) from None


@click.command("import", short_help="Import market data into a tick file.", epilog=_FORMATS)
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="SOURCE...")
@click.option("--out", "-o", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The tick file.")
@click.option(
    "--format",
    "format_name",
    metavar="FORMAT",
    callback=_format,
    help="One of those below; default: by the names of the files.",
)
@click.option("--instrument", metavar="ID", help="Names all records, as EURUSD.OANDA.")
@click.option("--venue", help="Completes symbols that name none.")
@click.option(
    "--tz", "time_zone", metavar="ZONE", callback=_zone, help="Of times without one: UTC, -05:00, America/New_York."
)
@click.option("--map", "columns", multiple=True, callback=_mapping, metavar="NAME=COLUMN", help="Repeatable.")
@click.option("--kind", type=click.Choice(["quote", "trade", "bar"]), help="Default: by the columns.")
@click.option("--time-unit", type=click.Choice(["s", "ms", "us", "ns"]), help="Default: by the digits.")
@click.option("--layout", help="Of binance; default: by the name of the file, or its columns.")
@click.option("--bar-duration", "bar_duration_ns", callback=_duration, metavar="1m", help="How long a bar is.")
@click.option("--bar-time", type=click.Choice(["open", "close"]), default="close", show_default=True)
@click.option("--on-bad", type=click.Choice(["reject", "skip"]), default="reject", show_default=True)
@click.option("--order-by", type=click.Choice(["ts_event", "ts_init"]), help="Default: as the format is.")
@click.option("--force", is_flag=True, help="Replace an existing file.")
@json_option
@traceback_option
def import_command(
    *, sources: tuple[Path, ...], out: Path, format_name: str | None, force: bool, as_json: bool, **options: Any
) -> None:
    """Import market data into a tick file.

    Sources are files, or folders, which are walked. The file appears whole
    or not at all, also at Ctrl-C. What the options mean in full, and
    examples: docs/how-to/import-data.md.
    """
    from tickrail.data.importing import import_ticks

    new_file(out, force=force)
    with progress_bar(f"importing {out.name}", wanted=not as_json) as progress:
        report = import_ticks(list(sources), out, format=format_name, progress=progress, overwrite=force, **options)
    click.echo(json.dumps(report.to_dict()) if as_json else _words(report))


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _words(report: ImportReport) -> str:
    lines = [f"{report.path}: {_counted(report.count, 'tick')} of {', '.join(report.instruments)}"]
    if report.count:
        lines.append(f"  from        {to_iso(report.first_ns)}")
        lines.append(f"  to          {to_iso(report.last_ns)}")
    lines.append(
        f"  read        {_counted(report.rows, 'row')}, {_counted(report.files, 'file')} of the format {report.format}"
    )
    lines.append(f"  took        {report.seconds:.2f} s, {report.rows_per_s:,.0f} rows/s")
    if report.crossed:
        lines.append(f"  crossed     {report.crossed:,} quotes with bid above ask, kept")
    lines += [f"  left out    {count:,} {name}" for name, count in report.problems.items()]
    lines += [f"    {bad['origin']}: row {bad['row']}: {bad['value']}" for bad in report.offenders]
    lines += [f"  note        {count:,} {name}" for name, count in report.notes.items()]
    return "\n".join(lines)
