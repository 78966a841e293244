"""The native module: what the binding (rust/python) offers; documented at its classes."""

import os
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any, Final, Self, SupportsIndex, final, overload

import numpy as np
import numpy.typing as npt
from typing_extensions import disjoint_base

__all__ = [
    "ABI_LAYOUT",
    "ABI_VERSION",
    "LAYOUT_VERSION",
    "OUT_CAPACITY",
    "Bar",
    "ColumnBatch",
    "CommandLanes",
    "CompiledCode",
    "CsvReader",
    "Dispatcher",
    "FeedCore",
    "InstrumentId",
    "OrderUpdate",
    "PublisherCore",
    "Pulls",
    "Quote",
    "Recorder",
    "Recording",
    "SpawnHandle",
    "SpawnResult",
    "StrategyCore",
    "Tick",
    "TickArray",
    "TickBatch",
    "TickFileWriter",
    "TickGenerator",
    "TimerEvent",
    "TimerHandle",
    "Trade",
    "build_info",
    "layout",
    "open_lanes",
    "record_commands",
    "recording_header",
    "replay_commands",
]

ABI_LAYOUT: Final[str]
ABI_VERSION: Final[int]
LAYOUT_VERSION: Final[int]
OUT_CAPACITY: Final[int]

def build_info() -> dict[str, str]: ...

