"""TickArray: owns or maps, slices, and lends its records to numpy and Arrow without a copy."""

from __future__ import annotations

import gc
import pickle
import weakref
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tickrail import _native
from tickrail._native import Bar, Quote, TickArray, TickFileWriter, Trade
from tickrail.domain.ticks import BAR_DTYPE, QUOTE_DTYPE, TICK_DTYPE, TRADE_DTYPE, Flag, Kind
from tickrail.errors import BadRecord, TickFileError

NAME = "EURUSD.OANDA"


def quotes(count: int, start: int = 1) -> np.ndarray:
    records = np.zeros(count, QUOTE_DTYPE)
    records["ts_event"] = records["ts_init"] = np.arange(start, start + count) * 10
    records["kind"] = Kind.QUOTE
    records["bid"], records["ask"] = 1.0, 2.0
    records["bid_size"] = records["ask_size"] = 5.0
    return records


def frozen(records: np.ndarray) -> np.ndarray:
    records.flags.writeable = False
    return records


def written(path: Path, count: int = 10) -> Path:
    with TickFileWriter(path) as writer:
        writer.append_records(quotes(count), instruments=[NAME])
        writer.commit()
    return path


@pytest.mark.parametrize("dtype", [TICK_DTYPE, QUOTE_DTYPE, TRADE_DTYPE, BAR_DTYPE])
def test_dtypes_are_the_native_layout(dtype: np.dtype) -> None:
    layout = _native.layout()
    assert dtype.itemsize == layout["itemsize"][0] == 64
    for name in dtype.names:
        field, offset = dtype.fields[name][:2]
        assert (offset, field) == (layout[name][0], np.dtype(layout[name][1])), name


def test_tick_dtype_covers_every_byte_once() -> None:
    covered = [
        offset + i
        for field, offset in (TICK_DTYPE.fields[n][:2] for n in TICK_DTYPE.names)
        for i in range(field.itemsize)
    ]
    assert sorted(covered) == list(range(64))


def test_dtypes_hold_what_native_ticks_hold(tmp_path: Path) -> None:
    bars, trades = np.zeros(1, BAR_DTYPE), np.zeros(1, TRADE_DTYPE)
    for name, value in (("ts_event", 9), ("ts_init", 9), ("kind", Kind.BAR), ("open", 2), ("high", 4), ("low", 1)):
        bars[name] = value
    bars["close"], bars["volume"] = 3, 7.5
    for name, value in (("ts_event", 8), ("ts_init", 9), ("kind", Kind.TRADE), ("price", 3), ("size", 4), ("side", 2)):
        trades[name] = value
    bar, trade = TickArray.from_records(bars, [NAME])[0], TickArray.from_records(trades, [NAME])[0]
    assert isinstance(bar, Bar) and isinstance(trade, Trade)
    assert (bar.open, bar.high, bar.low, bar.close, bar.volume) == (2, 4, 1, 3, 7.5)
    assert (trade.price, trade.size, trade.side, trade.ts_event, trade.ts_init) == (3, 4, "SELL", 8, 9)


def test_slices_and_single_ticks() -> None:
    ticks = TickArray.from_records(quotes(10), [NAME])
    assert len(ticks) == 10
    assert [tick.ts_event for tick in ticks[2:5]] == [30, 40, 50]
    assert isinstance(ticks[0], Quote)
    assert ticks[-1].ts_event == 100 and ticks[0].instrument == NAME
    assert len(ticks[8:99]) == 2 and len(ticks[5:2]) == 0
    for bad in (10, -11):
        with pytest.raises(IndexError):
            ticks[bad]
    with pytest.raises(ValueError, match="step 1"):
        ticks[::2]
    with pytest.raises(TypeError):
        ticks["a"]  # type: ignore[call-overload]


