"""From the columns of a source to the names of the record: what the user said, else what columns usually mean."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from tickrail.data.importers.chunk import ImportOptions
from tickrail.errors import ImportFormatError

__all__ = ["KINDS", "TIME_UNITS", "Layout", "bar_shift", "check_names", "find_layout", "unit_by_digits", "unit_or_none"]

KINDS: Final = ("quote", "trade", "bar")
TIME_UNITS: Final = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}

#: Digits of a time by its unit: one less than ours from 1973 on, one more from 2286 on.
_DIGITS: Final = {"s": range(9, 12), "ms": range(12, 15), "us": range(15, 18), "ns": range(18, 20)}

_REQUIRED: Final = {"quote": ("bid", "ask"), "trade": ("price",), "bar": ("open", "high", "low", "close")}
_OPTIONAL: Final = {
    "quote": ("bid_size", "ask_size", "sequence"),
    "trade": ("size", "side", "sequence"),
    "bar": ("volume",),
}
_ALL_KINDS: Final = ("ts_init", "instrument")
#: The most telling kind first: a quote file may hold a last price, a bar file no bid.
_GUESSED: Final = ("quote", "bar", "trade")

#: What sources call the columns, lower case with ``_`` between words, best first.
_USUAL: Final[Mapping[str, tuple[str, ...]]] = {
    "ts_event": (
        "ts_event",
        "timestamp",
        "time",
        "ts",
        "datetime",
        "date_time",
        "date",
        "event_time",
        "exch_time",
        "exch_ts",
        "transact_time",
        "transaction_time",
        "index_level_0",  # what Arrow calls a pandas index without a name
    ),
    "ts_init": ("ts_init", "local_timestamp", "receipt_time", "received_at", "ts_recv", "local_ts"),
    "instrument": ("instrument", "instrument_id", "symbol", "ticker"),
    "sequence": ("sequence", "seq"),
    "bid": ("bid", "bid_price", "best_bid", "best_bid_price", "bid_px", "bid_px_00"),
    "ask": ("ask", "ask_price", "best_ask", "best_ask_price", "ask_px", "ask_px_00", "offer"),
    "bid_size": ("bid_size", "bid_qty", "bid_quantity", "bid_amount", "best_bid_qty", "bid_sz", "bid_volume"),
    "ask_size": ("ask_size", "ask_qty", "ask_quantity", "ask_amount", "best_ask_qty", "ask_sz", "ask_volume"),
    "price": ("price", "px", "trade_price", "last_price", "last"),
    "size": ("size", "qty", "quantity", "amount", "volume", "vol", "sz"),
    "side": ("side", "is_buyer_maker", "aggressor_side", "aggressor", "taker_side"),
    "open": ("open", "open_price", "o"),
    "high": ("high", "high_price", "h"),
    "low": ("low", "low_price", "l"),
    "close": ("close", "close_price", "c"),
    "volume": ("volume", "vol", "v", "base_volume"),
}
_BAR_TIMES: Final = {"open": ("open_time", "bar_open"), "close": ("close_time", "bar_close")}


@dataclass(frozen=True, slots=True)
class Layout:
    """What the columns of one source are: the kind of record, and canonical name to column."""

    kind: str
    columns: Mapping[str, str]


def find_layout(there: Sequence[str], options: ImportOptions, origin: str) -> Layout:
    """The layout of a source with the columns ``there``.

    Raises:
        ImportFormatError: A mapped column is absent, a name is none of the record's, or the columns make no kind.
    """
    _check_mapping(there, options, origin)
    for kind in _GUESSED if options.kind is None else (options.kind,):
        columns = _columns_of(kind, there, options)
        if all(name in columns for name in ("ts_event", *_REQUIRED[kind])):
            return Layout(kind, columns)
    raise _no_kind(there, options, origin)


def bar_shift(layout: Layout, options: ImportOptions, origin: str) -> int:
    """What has to be added to the times of bars, in ns, so that they are those of their closes.

    Raises:
        ImportFormatError: Bars have the times of their openings, and nothing says how long they are.
    """
    if layout.kind != "bar" or options.bar_time == "close":
        return 0
    if options.bar_duration_ns <= 0:
        msg = f"{origin}: bars with the time of their opening need their duration, for a bar is known at its close"
        raise ImportFormatError(msg, hint="say --bar-duration 1m (bar_duration_ns=)")
    return options.bar_duration_ns


def unit_or_none(value: int) -> str | None:
    """What :func:`unit_by_digits` says; ``None`` where the number is no time of our days."""
    digits = len(str(abs(value)))
    return next((unit for unit, lengths in _DIGITS.items() if digits in lengths), None)


def unit_by_digits(value: int) -> str:
    """The unit of an epoch time by its length: 10 digits are seconds, 13 ms, 16 us, 19 ns (right from 2001 to 2286).

    >>> unit_by_digits(1_398_902_400_000)
    'ms'

    Raises:
        ImportFormatError: It is no such time: a date like 20240131, a day of a spreadsheet, a count.
    """
    found = unit_or_none(value)
    if found is None:
        msg = f"{value} is no time since 1970 in s, ms, us or ns: those of our days have 10, 13, 16 or 19 digits"
        raise ImportFormatError(msg, hint="say its unit if it is one: --time-unit s (time_unit=); dates as 2024-01-31")
    return found


def _columns_of(kind: str, there: Sequence[str], options: ImportOptions) -> dict[str, str]:
    given = options.columns
    taken = set(given.values())
    plain = {_plain(name): name for name in reversed(there) if name not in taken}
    found: dict[str, str] = {}
    for name in ("ts_event", *_ALL_KINDS, *_REQUIRED[kind], *_OPTIONAL[kind]):
        usual = _usual(name, kind, options)
        column = given.get(name) or next((plain[other] for other in usual if other in plain), None)
        if column is not None:
            found[name] = column
    if options.instrument is not None and "instrument" not in given:
        found.pop("instrument", None)
    return found


def _usual(name: str, kind: str, options: ImportOptions) -> tuple[str, ...]:
    if kind == "bar" and name == "ts_event":
        return (*_BAR_TIMES[options.bar_time], *_USUAL[name])
    return _USUAL[name]


def _plain(name: str) -> str:
    """``bidPrice``, ``Bid Price`` and ``bid-price`` are ``bid_price``."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip())
    return re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")


