"""``import_ticks``: files, tables and arrays of many formats into one tick file."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from tickrail._native import TickFileWriter
from tickrail.data.importers.chunk import ArrowChunk, Importer, ImportOptions, RecordChunk
from tickrail.data.importers.layout import TIME_UNITS
from tickrail.data.importers.registry import importer_named
from tickrail.data.importers.text_files import check_packing
from tickrail.data.instrument_facts import InstrumentFacts, InstrumentLike
from tickrail.data.read_ahead import read_ahead
from tickrail.data.sources import SourceFiles, find_sources
from tickrail.errors import BadRecord, ImportFormatError

__all__ = ["ImportReport", "import_ticks"]

Progress = Callable[[int, int], None]
Chunks = Iterator[ArrowChunk | RecordChunk]
_BAR_TIMES: Final = ("open", "close")


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did.

    Attributes:
        path: The tick file.
        format: The format that was read.
        files: How many files.
        rows: Records that were read.
        count: Records that were written.
        first_ns: Time of the first record, in the order key.
        last_ns: Time of the last.
        instruments: Their ids, in the order of the file's table.
        problems: Records that were left out, by what was wrong with them.
        offenders: The first of them: ``problem``, ``origin``, ``row``, ``value``.
        crossed: Quotes with bid above ask; they are kept.
        notes: What was left out on purpose, by name.
        checksum: Of the file.
        seconds: How long it took.
    """

    path: str
    format: str
    files: int
    rows: int
    count: int
    first_ns: int
    last_ns: int
    instruments: list[str]
    checksum: str
    seconds: float
    problems: dict[str, int] = field(default_factory=dict)
    offenders: list[dict[str, Any]] = field(default_factory=list)
    crossed: int = 0
    notes: dict[str, int] = field(default_factory=dict)

    @property
    def rows_per_s(self) -> float:
        """Records read a second."""
        return self.rows / self.seconds if self.seconds > 0 else 0.0

    def to_dict(self) -> dict[str, Any]:
        """All facts, for JSON."""
        return asdict(self) | {"rows_per_s": round(self.rows_per_s)}


@dataclass(frozen=True, slots=True)
class _Source:
    """Chunks that are ready to be drawn, and what is known before."""

    importer: Importer
    chunks: Generator[tuple[ArrowChunk | RecordChunk, int]]
    paths: Sequence[Path]
    size: int
    passed_over: int = 0


def import_ticks(
    sources: Any,
    out: str | os.PathLike[str],
    *,
    format: str | None = None,
    instrument: str | None = None,
    venue: str | None = None,
    time_zone: str | None = None,
    columns: Mapping[str, str] | None = None,
    kind: str | None = None,
    time_unit: str | None = None,
    layout: str | None = None,
    bar_duration_ns: int = 0,
    bar_time: str = "close",
    on_bad: str = "reject",
    order_by: str | None = None,
    instruments: Sequence[InstrumentLike] | None = None,
    progress: Progress | None = None,
    overwrite: bool = False,
) -> ImportReport:
    """Import market data into a tick file, which appears whole or not at all.

    Args:
        sources: A path or several, folders among them (they are walked); or one object with an Arrow stream (polars,
            pandas, pyarrow, duckdb), or one structured array. Files are read by the date in their name, then by name.
        out: The tick file.
        format: ``arrow`` (Parquet too), ``csv``, ``numpy``, ``fx``, ``binance``, ``binance-recording`` or ``tardis``;
            default: by the names of files.
        instrument: Names all records, as ``EURUSD.OANDA``.
        venue: Completes symbols that name none.
        time_zone: Of times without one: ``UTC``, ``-05:00``, ``America/New_York``.
        columns: Names of the record to columns of the source, where they are not the usual ones.
        kind: ``quote``, ``trade`` or ``bar``; default: by the columns.
        time_unit: Of integer times: ``s``, ``ms``, ``us``, ``ns``; default: by their digits.
        layout: Of ``binance``: ``aggTrades``, ``trades`` or ``bookTicker``; default: by the name of the file, or its
            columns.
        bar_duration_ns: How long a bar is.
        bar_time: Which moment of a bar its time is, ``open`` or ``close``; a record has that of its close.
        on_bad: ``reject`` (the first bad record ends the import) or ``skip`` (they are counted and left out).
        order_by: The time that must not run backwards, ``ts_event`` or ``ts_init``; default: as the format is.
        instruments: Facts of instruments: ``id`` with ``currency``, ``price_increment``, ``negative_prices``, ...; the
            currency of six-letter FX symbols is known without.
        progress: Called with bytes read and bytes in all.
        overwrite: Replace ``out``; else an existing file is refused.

    Raises:
        ImportFormatError: The source is not what it was said to be; names file and line.
        BadRecord: A record breaks the rules, under ``on_bad="reject"``.
        FileExistsError: ``out`` exists.
        FileNotFoundError: A source does not.

    Thread safety: any thread; an import belongs to the one that called it.
    """
    started = time.perf_counter()
    _check_options(time_unit, bar_time, on_bad, order_by)
    target = Path(os.fspath(out))
    if target.exists() and not overwrite:
        raise FileExistsError(errno.EEXIST, "exists already (overwrite=True replaces it)", str(target))
    options = ImportOptions(
        instrument, venue, time_zone, dict(columns or {}), kind, time_unit, layout, bar_duration_ns, bar_time
    )
    source = _open(sources, format, options)
    _refuse_itself(source, target)
    facts = InstrumentFacts(instruments, venue=venue, bar_duration_ns=bar_duration_ns)
    target.parent.mkdir(parents=True, exist_ok=True)  # not before the options and the source are known to be good
    writer = TickFileWriter(
        target,
        order_by=order_by or source.importer.order_by,
        on_bad=on_bad,
        default_venue=venue,
    )
    # Closed by hand: a traceback keeps this frame, and with it a source that is read ahead.
    with writer, contextlib.closing(source.chunks):
        rows = _append_all(writer, source, facts, progress)
        if rows == 0:
            msg = f"{_name_of(sources)}: holds no records"
            raise ImportFormatError(msg)
        _refuse_all_bad(writer.problems(), rows, _name_of(sources))
        done = writer.commit()
    notes = dict(source.importer.notes())
    if source.passed_over:
        notes["files passed over"] = source.passed_over
    return ImportReport(
        path=str(target),
        format=source.importer.name,
        files=len(source.paths),
        rows=rows,
        count=done["count"],
        first_ns=done["first_ns"],
        last_ns=done["last_ns"],
        instruments=list(done["instruments"]),
        checksum=done["checksum"],
        seconds=time.perf_counter() - started,
        problems=dict(done["problems"]),
        offenders=list(done["offenders"]),
        crossed=done["crossed"],
        notes=notes,
    )