def test_between_includes_the_start_and_not_the_end() -> None:
    records = quotes(6)
    records["ts_event"] = records["ts_init"] = [10, 20, 20, 20, 30, 40]
    ticks = TickArray.from_records(records, [NAME])
    times = lambda part: part.numpy()["ts_event"].tolist()  # noqa: E731
    assert times(ticks.between(20, 40)) == [20, 20, 20, 30]
    assert times(ticks.between(None, 20)) == [10]
    assert times(ticks.between(21, None)) == [30, 40]
    assert times(ticks.between(50, 10)) == []
    assert times(ticks.between(20, 31).between(25, None)) == [30]


def test_numpy_shares_and_outlives(tmp_path: Path) -> None:
    ticks = TickArray.open(written(tmp_path / "a.ticks"))
    view, again, part = ticks.numpy(), np.asarray(ticks), ticks[5:].numpy()
    assert view.dtype == TICK_DTYPE and np.shares_memory(view, again)
    assert part.__array_interface__["data"][0] == view.__array_interface__["data"][0] + 5 * 64
    assert view.__array_interface__["data"][0] % 64 == 0
    gone = weakref.ref(ticks)
    del ticks
    gc.collect()
    assert gone() is None
    (tmp_path / "a.ticks").unlink()
    assert view.view(QUOTE_DTYPE)["bid"].tolist() == [1.0] * 10
    assert part["ts_event"].tolist() == [60, 70, 80, 90, 100]


def test_views_cannot_be_made_writeable() -> None:
    view = TickArray.from_records(quotes(3), [NAME]).numpy()
    with pytest.raises(ValueError, match="read-only"):
        view["ts_event"] = 1
    with pytest.raises(ValueError, match="WRITEABLE"):
        view.flags.writeable = True


def test_np_array_protocol() -> None:
    ticks = TickArray.from_records(quotes(3), [NAME])
    copy = np.array(ticks)
    assert copy.flags.writeable and not np.shares_memory(copy, ticks.numpy())
    assert len(np.asarray(TickArray.from_records(quotes(0), [NAME]))) == 0


def test_what_may_change_is_copied_and_what_never_can_is_shared() -> None:
    mine = quotes(3)
    ticks = TickArray.from_records(mine, [NAME])
    mine["bid"] = 99
    assert ticks[0].bid == 1.0
    shared = np.frombuffer(quotes(3).tobytes(), QUOTE_DTYPE)
    assert np.shares_memory(TickArray.from_records(shared, [NAME]).numpy(), shared)
    assert not np.shares_memory(TickArray.from_records(shared, [NAME], copy=True).numpy(), shared)
    backdoor = quotes(4)
    view = frozen(backdoor[:3])
    assert not np.shares_memory(TickArray.from_records(view, [NAME]).numpy(), backdoor)
    promised = quotes(3)
    assert np.shares_memory(TickArray.from_records(promised, [NAME], copy=False).numpy(), promised)
    memory = bytearray(quotes(3).tobytes())
    lent = frozen(np.frombuffer(memory, QUOTE_DTYPE))
    assert not np.shares_memory(TickArray.from_records(lent, [NAME]).numpy(), lent)
    constant = np.frombuffer(bytes(memory), QUOTE_DTYPE)
    assert np.shares_memory(TickArray.from_records(constant, [NAME]).numpy(), constant)


def test_shared_source_is_kept_alive() -> None:
    source = np.frombuffer(quotes(3).tobytes(), QUOTE_DTYPE)
    gone = weakref.ref(source)
    view = TickArray.from_records(source, [NAME]).numpy()
    del source
    gc.collect()
    assert gone() is not None
    assert view["ts_event"].tolist() == [10, 20, 30]
    del view
    gc.collect()
    assert gone() is None


def test_strided_and_misaligned_sources() -> None:
    strided = quotes(6)[::2]
    assert TickArray.from_records(strided, [NAME]).numpy()["ts_event"].tolist() == [10, 30, 50]
    with pytest.raises(ValueError, match="copy=False"):
        TickArray.from_records(strided, [NAME], copy=False)
    crooked = np.frombuffer(b"x" + quotes(3).tobytes(), QUOTE_DTYPE, offset=1)
    ticks = TickArray.from_records(crooked, [NAME])
    assert ticks.numpy().__array_interface__["data"][0] % 8 == 0
    assert [tick.ts_event for tick in ticks] == [10, 20, 30]


