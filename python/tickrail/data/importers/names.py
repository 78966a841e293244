"""The instrument of a source whose symbols name no venue: what the user said, over what the source tells."""

from __future__ import annotations

from tickrail.data.importers.chunk import ImportOptions

__all__ = ["instrument_id"]


def instrument_id(symbol: str, venue: str, options: ImportOptions) -> str:
    """``SYMBOL.VENUE``; a whole id that the user gave stands for all symbols.

    >>> instrument_id("BTCUSDT", "BINANCE", ImportOptions(venue="BINANCE-PERP"))
    'BTCUSDT.BINANCE-PERP'
    """
    if options.instrument is not None and "." in options.instrument:
        return options.instrument
    return f"{options.instrument or symbol}.{options.venue or venue}"
