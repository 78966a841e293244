"""The native module. Contract between the binding (rust/python) and the Python layer."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, SupportsIndex, final, overload

import numpy as np
import numpy.typing as npt

LAYOUT_VERSION: Final[int]

def build_info() -> dict[str, str]: ...

@final
class InstrumentId:
    """``SYMBOL.VENUE``; equal and hashed by its text. ``InstrumentId("EURUSD.OANDA")`` or ``InstrumentId("EURUSD", "OANDA")``."""

    def __new__(cls, symbol: str, venue: str | None = None) -> InstrumentId: ...
    @property
    def symbol(self) -> str: ...
    @property
    def venue(self) -> str: ...

class Tick:
    """One record. ``Quote``, ``Trade`` and ``Bar`` are what handlers receive; kept objects never change."""

    @property
    def ts_event(self) -> int: ...
    @property
    def ts_init(self) -> int: ...
    @property
    def sequence(self) -> int: ...
    @property
    def instrument(self) -> InstrumentId: ...
    @property
    def kind(self) -> str: ...          # "QUOTE", "TRADE", "BAR", ...
    @property
    def side(self) -> str: ...          # "NONE", "BUY", "SELL"
    @property
    def flags(self) -> int: ...
    # present by kind, else AttributeError naming the kind
    bid: float; ask: float; bid_size: float; ask_size: float; mid: float; spread: float
    price: float; size: float
    open: float; high: float; low: float; close: float; volume: float

def layout() -> dict[str, tuple[int, str]]:
    """Offset and numpy format of every field of the 64-byte record, as the compiler lays it out."""

@final
class TickArray:
    """Records that never change, mapped from a file or owned; slices share the owner. See ``tickrail.read_ticks``."""

    @staticmethod
    def open(path: str | os.PathLike[str]) -> TickArray: ...
    @staticmethod
    def from_records(
        records: npt.NDArray[np.void],
        instruments: Sequence[Mapping[str, Any] | str],
        *,
        order_by: str = "ts_event",
        copy: bool | None = None,
    ) -> TickArray: ...
    @staticmethod
    def from_arrow(
        stream: object,
        *,
        kind: str,
        columns: Mapping[str, str],
        time_unit: str | None = None,
        instrument: str | None = None,
        instruments: Sequence[Mapping[str, Any] | str] = (),
        default_venue: str | None = None,
        order_by: str = "ts_event",
        on_bad: str = "reject",
        origin: str = "arrow",
        side_bool: str = "buyer_maker",
    ) -> TickArray: ...
    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, index: SupportsIndex, /) -> Tick: ...
    @overload
    def __getitem__(self, index: slice, /) -> TickArray: ...
    def __iter__(self) -> Iterator[Tick]: ...
    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[np.void]: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...
    def __reduce__(self) -> tuple[Any, ...]: ...
    def between(self, start_ns: int | None, end_ns: int | None) -> TickArray: ...
    def numpy(self) -> npt.NDArray[np.void]: ...
    def to_columns(self, kind: str | None = None) -> dict[str, npt.NDArray[Any]]: ...
    def to_arrow(self, kind: str | None = None) -> Any: ...
    def verify(self) -> None: ...
    def header(self) -> dict[str, Any] | None: ...
    @property
    def instruments(self) -> tuple[InstrumentId, ...]: ...
    @property
    def instrument_table(self) -> list[dict[str, Any]]: ...
    @property
    def order_by(self) -> str: ...
    @property
    def path(self) -> str | None: ...
    @property
    def fingerprint(self) -> bytes: ...          # 16 bytes XXH3-128 over the 64-byte records of exactly this (sub)array

@final
class TickFileWriter:
    """Packs, checks and streams records into a ``.ticks`` file, which appears at ``commit`` or not at all.

    ``on_bad``: "reject" (the first bad record raises ``BadRecord`` and removes everything) or "skip" (counted, left
    out). ``default_instrument`` names the records of sources without a column of symbols; ``default_venue`` completes
    symbols without one. A context manager: leaving it without ``commit`` aborts.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        order_by: str = "ts_event",
        on_bad: str = "reject",
        instruments: Sequence[Mapping[str, Any] | str] = (),
        default_instrument: str | None = None,
        default_venue: str | None = None,
    ) -> None: ...
    def append_arrow(
        self,
        stream: object,
        *,
        kind: str,
        columns: Mapping[str, str],
        time_unit: str | None = None,
        instrument: str | None = None,
        origin: str = "",
        first_row: int = 1,
        side_bool: str = "buyer_maker",
    ) -> int:
        """Append a stream (``__arrow_c_stream__`` or its capsule); returns the rows read, kept or not.

        ``columns``: canonical name -> column of the source. ``instrument`` names all records of this stream.
        ``side_bool``: what True means in a column of booleans, "buyer_maker" (a seller was aggressive) or "buy".
        """

    def append_records(
        self,
        records: npt.NDArray[np.void],
        *,
        instruments: Sequence[Mapping[str, Any] | str],
        origin: str = "",
        first_row: int = 1,
    ) -> int:
        """Append an array of a tick dtype, whose ``instrument`` counts through ``instruments``; returns the rows read."""

    def append_ticks(self, ticks: TickArray, *, origin: str = "", first_row: int = 1) -> int: ...
    def commit(self) -> dict[str, Any]:
        """Finish: {"path", "count", "first_ns", "last_ns", "problems": {name: count}, "crossed": n,

        "offenders": [{"problem", "origin", "row", "value"}], "checksum": hex, "instruments": [id]}.
        """

    def abort(self) -> None: ...
    def __enter__(self) -> TickFileWriter: ...
    def __exit__(self, *exc: object) -> None: ...