@pytest.mark.parametrize(
    "records",
    [
        np.zeros(3),
        np.zeros(3, [("ts_event", "<i8"), ("bid", "<f8")]),
        np.zeros(3, "V64"),
        np.zeros(3, np.dtype({"names": ["ts_event"], "formats": [">i8"], "offsets": [0], "itemsize": 64})),
        np.zeros((2, 2), TICK_DTYPE),
    ],
)
def test_other_arrays_are_refused(records: np.ndarray) -> None:
    with pytest.raises(ValueError, match="records have"):
        TickArray.from_records(records, [NAME])


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("bid", np.nan, "price_not_finite"),
        ("ask", np.inf, "price_not_finite"),
        ("bid", -1.0, "negative_price"),
        ("bid_size", -1.0, "bad_size"),
        ("ask_size", np.nan, "bad_size"),
        ("ts_event", 0, "time_not_positive"),
        ("ts_init", -5, "time_not_positive"),
        ("ts_event", 1, "key_backwards"),
        ("kind", 0, "unknown_kind"),
        ("kind", 99, "unknown_kind"),
        ("side", 3, "unknown_side"),
        ("instrument", 1, "no_instrument"),
    ],
)
def test_bad_records_are_named(field: str, value: float, problem: str) -> None:
    records = quotes(5)
    records[field][3] = value
    with pytest.raises(BadRecord) as caught:
        TickArray.from_records(records, [NAME])
    assert (caught.value.problem, caught.value.row) == (problem, 3)
    assert "row 3" in str(caught.value)


def test_negative_prices_where_the_instrument_allows_them() -> None:
    records = quotes(2)
    records["bid"] = -3.0
    spread = {"id": "SPREAD.X", "negative_prices": True, "currency": "EUR"}
    ticks = TickArray.from_records(records, [spread])
    assert ticks[0].bid == -3.0
    assert ticks.instrument_table[0]["currency"] == "EUR"


@pytest.mark.parametrize(
    "row", [{"id": "A.X", "curency": "USD"}, {"currency": "USD"}, 5, {"id": "A.X", "currency": ""}]
)
def test_bad_instruments(row: object) -> None:
    with pytest.raises((ValueError, TypeError, Exception)) as caught:
        TickArray.from_records(quotes(1), [row])  # type: ignore[list-item]
    assert "instrument" in str(caught.value) or "currency" in str(caught.value)


def test_fingerprint_is_of_exactly_the_records(tmp_path: Path) -> None:
    mapped = TickArray.open(written(tmp_path / "a.ticks"))
    owned = TickArray.from_records(mapped.numpy(), [NAME])
    assert mapped.fingerprint == owned.fingerprint and len(mapped.fingerprint) == 16
    assert mapped.fingerprint.hex() == mapped.header()["checksum"]
    assert mapped[1:].fingerprint == owned[1:].fingerprint != owned.fingerprint
    assert mapped[:].fingerprint == mapped.fingerprint


def test_arrow_export_shares_the_bytes() -> None:
    ticks = TickArray.from_records(quotes(5), [NAME])
    table = pa.table(ticks)
    view = ticks.numpy()
    column = table.column("tick").chunk(0)
    assert column.type == pa.binary(64)
    assert column.buffers()[1].address == view.__array_interface__["data"][0]
    assert b"".join(value.as_py() for value in column) == view.tobytes()
    meta = table.schema.metadata
    assert meta[b"tickrail.layout_version"] == b"1" and NAME.encode() in meta[b"tickrail.instruments"]
    del ticks, view
    gc.collect()
    assert column[0].as_py()[:8] == (10).to_bytes(8, "little")
    assert pa.table(TickArray.from_records(quotes(0), [NAME])).num_rows == 0