def check_names(columns: Mapping[str, str]) -> None:
    """Refuse a mapping to a name that no record has.

    Raises:
        ImportFormatError: Naming it, and the near miss.
    """
    for name, column in columns.items():
        if name not in _USUAL:
            near = get_close_matches(name, _USUAL, n=1)
            hint = f"did you mean '{near[0]}'?" if near else None
            msg = f"'{name}={column}': a record has no '{name}'; it has {', '.join(_USUAL)}"
            raise ImportFormatError(msg, hint=hint)


def _check_mapping(there: Sequence[str], options: ImportOptions, origin: str) -> None:
    if options.kind is not None and options.kind not in KINDS:
        msg = f"kind is '{options.kind}'; expected {', '.join(KINDS)}"
        raise ImportFormatError(msg)
    check_names(options.columns)
    for name, column in options.columns.items():
        if column not in there:
            near = get_close_matches(column, there, n=1, cutoff=0.5)
            hint = f"did you mean '{near[0]}'?" if near else None
            msg = f"{origin}: there is no column '{column}' (for {name}); there are {', '.join(there)}"
            raise ImportFormatError(msg, hint=hint)


def _no_kind(there: Sequence[str], options: ImportOptions, origin: str) -> ImportFormatError:
    kinds = _GUESSED if options.kind is None else (options.kind,)
    lacking = {
        kind: [name for name in ("ts_event", *_REQUIRED[kind]) if name not in _columns_of(kind, there, options)]
        for kind in kinds
    }
    nearest = min(kinds, key=lambda kind: len(lacking[kind]) / (1 + len(_REQUIRED[kind])))
    wanted = ", ".join(lacking[nearest])
    misses = [near[0] for name in lacking[nearest] if (near := get_close_matches(name, there, n=1))]
    message = f"{origin}: the columns {', '.join(there)} make no {nearest}: nothing is known as {wanted}"
    guess = misses[0] if misses else "COLUMN"
    return ImportFormatError(message, hint=f"say which column it is: --map {lacking[nearest][0]}={guess} (columns=)")