@final
class InstrumentId:
    def __new__(cls, symbol: str, venue: str | None = None) -> InstrumentId: ...
    @property
    def symbol(self) -> str: ...
    @property
    def venue(self) -> str: ...
    def __hash__(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __lt__(self, other: InstrumentId, /) -> bool: ...
    def __le__(self, other: InstrumentId, /) -> bool: ...
    def __gt__(self, other: InstrumentId, /) -> bool: ...
    def __ge__(self, other: InstrumentId, /) -> bool: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class Tick:
    @property
    def ts_event(self) -> int: ...
    @property
    def ts_init(self) -> int: ...
    @property
    def sequence(self) -> int: ...
    @property
    def instrument(self) -> InstrumentId: ...
    @property
    def kind(self) -> str: ...
    @property
    def side(self) -> str: ...
    @property
    def flags(self) -> int: ...
    @property
    def values(self) -> tuple[float, float, float, float]: ...
    # By kind; the others raise AttributeError naming the kind.
    @property
    def bid(self) -> float: ...
    @property
    def ask(self) -> float: ...
    @property
    def bid_size(self) -> float: ...
    @property
    def ask_size(self) -> float: ...
    @property
    def mid(self) -> float: ...
    @property
    def spread(self) -> float: ...
    @property
    def price(self) -> float: ...
    @property
    def size(self) -> float: ...
    @property
    def open(self) -> float: ...
    @property
    def high(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def close(self) -> float: ...
    @property
    def volume(self) -> float: ...
    @staticmethod
    def quote(
        ts_event: int,
        instrument: InstrumentId | str,
        bid: float,
        ask: float,
        bid_size: float = ...,
        ask_size: float = ...,
    ) -> Quote: ...
    @staticmethod
    def trade(
        ts_event: int, instrument: InstrumentId | str, price: float, size: float = ..., side: str = "NONE"
    ) -> Trade: ...
    @staticmethod
    def bar(
        ts_event: int,
        instrument: InstrumentId | str,
        open: float,
        high: float,
        low: float,
        close: float,
        volume: float = 0.0,
    ) -> Bar: ...
    def __hash__(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __lt__(self, other: Tick, /) -> bool: ...
    def __le__(self, other: Tick, /) -> bool: ...
    def __gt__(self, other: Tick, /) -> bool: ...
    def __ge__(self, other: Tick, /) -> bool: ...
    def __copy__(self) -> Self: ...
    def __deepcopy__(self, _memo: Any, /) -> Self: ...
    def __reduce__(self) -> tuple[Any, ...]: ...
    @staticmethod
    def _restore(version: int, bytes: bytes, instrument: InstrumentId) -> Tick: ...

@final
class Quote(Tick): ...  # type: ignore[misc]  # none of Python's own derives from Tick

@final
class Trade(Tick): ...  # type: ignore[misc]  # none of Python's own derives from Tick

@final
class Bar(Tick): ...  # type: ignore[misc]  # none of Python's own derives from Tick

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
        instruments: Sequence[Mapping[str, Any] | str] | None = None,
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
    @staticmethod
    def _restore(version: int, bytes: bytes, instruments: Sequence[Mapping[str, Any]], order_by: str) -> TickArray: ...
    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[np.void]: ...
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
    def fingerprint(self) -> bytes: ...

@final
class CsvReader:
    """Reads rows of delimited text, given block by block, into batches of columns.

    ``columns``: name, kind and shift of each column in the order of the file. Kinds: "skip", "number", "integer",
    "flag", "word"; times: "s", "ms", "us", "ns" (whole numbers of that unit), the same with a point ("s.") where there
    may be a fraction, "calendar" (no zone) and "calendar:zoned". The shift is added to times, in ns.
    """

    def __new__(
        cls,
        columns: Sequence[tuple[str, str, int]],
        *,
        origin: str = "",
        delimiter: str = ",",
        quoted: bool = True,
        skip_lines: int = 0,
    ) -> CsvReader: ...
    def feed(self, block: bytes) -> None:
        """Take the next block; an empty one is the end. Only once ``batch`` has nothing more of the ones before."""

    def batch(self) -> ColumnBatch | None:
        """The next rows; ``None``: ``feed`` more, or the text has ended. Raises ``ImportFormatError``."""

@final
class ColumnBatch:
    """Columns of rows that stand on lines that follow each other; an Arrow stream of one batch.

    A number that is not there is NaN, an integer 0, a time the least but one of int64.
    """

    @property
    def first_line(self) -> int: ...
    def __len__(self) -> int: ...
    def column(self, name: str) -> npt.NDArray[Any]:
        """A copy of a column of numbers, integers or times; of words, their places in ``words`` (-1: none)."""

    def words(self, name: str) -> list[str]: ...
    def with_times(self, name: str, times: npt.NDArray[np.int64]) -> ColumnBatch: ...
    def with_words(self, name: str, places: npt.NDArray[np.int32], words: Sequence[str]) -> ColumnBatch: ...
    def rows(self, start: int, end: int) -> ColumnBatch: ...
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...

@final
class TickFileWriter:
    """Packs, checks and streams records into a ``.ticks`` file, which appears at ``commit`` or not at all.

    ``on_bad``: "reject" (the first bad record raises ``BadRecord`` and removes everything) or "skip" (counted, left
    out). ``default_instrument`` names the records of sources without a column of symbols; ``default_venue`` completes
    symbols without one. A context manager: leaving it without ``commit`` aborts.
    """

    def __new__(
        cls,
        path: str | os.PathLike[str],
        *,
        order_by: str = "ts_event",
        on_bad: str = "reject",
        instruments: Sequence[Mapping[str, Any] | str] | None = None,
        default_instrument: InstrumentId | str | None = None,
        default_venue: str | None = None,
    ) -> TickFileWriter: ...
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
        """Append an array of a tick dtype; its ``instrument`` counts through ``instruments``. Returns the rows read."""

    def append_ticks(self, ticks: TickArray, *, origin: str = "", first_row: int = 1) -> int: ...
    def commit(self) -> dict[str, Any]:
        """Finish, and say what was written.

        {"path", "count", "first_ns", "last_ns", "problems": {name: count}, "crossed": n,
        "offenders": [{"problem", "origin", "row", "value"}], "checksum": hex, "instruments": [id]}.
        """

    def abort(self) -> None: ...
    def __enter__(self) -> TickFileWriter: ...
    def __exit__(self, *_exc: object) -> None: ...

@final
class TickGenerator:
    """Random walk of quotes; the same seed gives the same bytes in any process and at any chunk size."""

    def __new__(
        cls,
        seed: int,
        instruments: Sequence[Mapping[str, Any] | str],
        *,
        start_ns: int,
        mean_interval_ns: int = 1_000_000,
    ) -> TickGenerator: ...
    def take(self, count: int) -> TickArray: ...

@disjoint_base
class StrategyCore:
    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self: ...
    def buy(
        self,
        instrument: InstrumentId | str,
        quantity: float,
        *,
        limit: float | None = None,
        stop: float | None = None,
        time_in_force: str | None = None,
        expires_ns: int | None = None,
        post_only: bool = False,
        reduce_only: bool = False,
    ) -> int: ...
    def sell(
        self,
        instrument: InstrumentId | str,
        quantity: float,
        *,
        limit: float | None = None,
        stop: float | None = None,
        time_in_force: str | None = None,
        expires_ns: int | None = None,
        post_only: bool = False,
        reduce_only: bool = False,
    ) -> int: ...
    def amend(
        self, order: int, *, quantity: float | None = None, limit: float | None = None, stop: float | None = None
    ) -> None: ...
    def round_price(self, instrument: InstrumentId | str, price: float) -> float: ...
    def round_quantity(self, instrument: InstrumentId | str, quantity: float) -> float: ...
    def target(self, instrument: InstrumentId | str, quantity: float) -> int | None: ...
    def cancel(self, order: int) -> None: ...
    def close(self, instrument: InstrumentId | str | None = None) -> None: ...
    def position(self, instrument: InstrumentId | str) -> float: ...
    def schedule_at(self, ts_ns: int, callback: Callable[[TimerEvent], object] | None = None) -> TimerHandle: ...
    def schedule_every(
        self,
        interval_ns: int,
        callback: Callable[[TimerEvent], object] | None = None,
        *,
        start_ns: int | None = None,
    ) -> TimerHandle: ...
    def spawn(
        self, coroutine: Coroutine[Any, Any, object], callback: Callable[[SpawnResult], object] | None = None
    ) -> SpawnHandle: ...
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
    @property
    def count(self) -> int: ...

@final
class TimerHandle:
    @property
    def number(self) -> int: ...
    def cancel(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_exception: object) -> None: ...

@final
class SpawnHandle:
    @property
    def number(self) -> int: ...
    @property
    def done(self) -> bool: ...
    def cancel(self) -> None: ...

@final
class SpawnResult:
    @property
    def number(self) -> int: ...
    @property
    def value(self) -> Any: ...
    @property
    def error(self) -> BaseException | None: ...
    @property
    def ts_ns(self) -> int: ...
    def result(self) -> Any: ...

@final
class OrderUpdate:
    @property
    def order(self) -> int: ...
    @property
    def instrument(self) -> InstrumentId: ...
    @property
    def side(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def time_in_force(self) -> str: ...
    @property
    def quantity(self) -> float: ...
    @property
    def limit(self) -> float | None: ...
    @property
    def stop(self) -> float | None: ...
    @property
    def filled(self) -> float: ...
    @property
    def remaining(self) -> float: ...
    @property
    def fill_quantity(self) -> float: ...
    @property
    def fill_price(self) -> float: ...
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
    def __len__(self) -> int: ...
    def __getitem__(self, index: SupportsIndex, /) -> Tick: ...
    @property
    def records(self) -> npt.NDArray[np.void]: ...
    @property
    def quotes(self) -> npt.NDArray[np.void]: ...
    @property
    def trades(self) -> npt.NDArray[np.void]: ...
    def column(self, name: str) -> npt.NDArray[Any]: ...

@final
class CompiledCode:
    def __new__(
        cls,
        state: npt.NDArray[np.uint8],
        *,
        names: Sequence[str],
        kinds: Sequence[int],
        owner: object,
        abi_version: int,
        layout: str,
        take: int = 0,
        batch: int = 0,
        timer: int = 0,
        update: int = 0,
    ) -> Self: ...
    def dry_run(self) -> None: ...
    def failure(self) -> tuple[bytes, bytes] | None: ...
    def snapshot(self) -> bytes: ...

@final
class Pulls:
    def __iter__(self) -> Pulls: ...
    def __next__(self) -> Tick: ...

@final
class CommandLanes:
    def push(
        self,
        lane: int,
        strategy: int | None,
        payload: bytes,
        attachment: object,
        wait_s: float = 0.0,
        kind: int = 16,
    ) -> int: ...
    def later(self, attachment: object) -> None: ...
    def standing(self) -> int: ...
    def receive(self, receiver: object, kind: int = 16) -> None: ...
    def close(self) -> None: ...
    def stats(self) -> list[tuple[int, int, int]]: ...

def open_lanes(
    dispatcher: Dispatcher, *, control_slots: int = 256, normal_slots: int = 4096, background_slots: int = 4096
) -> CommandLanes: ...
def recording_header() -> bytes: ...
def record_commands(dispatcher: Dispatcher, sink: Callable[[bytes], object]) -> None: ...
def replay_commands(dispatcher: Dispatcher, recording: bytes) -> int: ...

@final
class Dispatcher:
    def __new__(
        cls,
        *,
        instruments: Sequence[dict[str, Any]],
        order_by: str = "ts_event",
        digest: str = "events",
        seed: int = 0,
        config_digest: bytes | None = None,
        slice_ticks: int = 4096,
        always_fresh: bool = False,
        live: str | None = None,
        venues: dict[str, dict[str, Any]] | None = None,
        spawner: object | None = None,
    ) -> Self: ...
    def add_feed(self, name: str, data: TickArray) -> int: ...
    def open_feed(
        self, name: str, settings: Mapping[str, Any], instruments: Sequence[InstrumentId | str]
    ) -> FeedCore: ...
    def seal(self) -> None: ...
    def close_feeds(self) -> None: ...
    def record(self, capacity: int, most: int) -> Recorder: ...
    def set_recording(self, recording: Recording) -> None: ...
    def register(
        self,
        strategy: object,
        name: str,
        *,
        instruments: Sequence[InstrumentId | str] | None = None,
        max_ticks: int = 4096,
        window_ns: int = 0,
    ) -> int: ...
    def register_compiled(
        self,
        strategy: object,
        name: str,
        code: CompiledCode,
        *,
        instruments: Sequence[InstrumentId | str] | None = None,
        max_ticks: int = 4096,
        window_ns: int = 0,
    ) -> int: ...
    def register_pull(
        self, strategy: object, name: str, *, instruments: Sequence[InstrumentId | str] | None = None
    ) -> int: ...
    def run(self, progress: Callable[[int, int | None], object] | None = None) -> str: ...
    def pull(self) -> Tick | None: ...
    def pulls(self) -> Pulls: ...
    def finish(self) -> None: ...
    def request_stop(self) -> None: ...
    def pause(self, strategy: int) -> bool: ...
    def resume(self, strategy: int) -> bool: ...
    @property
    def stop_requested(self) -> bool: ...
    @property
    def end(self) -> str | None: ...
    def stats(self) -> dict[str, Any]: ...
    def strategies(self) -> list[dict[str, Any]]: ...
    def accounts(self, patience_s: float = 0.1) -> dict[str, Any]: ...
    def orders(self) -> npt.NDArray[np.void]: ...
    def fills(self) -> npt.NDArray[np.void]: ...
    def errors(self) -> list[dict[str, Any]]: ...
    def interruption(self) -> BaseException | None: ...
    def digest(self) -> str: ...

@final
class FeedCore:
    @property
    def name(self) -> str: ...
    @property
    def policy(self) -> str: ...
    @property
    def capacity(self) -> int: ...
    @property
    def is_closed(self) -> bool: ...
    def close(self) -> None: ...

@disjoint_base
class PublisherCore:
    def __new__(cls, feed: FeedCore) -> Self: ...
    def publish_quote(
        self,
        instrument: InstrumentId | str,
        bid: float,
        ask: float,
        bid_size: float = ...,
        ask_size: float = ...,
        *,
        ts_event: int | None = None,
        sequence: int = 0,
        flags: int = 0,
    ) -> None: ...
    def publish_trade(
        self,
        instrument: InstrumentId | str,
        price: float,
        size: float = ...,
        side: str = "NONE",
        *,
        ts_event: int | None = None,
        sequence: int = 0,
        flags: int = 0,
    ) -> None: ...
    def publish_bar(
        self,
        instrument: InstrumentId | str,
        open: float,
        high: float,
        low: float,
        close: float,
        volume: float = 0.0,
        *,
        ts_event: int | None = None,
    ) -> None: ...
    def publish(
        self,
        data: Any,
        *,
        kind: str | None = None,
        columns: Mapping[str, str] | None = None,
        instrument: str | None = None,
        time_unit: str | None = None,
    ) -> None: ...
    def reconnected(self, *, renumbered: bool = True) -> None: ...
    def release(self) -> None: ...
    def close(self) -> None: ...
    @property
    def is_closed(self) -> bool: ...
    def _stage_quote(
        self,
        instrument: InstrumentId | str,
        bid: float,
        ask: float,
        bid_size: float = ...,
        ask_size: float = ...,
        *,
        ts_event: int | None = None,
        sequence: int = 0,
        flags: int = 0,
    ) -> bool: ...
    def _stage_trade(
        self,
        instrument: InstrumentId | str,
        price: float,
        size: float = ...,
        side: str = "NONE",
        *,
        ts_event: int | None = None,
        sequence: int = 0,
        flags: int = 0,
    ) -> bool: ...
    def _stage(
        self,
        data: Any,
        *,
        kind: str | None = None,
        columns: Mapping[str, str] | None = None,
        instrument: str | None = None,
        time_unit: str | None = None,
    ) -> bool: ...
    def _offer(self) -> bool: ...
    def _arm(self) -> int: ...
    def _clear(self) -> None: ...
    def _patience_s(self) -> float: ...
    def _waited(self, seconds: float) -> None: ...
    def _give_up(self) -> None: ...

@final
class Recorder:
    def finish(self, timeout_s: float = 10.0) -> Recording: ...

@final
class Recording:
    @staticmethod
    def from_records(records: npt.NDArray[np.void], instruments: Sequence[Any]) -> Recording: ...
    def records(self) -> npt.NDArray[np.void]: ...
    def slices(self) -> list[dict[str, int]]: ...
    @property
    def is_complete(self) -> bool: ...
    @property
    def instrument_table(self) -> list[dict[str, Any]]: ...
    def __len__(self) -> int: ...