def test_decoded_columns() -> None:
    ticks = TickArray.from_records(quotes(3), [NAME])
    columns = ticks.to_columns()
    assert columns["bid"].tolist() == [1.0, 1.0, 1.0] and columns["bid"].flags.c_contiguous
    table = ticks.to_arrow()
    assert table.column("instrument").to_pylist() == [NAME] * 3
    assert table.schema.field("ts_event").type == pa.timestamp("ns", tz="UTC")
    back = TickArray.from_arrow(
        table,
        kind="quote",
        columns={n: n for n in ("ts_event", "ts_init", "sequence", "instrument", "bid", "ask", "bid_size", "ask_size")},
    )
    assert back.fingerprint == ticks.fingerprint
    mixed = quotes(2)
    mixed["kind"][1] = Kind.TRADE
    both = TickArray.from_records(mixed, [NAME])
    with pytest.raises(ValueError, match="several kinds"):
        both.to_columns()
    assert both.to_columns("trade")["price"].tolist() == [1.0]


def test_pickles_by_content(tmp_path: Path) -> None:
    ticks = TickArray.open(written(tmp_path / "a.ticks"))[2:7]
    again = pickle.loads(pickle.dumps(ticks))
    assert again.fingerprint == ticks.fingerprint and again.instruments == ticks.instruments


def test_repr_and_empty(tmp_path: Path) -> None:
    ticks = TickArray.from_records(quotes(3), [NAME])
    assert repr(ticks) == "TickArray(3 ticks of EURUSD.OANDA, ts_event 10..30)"
    empty = ticks[:0]
    assert repr(empty) == "TickArray(0 ticks of EURUSD.OANDA)"
    assert len(empty.numpy()) == 0 and list(empty) == [] and len(empty.between(1, 2)) == 0
    assert ticks.path is None and ticks.header() is None


def test_ts_init_orders_where_asked() -> None:
    records = quotes(2)
    records["ts_event"] = [20, 10]
    records["ts_init"] = [30, 40]
    ticks = TickArray.from_records(records, [NAME], order_by="ts_init")
    assert ticks.order_by == "ts_init" and len(ticks.between(35, None)) == 1
    with pytest.raises(BadRecord):
        TickArray.from_records(records, [NAME])
    with pytest.raises(ValueError, match="order_by"):
        TickArray.from_records(records, [NAME], order_by="sequence")


def test_no_size_flag_permits_nan() -> None:
    records = quotes(1)
    records["bid_size"] = np.nan
    records["flags"] = Flag.NO_SIZE
    assert np.isnan(TickArray.from_records(records, [NAME])[0].bid_size)


def test_verify_finds_changed_records(tmp_path: Path) -> None:
    path = written(tmp_path / "a.ticks")
    TickArray.open(path).verify()
    content = bytearray(path.read_bytes())
    content[128 + 64 + 33] ^= 1
    path.write_bytes(content)
    with pytest.raises(TickFileError) as caught:
        TickArray.open(path).verify()
    assert caught.value.problem == "records_damaged" and caught.value.path == str(path)


def test_an_array_that_can_be_made_writeable_again_is_copied(tmp_path: Path) -> None:
    mine = frozen(quotes(3))
    ticks = TickArray.from_records(mine, [NAME])
    mine.flags.writeable = True
    mine["bid"] = 99
    assert ticks[0].bid == 1.0
    again = TickArray.from_records(ticks.numpy(), [NAME])
    assert np.shares_memory(again.numpy(), ticks.numpy()), "our own records never change"
    np.save(tmp_path / "q.npy", quotes(3))
    mapped = np.load(tmp_path / "q.npy", mmap_mode="r")
    assert np.shares_memory(TickArray.from_records(mapped, [NAME]).numpy(), mapped)
    private = np.load(tmp_path / "q.npy", mmap_mode="c")
    private.flags.writeable = False
    assert not np.shares_memory(TickArray.from_records(private, [NAME]).numpy(), private)
    memory = bytearray(quotes(3).tobytes())
    lent = np.frombuffer(memoryview(memory).toreadonly(), QUOTE_DTYPE)
    assert not np.shares_memory(TickArray.from_records(lent, [NAME]).numpy(), lent)