@final
class TickGenerator:
    """Random walk of quotes; the same seed gives the same bytes in any process and at any chunk size."""

    def __init__(
        self,
        seed: int,
        instruments: Sequence[Mapping[str, Any] | str],
        *,
        start_ns: int,
        mean_interval_ns: int = 1_000_000,
    ) -> None: ...
    def take(self, count: int) -> TickArray: ...

class StrategyCore:
    """Native base of ``Strategy``: the calls that handlers make. Dispatch thread only; elsewhere raises ``WrongThread``."""

    def buy(self, instrument: InstrumentId | str, quantity: float) -> int: ...
    def sell(self, instrument: InstrumentId | str, quantity: float) -> int: ...
    def target(self, instrument: InstrumentId | str, quantity: float) -> int | None: ...
    def cancel(self, order: int) -> None: ...
    def close(self, instrument: InstrumentId | str | None = None) -> None: ...
    def position(self, instrument: InstrumentId | str) -> float: ...
    def schedule_at(self, ts_ns: int, callback: Callable[[TimerEvent], None] | None = None) -> TimerHandle: ...
    def schedule_every(self, interval_ns: int, callback: Callable[[TimerEvent], None] | None = None, *, start_ns: int | None = None) -> TimerHandle: ...
    def subscribe(self, instrument: InstrumentId | str) -> None: ...
    def unsubscribe(self, instrument: InstrumentId | str) -> None: ...
    @property
    def now_ns(self) -> int: ...
    @property
    def name(self) -> str: ...

@final
class TimerEvent:
    @property
    def ts_ns(self) -> int: ...
    @property
    def number(self) -> int: ...

@final
class TimerHandle:
    def cancel(self) -> None: ...

@final
class OrderUpdate:
    @property
    def order(self) -> int: ...                 # number within the strategy
    @property
    def instrument(self) -> InstrumentId: ...
    @property
    def side(self) -> str: ...                  # "BUY" | "SELL"
    @property
    def status(self) -> str: ...                # "ACCEPTED" | "FILLED" | "CANCELED" | "REJECTED"
    @property
    def quantity(self) -> float: ...
    @property
    def price(self) -> float: ...
    @property
    def fee(self) -> float: ...
    @property
    def ts_ns(self) -> int: ...
    @property
    def reason(self) -> str: ...

@final
class TickBatch:
    """Read-only, safe when kept."""
    def __len__(self) -> int: ...
    @property
    def records(self) -> npt.NDArray[np.void]: ...
    def column(self, name: str) -> npt.NDArray[Any]: ...
    @property
    def quotes(self) -> npt.NDArray[np.void]: ...
    @property
    def trades(self) -> npt.NDArray[np.void]: ...

@final
class Dispatcher:
    """The native loop of one run."""

    def __init__(
        self,
        *,
        instruments: Sequence[Mapping[str, Any]],   # {"id", "currency", "price_increment", "bar_duration_ns", "negative_prices", "fee_rate"}
        order_by: str = "ts_event",
        digest: str = "events",                     # "events" | "full"
        seed: int = 0,
        config_digest: bytes = b"",
        slice_ticks: int = 4096,
        always_fresh: bool = False,
    ) -> None: ...
    def add_feed(self, name: str, data: TickArray) -> int: ...
    def register(
        self, strategy: object, name: str, *, instruments: Sequence[str] | None, max_ticks: int = 0, window_ns: int = 0
    ) -> int:
        """Find the handlers that ``strategy`` defines beyond the ones of the base class; ``instruments=None`` is all."""
    def register_pull(self, strategy: object, name: str, *, instruments: Sequence[str] | None) -> int: ...
    def run(self, progress: Callable[[int, int], None] | None = None) -> str: ...   # "end" | "stopped" | "interrupted"
    def pull(self) -> Tick | None: ...
    def finish(self) -> None:
        """Stop strategies (on_stop) and seal the digest; idempotent."""
    def request_stop(self) -> None: ...           # any thread
    def stats(self) -> dict[str, Any]: ...
    def strategies(self) -> list[dict[str, Any]]: ...
    def orders(self) -> npt.NDArray[np.void]: ...
    def fills(self) -> npt.NDArray[np.void]: ...
    def errors(self) -> list[dict[str, Any]]: ...
    def digest(self) -> str: ...
