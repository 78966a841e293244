"""What the columns of Binance's public dumps are: by a header where there is one, else by their shape.

Spot files have no header and up to one column more than those of futures, which began with a header in 2021.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from tickrail.errors import ImportFormatError

__all__ = ["LAYOUTS", "DumpLayout", "layout_named", "layout_of"]


@dataclass(frozen=True, slots=True)
class DumpLayout:
    """One kind of dump.

    Attributes:
        kind: Of its records.
        names: Of its columns, where a file does not say them; files may lack the last.
        mapping: The record's names to the columns that hold them.
    """

    kind: str
    names: tuple[str, ...]
    mapping: Mapping[str, str]


_TRADE: Final = {"side": "is_buyer_maker", "price": "price"}
LAYOUTS: Final[Mapping[str, DumpLayout]] = {
    "aggTrades": DumpLayout(
        "trade",
        (
            "agg_trade_id",
            "price",
            "quantity",
            "first_trade_id",
            "last_trade_id",
            "transact_time",
            "is_buyer_maker",
            "is_best_match",
        ),
        _TRADE | {"sequence": "agg_trade_id", "size": "quantity", "ts_event": "transact_time"},
    ),
    "trades": DumpLayout(
        "trade",
        ("id", "price", "qty", "quote_qty", "time", "is_buyer_maker", "is_best_match"),
        _TRADE | {"sequence": "id", "size": "qty", "ts_event": "time"},
    ),
    # event_time is when the venue sent the quote; the book changed at transaction_time.
    "bookTicker": DumpLayout(
        "quote",
        (
            "update_id",
            "best_bid_price",
            "best_bid_qty",
            "best_ask_price",
            "best_ask_qty",
            "transaction_time",
            "event_time",
        ),
        {
            "sequence": "update_id",
            "bid": "best_bid_price",
            "bid_size": "best_bid_qty",
            "ask": "best_ask_price",
            "ask_size": "best_ask_qty",
            "ts_event": "transaction_time",
        },
    ),
}
#: Number of columns and places of the booleans among them: no two layouts share such a shape.
_SHAPES: Final = {
    (8, (6, 7)): "aggTrades",
    (7, (6,)): "aggTrades",
    (7, (5, 6)): "trades",
    (6, (5,)): "trades",
    (7, ()): "bookTicker",
}
_BOOLEANS: Final = frozenset({"true", "false"})


def layout_named(name: str) -> str:
    """The layout as it is spelled here, whatever the case of ``name``.

    Raises:
        ImportFormatError: No such layout; says the near miss.
    """
    known = {layout.lower(): layout for layout in LAYOUTS}
    if name.lower() in known:
        return known[name.lower()]
    near = get_close_matches(name.lower(), known, n=1, cutoff=0.4)
    msg = f"there is no layout '{name}' of Binance dumps; there are {', '.join(LAYOUTS)}"
    raise ImportFormatError(msg, hint=f"did you mean '{known[near[0]]}'?" if near else None)


def layout_of(first: Sequence[str], said: str | None, origin: str) -> tuple[DumpLayout, list[str]]:
    """The layout of a file whose first row is ``first``, and its columns by the layout's names.

    Args:
        first: The cells of the first row, a header's or a record's.
        said: The layout by the name of the file or the user; ``None``: the columns tell.
        origin: For messages.

    Raises:
        ImportFormatError: The columns are those of no layout, or of another than ``said``.
    """
    if first[0].isdigit():
        found = _SHAPES.get((len(first), _booleans(first)))
        if found is None or found != (said or found):
            raise _other_columns("row", first, said, found, origin)
        return LAYOUTS[found], list(LAYOUTS[found].names[: len(first)])
    columns = {name: _columns(first, LAYOUTS[name]) for name in LAYOUTS}
    fits = (name for name in LAYOUTS if not _missing(columns[name], LAYOUTS[name]))
    found = next((name for name in fits if name == (said or name)), None)
    if found is None:
        other = next((name for name in LAYOUTS if not _missing(columns[name], LAYOUTS[name])), None)
        raise _other_columns("header", first, said, other, origin)
    return LAYOUTS[found], columns[found]


def _booleans(row: Sequence[str]) -> tuple[int, ...]:
    return tuple(place for place, text in enumerate(row) if text.lower() in _BOOLEANS)


def _columns(header: Sequence[str], layout: DumpLayout) -> list[str]:
    """The header in the layout's spelling: ``isBuyerMaker`` is ``is_buyer_maker``; others stay as they are."""
    known = {_plain(name): name for name in layout.names}
    return [known.get(_plain(name), name) for name in header]


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace(" ", "")


def _missing(columns: Sequence[str], layout: DumpLayout) -> list[str]:
    return [column for column in layout.mapping.values() if column not in columns]


def _other_columns(
    what: str, first: Sequence[str], said: str | None, found: str | None, origin: str
) -> ImportFormatError:
    wanted = [said] if said else list(LAYOUTS)
    expected = " or ".join(f"{name} ({','.join(LAYOUTS[name].names)})" for name in wanted)
    msg = f"{origin}:1: expected the columns of {expected}; the {what} is '{','.join(first)[:200]}'"
    hint = f"these are the columns of {found}: --layout {found} (layout=)" if found else _near_name(first, said)
    return ImportFormatError(msg, hint=hint)


def _near_name(first: Sequence[str], said: str | None) -> str:
    layouts = [LAYOUTS[said]] if said else list(LAYOUTS.values())
    for layout in layouts:
        for column in _missing(_columns(first, layout), layout):
            if near := get_close_matches(column, first, n=1):
                return f"'{near[0]}' should be '{column}'; --format csv with --map reads any columns"
    return "--format csv with --map reads any columns"