def _refuse_all_bad(problems: Mapping[str, int], rows: int, name: str) -> None:
    if sum(problems.values()) == rows:
        counts = ", ".join(f"{count:,} {problem}" for problem, count in problems.items())
        msg = f"{name}: no record is good: {counts}"
        raise ImportFormatError(msg, hint='on_bad="reject" (--on-bad reject) shows the first')


def _refuse_itself(source: _Source, target: Path) -> None:
    if any(path.resolve() == target.resolve() for path in source.paths):
        msg = f"{target} is a source of the import and would be replaced by it"
        raise ImportFormatError(msg, hint="give the tick file another name")


def _check_options(time_unit: str | None, bar_time: str, on_bad: str, order_by: str | None) -> None:
    given = (
        ("time_unit", time_unit, (None, *TIME_UNITS)),
        ("bar_time", bar_time, _BAR_TIMES),
        ("on_bad", on_bad, ("reject", "skip")),
        ("order_by", order_by, (None, "ts_event", "ts_init")),
    )
    for name, value, known in given:
        if value not in known:
            msg = f"{name} is {value!r}; expected {', '.join(word for word in known if word)}"
            raise ValueError(msg)


def _open(sources: Any, format_name: str | None, options: ImportOptions) -> _Source:
    if isinstance(sources, np.ndarray):
        from tickrail.data.importers.numpy_file import NumpyImporter

        of_array = NumpyImporter()
        return _Source(of_array, ((chunk, 0) for chunk in of_array.chunks_of(sources, options)), (), sources.nbytes)
    if hasattr(sources, "__arrow_c_stream__"):
        from tickrail.data.importers.arrow import ArrowImporter

        of_table = ArrowImporter()
        return _Source(of_table, ((chunk, 0) for chunk in of_table.chunks_of(sources, options)), (), 0)
    paths = [sources] if isinstance(sources, str | os.PathLike) else list(sources)
    files = find_sources((Path(os.fspath(path)) for path in paths), format_name)
    importer = importer_named(files.format)
    drawn = read_ahead(_drawn(importer, files, options))
    return _Source(importer, drawn, files.paths, files.size, files.passed_over)


def _drawn(
    importer: Importer, files: SourceFiles, options: ImportOptions
) -> Iterator[tuple[ArrowChunk | RecordChunk, int]]:
    """Every chunk with the bytes that lie behind it."""
    before = 0
    for path in files.paths:
        size = path.stat().st_size
        for chunk in importer.chunks(path, options):
            yield chunk, before + min(chunk.bytes_done, size)
        before += size


def _append_all(writer: TickFileWriter, source: _Source, facts: InstrumentFacts, progress: Progress | None) -> int:
    rows, last_origin, done = 0, "", 0
    for chunk, done in source.chunks:
        facts.tell(writer, chunk)
        try:
            rows += _append(writer, chunk)
        except BadRecord as error:
            check_packing(Path(chunk.origin))  # where a file is damaged, no record is to blame
            if error.problem == "key_backwards" and last_origin and chunk.origin != last_origin:
                error.hint = f"{chunk.origin} begins before {last_origin} ends: import them into files of their own"
            raise
        last_origin = chunk.origin
        if progress is not None:
            progress(done, source.size)
    if progress is not None and rows:
        progress(max(done, source.size), max(done, source.size))
    return rows


def _append(writer: TickFileWriter, chunk: ArrowChunk | RecordChunk) -> int:
    try:
        if isinstance(chunk, RecordChunk):
            return writer.append_records(
                chunk.records, instruments=chunk.instruments, origin=chunk.origin, first_row=chunk.first_row
            )
        return writer.append_arrow(
            chunk.stream,
            kind=chunk.kind,
            columns=chunk.columns,
            time_unit=chunk.time_unit,
            instrument=chunk.instrument,
            origin=chunk.origin,
            first_row=chunk.first_row,
            side_bool=chunk.side_bool,
        )
    except ImportFormatError as error:
        raise ImportFormatError(f"{chunk.origin}: {error.message}", hint=error.hint or _hint(error.message)) from None
    except ValueError as error:
        raise ImportFormatError(f"{chunk.origin}: {error}") from None


def _hint(message: str) -> str | None:
    return "say --instrument EURUSD.OANDA (instrument=)" if message.startswith("nothing says which") else None


def _name_of(sources: Any) -> str:
    if isinstance(sources, str | os.PathLike):
        return str(sources)
    is_paths = isinstance(sources, list | tuple)
    return ", ".join(map(str, sources)) if is_paths else f"the {type(sources).__name__}"
