"""What is known of the instruments of an import beyond their names, told to the writer as they turn up."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from tickrail._native import ColumnBatch, TickFileWriter
from tickrail.data.importers.chunk import ArrowChunk, RecordChunk
from tickrail.domain.ticks import TICK_DTYPE

__all__ = ["InstrumentFacts", "InstrumentLike", "currency_of"]

InstrumentLike = Mapping[str, Any] | str
_CURRENCIES: Final = frozenset(
    re.findall(
        "...",
        "AUDBRLCADCHFCNHCNYCZKDKKEURGBPHKDHUFILSINRJPYKRWMXNNOKNZDPLNRUBSEKSGDTHBTRYUSDZAR",
    )
)
_NO_RECORDS: Final = np.empty(0, TICK_DTYPE)
_FX_LETTERS: Final = 6


def currency_of(instrument: str) -> str | None:
    """The currency that an FX symbol's prices are in.

    >>> currency_of("XAUUSD.OANDA"), currency_of("BTCUSDT.BINANCE")
    ('USD', None)
    """
    symbol = instrument.rpartition(".")[0] or instrument
    quoted = symbol[3:]
    return quoted if len(symbol) == _FX_LETTERS and quoted in _CURRENCIES else None


class InstrumentFacts:
    """The user's table over what names tell."""

    def __init__(
        self, rows: Sequence[InstrumentLike] | None, *, venue: str | None = None, bar_duration_ns: int = 0
    ) -> None:
        self._venue = venue
        self._bar_duration_ns = bar_duration_ns
        self._given = {self._id(row if isinstance(row, str) else str(row["id"])): row for row in rows or ()}
        self._told: set[str] = set()

    def tell(self, writer: TickFileWriter, chunk: ArrowChunk | RecordChunk) -> None:
        """Declare the instruments of ``chunk`` that are new."""
        new = [symbol for symbol in self._symbols(chunk) if symbol not in self._told]
        if not new:
            return
        self._told.update(new)
        bars = isinstance(chunk, ArrowChunk) and chunk.kind == "bar"
        rows = [self._row(symbol, bars=bars) for symbol in new]
        known = [row for row in rows if len(row) > 1]
        if known:
            writer.append_records(_NO_RECORDS, instruments=known)

    def _symbols(self, chunk: ArrowChunk | RecordChunk) -> Iterable[str]:
        if isinstance(chunk, RecordChunk):
            return [row for row in chunk.instruments if isinstance(row, str)]
        if chunk.instrument is not None:
            return [chunk.instrument]
        column = chunk.columns.get("instrument")
        if column is not None and isinstance(chunk.stream, ColumnBatch):
            words = chunk.stream.words(column)
            return [words[place] for place in np.unique(chunk.stream.column(column)).tolist() if place >= 0]
        values = getattr(chunk.stream, "column", None)
        if column is None or values is None:
            return list(self._given)  # a stream that cannot be looked at: the user's table is all there is
        return [symbol for symbol in values(column).unique().to_pylist() if isinstance(symbol, str) and symbol]

    def _row(self, symbol: str, *, bars: bool) -> dict[str, Any]:
        name = self._id(symbol)
        row: dict[str, Any] = {"id": name}
        if currency := currency_of(name):
            row["currency"] = currency
        if bars and self._bar_duration_ns > 0:
            row["bar_duration_ns"] = self._bar_duration_ns
        given = self._given.get(name)
        return row if given is None or isinstance(given, str) else row | dict(given) | {"id": name}

    def _id(self, symbol: str) -> str:
        return symbol if "." in symbol or self._venue is None else f"{symbol}.{self._venue}"
