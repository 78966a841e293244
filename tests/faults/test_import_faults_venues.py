"""Faults in the files of Binance and Tardis: the whole message, and nothing left behind."""

import gzip
import json
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from tickrail.data.importing import import_ticks
from tickrail.errors import BadRecord, ImportFormatError

pytest.importorskip("pyarrow")
pytest.importorskip("msgspec")

AGG_TRADES = "BTCUSDT-aggTrades-2024-08-08.csv"
BOOK = "BTCUSDT-bookTicker-2024-08-08.csv"
RECORDING = "btcusdt_20240808.jsonl"
QUOTES = "binance_quotes_2020-09-01_BTCUSDT.csv"
TRADES = "binance_trades_2020-09-01_BTCUSDT.csv"

AGG_HEADER = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker"
BOOK_HEADER = "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time"
QUOTES_HEADER = "exchange,symbol,timestamp,local_timestamp,ask_amount,ask_price,bid_price,bid_amount"
TRADES_HEADER = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount"
MS = 1_723_161_256_313
NS = MS * 1_000_000
LAST_MS = (2**63 - 1) // 1_000_000
LINE_HINT = 'a line is such as 1723161255088169167 {"stream":"btcusdt@bookTicker","data":{...}}'


def agg_trade(price: str = "1", size: str = "1", time: int | str = MS) -> str:
    return f"7,{price},{size},1,1,{time},true\n"


def book(bid: str = "1", size: str = "1", time: int = MS) -> str:
    return f"7,{bid},{size},2,1,{time},{time}\n"


def tardis_quote(bid: str = "1", size: str = "1", time: int | str = MS * 1_000) -> str:
    return f"binance,BTCUSDT,{time},{time},1,2,{bid},{size}\n"


def tardis_trade(price: str = "1", size: str = "1", side: str = "buy") -> str:
    return f"binance,BTCUSDT,{MS * 1_000},{MS * 1_000},x,{side},{price},{size}\n"


def message(channel: str, receipt: int | str = NS, **fields: Any) -> str:
    quote = {"u": 7, "s": "BTCUSDT", "b": "1", "B": "1", "a": "2", "A": "1"}
    trade = {"t": 7, "s": "BTCUSDT", "p": "1", "q": "1", "T": MS, "m": True}
    data = {"bookTicker": quote, "trade": trade}[channel] | fields
    return f"{receipt} {json.dumps({'stream': f'btcusdt@{channel}', 'data': data})}\n"


def write(folder: Path, name: str, body: bytes | str) -> Path:
    path = folder / "source" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(body if isinstance(body, bytes) else body.encode())
    return path


def refused(folder: Path, name: str, body: bytes | str, **options: Any) -> tuple[str, str | None]:
    """What is said of the source, without the folder, and the hint."""
    source = write(folder, name, body)
    with pytest.raises(ImportFormatError) as caught:
        import_ticks(source, folder / "out.ticks", **options)
    assert [path.name for path in folder.iterdir()] == ["source"]
    return caught.value.message.replace(f"{source.parent}/", ""), caught.value.hint


def bad(folder: Path, name: str, body: str, row: int, problem: str) -> str:
    """The value of the one bad record in ``row``, which is refused first and left out when that is asked for."""
    source = write(folder, name, body)
    with pytest.raises(BadRecord) as caught:
        import_ticks(source, folder / "out.ticks")
    assert (caught.value.problem, caught.value.origin, caught.value.row) == (problem, str(source), row)
    assert caught.value.message.startswith(f"{source}: row {row}: ")
    assert [path.name for path in folder.iterdir()] == ["source"]

    report = import_ticks(source, folder / "out.ticks", on_bad="skip")
    assert (report.problems, report.count) == ({problem: 1}, report.rows - 1)
    (offender,) = report.offenders
    assert (offender["problem"], offender["origin"], offender["row"]) == (problem, str(source), row)
    return str(offender["value"])


CSV_TRADES = [(AGG_TRADES, f"{AGG_HEADER}\n", agg_trade), (TRADES, f"{TRADES_HEADER}\n", tardis_trade)]
CSV_QUOTES = [(BOOK, f"{BOOK_HEADER}\n", book), (QUOTES, f"{QUOTES_HEADER}\n", tardis_quote)]


@pytest.mark.parametrize(("name", "header", "row"), [*CSV_TRADES, *CSV_QUOTES])
@pytest.mark.parametrize(
    ("price", "problem", "value"),
    [
        ("inf", "price_not_finite", "inf"),
        ("-Infinity", "price_not_finite", "-inf"),
        ("-0.5", "negative_price", "-0.5"),
    ],
)
def test_prices_of_csv(tmp_path: Path, name: str, header: str, row: Any, price: str, problem: str, value: str) -> None:
    assert bad(tmp_path, name, header + row() + row(price) + row(), 3, problem) == value


@pytest.mark.parametrize(("name", "header", "row"), [*CSV_TRADES, CSV_QUOTES[0]])
@pytest.mark.parametrize("price", ["nan", "NaN", ""])
def test_a_price_of_csv_that_is_none(tmp_path: Path, name: str, header: str, row: Any, price: str) -> None:
    assert bad(tmp_path, name, header + row() + row(price) + row(), 3, "price_not_finite") == "NaN"


@pytest.mark.parametrize(("name", "header", "row"), [*CSV_TRADES, *CSV_QUOTES])
@pytest.mark.parametrize(("size", "value"), [("-1", "-1"), ("inf", "inf")])
def test_sizes_of_csv(tmp_path: Path, name: str, header: str, row: Any, size: str, value: str) -> None:
    assert bad(tmp_path, name, header + row() + row(size=size), 3, "bad_size") == value


@pytest.mark.parametrize(("name", "header", "row"), CSV_TRADES)
def test_trades_of_nothing_in_csv(tmp_path: Path, name: str, header: str, row: Any) -> None:
    assert bad(tmp_path, name, header + row() + row(size="0.000"), 3, "zero_size_trade") == "0"


@pytest.mark.parametrize(
    ("channel", "fields", "problem", "value"),
    [
        ("bookTicker", {"b": "NaN"}, "price_not_finite", "NaN"),
        ("bookTicker", {"a": "Infinity"}, "price_not_finite", "inf"),
        ("bookTicker", {"a": "-1"}, "negative_price", "-1"),
        ("bookTicker", {"B": "-1"}, "bad_size", "-1"),
        ("bookTicker", {"A": "nan"}, "bad_size", "NaN"),
        ("trade", {"p": "-inf"}, "price_not_finite", "-inf"),
        ("trade", {"p": -0.5}, "negative_price", "-0.5"),
        ("trade", {"q": "-2"}, "bad_size", "-2"),
        ("trade", {"q": "0.000"}, "zero_size_trade", "0"),
        ("trade", {"T": 0}, "time_not_positive", "0"),
        ("trade", {"T": -5}, "time_not_positive", "-5000000"),
        ("trade", {"T": LAST_MS + 1}, "time_overflow", "beyond int64 nanoseconds"),
        ("bookTicker", {"T": 10**30}, "time_overflow", "beyond int64 nanoseconds"),
        ("bookTicker", {"E": -(10**30)}, "time_overflow", "beyond int64 nanoseconds"),
    ],
)
def test_numbers_of_messages(tmp_path: Path, channel: str, fields: dict[str, Any], problem: str, value: str) -> None:
    body = message(channel) + message(channel, **fields) + message(channel)
    assert bad(tmp_path, RECORDING, body, 2, problem) == value


def test_receipts_that_run_backwards_or_leave_the_range(tmp_path: Path) -> None:
    body = message("trade", NS + 5) + message("trade", NS + 4) + message("trade", NS + 5)
    assert bad(tmp_path, RECORDING, body, 2, "key_backwards") == f"ts_init {NS + 4} after {NS + 5}"
    (tmp_path / "out.ticks").unlink()
    body = message("trade") + message("trade", 2**63)
    assert bad(tmp_path, RECORDING, body, 2, "time_overflow") == "beyond int64 nanoseconds"


@pytest.mark.parametrize(
    ("name", "body", "row", "problem", "value"),
    [
        (AGG_TRADES, agg_trade() + agg_trade(time=LAST_MS + 1), 2, "time_overflow", "beyond int64 nanoseconds"),
        (AGG_TRADES, agg_trade() + agg_trade(time=""), 2, "time_missing", "null"),
        (AGG_TRADES, agg_trade() + agg_trade(time=-1), 2, "time_not_positive", "-1000000"),
        (AGG_TRADES, agg_trade() + agg_trade(time=MS - 1), 2, "key_backwards", f"ts_event {NS - 10**6} after {NS}"),
        (QUOTES, f"{QUOTES_HEADER}\n" + tardis_quote() + tardis_quote(time=""), 3, "time_missing", "null"),
        (
            QUOTES,
            f"{QUOTES_HEADER}\n" + tardis_quote() + tardis_quote(time=MS * 1_000 - 1),
            3,
            "key_backwards",
            f"ts_init {NS - 1_000} after {NS}",
        ),
        (
            TRADES,
            f"{TRADES_HEADER}\n" + tardis_trade() + tardis_trade(side="bid"),
            3,
            "unknown_side",
            "another word",
        ),
    ],
)
def test_times_and_sides_of_csv(tmp_path: Path, name: str, body: str, row: int, problem: str, value: str) -> None:
    assert bad(tmp_path, name, body, row, problem) == value


def test_a_header_with_a_slip(tmp_path: Path) -> None:
    header = AGG_HEADER.replace("quantity", "quantitty")
    assert refused(tmp_path, AGG_TRADES, f"{header}\n{agg_trade()}") == (
        f"{AGG_TRADES}:1: expected the columns of aggTrades ({AGG_HEADER},is_best_match); the header is '{header}'",
        "'quantitty' should be 'quantity'; --format csv with --map reads any columns",
    )
    header = QUOTES_HEADER.replace("bid_price", "bid_prize")
    assert refused(tmp_path, QUOTES, f"{header}\n{tardis_quote()}") == (
        f"{QUOTES}:1: expected a header with exchange, symbol, timestamp, local_timestamp, bid_price, ask_price, "
        f"bid_amount, ask_amount; there is '{header}'",
        "'bid_prize' should be 'bid_price'",
    )


def test_a_header_of_something_else(tmp_path: Path) -> None:
    _, hint = refused(tmp_path, AGG_TRADES, "a,b\n1,2\n")
    assert hint == "--format csv with --map reads any columns"
    message, hint = refused(tmp_path, QUOTES, "a,b\n1,2\n")
    assert message.endswith("there is 'a,b'")
    assert hint == "--format csv with --map reads any columns"


@pytest.mark.parametrize("header", [f"{BOOK_HEADER}\n", ""])
def test_the_columns_of_another_layout(tmp_path: Path, header: str) -> None:
    message, hint = refused(tmp_path, AGG_TRADES, header + book())
    what, first = ("header", header.strip()) if header else ("row", book().strip())
    assert message == (
        f"{AGG_TRADES}:1: expected the columns of aggTrades ({AGG_HEADER},is_best_match); the {what} is '{first}'"
    )
    assert hint == "these are the columns of bookTicker: --layout bookTicker (layout=)"


def test_a_shape_of_no_layout(tmp_path: Path) -> None:
    message, hint = refused(tmp_path, "day.csv", "1,2,3\n", format="binance", instrument="A")
    assert message.startswith("day.csv:1: expected the columns of aggTrades (agg_trade_id,")
    assert " or trades (id,price,qty," in message
    assert message.endswith("; the row is '1,2,3'")
    assert hint == "--format csv with --map reads any columns"


def test_an_unknown_layout(tmp_path: Path) -> None:
    assert refused(tmp_path, AGG_TRADES, agg_trade(), layout="book") == (
        "there is no layout 'book' of Binance dumps; there are aggTrades, trades, bookTicker",
        "did you mean 'bookTicker'?",
    )


def test_a_name_without_a_symbol(tmp_path: Path) -> None:
    assert refused(tmp_path, "day.csv", agg_trade(), format="binance") == (
        "day.csv: the name of the file tells no symbol; expected such as BTCUSDT-aggTrades-2024-08-08.zip",
        "name it: --instrument BTCUSDT (instrument=)",
    )


@pytest.mark.parametrize(("time", "line"), [("5", 1), ("x", 1), ("1723161256313000000", 1), ("12.5", 2)])
def test_a_first_time_in_no_unit_of_the_venue(tmp_path: Path, time: str, line: int) -> None:
    row = agg_trade(time=time)
    body = row if line == 1 else f"{AGG_HEADER}\n{row}"
    assert refused(tmp_path, AGG_TRADES, body) == (
        f"{AGG_TRADES}:{line}: expected a time in ms or us as column 6 (transact_time); the row is '{row.strip()}'",
        f"a row has 7 columns: {AGG_HEADER}",
    )


def test_a_short_row(tmp_path: Path) -> None:
    message, _ = refused(tmp_path, AGG_TRADES, agg_trade() * 4 + "7,1,1\n" + agg_trade())
    assert message == f"{AGG_TRADES}:5: expected 7 columns, as in the first row; here are 3: 7,1,1"
    message, _ = refused(tmp_path, QUOTES, f"{QUOTES_HEADER}\n{tardis_quote()}binance,BTC\n")
    assert message == f"{QUOTES}:3: expected 8 columns, as in the first row; here are 2: binance,BTC"


def test_a_value_of_another_type(tmp_path: Path) -> None:
    message, _ = refused(tmp_path, AGG_TRADES, f"{AGG_HEADER}\n{agg_trade()}{agg_trade('x')}")
    assert message == f"{AGG_TRADES}:3: column 'price': expected a number; there is 'x'"
    message, _ = refused(tmp_path, QUOTES, f"{QUOTES_HEADER}\n{tardis_quote()}{tardis_quote(time='1.5')}")
    assert message == f"{QUOTES}:3: column 'timestamp': expected a whole number; there is '1.5'"


def test_values_in_quotation_marks_are_none_of_these_files(tmp_path: Path) -> None:
    message, _ = refused(tmp_path, AGG_TRADES, agg_trade() + agg_trade('"1"'))
    assert message == f"{AGG_TRADES}:2: column 'price': expected a number; there is '\"1\"'"


@pytest.mark.parametrize("name", [AGG_TRADES, "BTCUSDT-trades-2024-08-08.zip", RECORDING, QUOTES])
def test_an_empty_file(tmp_path: Path, name: str) -> None:
    assert refused(tmp_path, name, b"") == (f"{name}: is empty", None)


@pytest.mark.parametrize(
    ("name", "said"),
    [(AGG_TRADES, "is empty"), (QUOTES, "holds no records"), (RECORDING, "holds no records")],
)
def test_a_file_that_unpacks_to_nothing(tmp_path: Path, name: str, said: str) -> None:
    assert refused(tmp_path, name + ".gz", gzip.compress(b"")) == (f"{name}.gz: {said}", None)


@pytest.mark.parametrize(("name", "body"), [(AGG_TRADES, f"{AGG_HEADER}\n"), (QUOTES, f"{QUOTES_HEADER}\n")])
def test_a_header_only(tmp_path: Path, name: str, body: str) -> None:
    assert refused(tmp_path, name, body) == (f"{name}: holds no records", None)


def packed(name: str, rows: int = 100_000) -> bytes:
    """Enough of a file that half of it has many blocks."""
    if name == RECORDING + ".gz":
        text = "".join(message("trade", NS + i, t=i, p=str(1 + i % 977)) for i in range(rows // 5))
    elif name == QUOTES + ".gz":
        text = f"{QUOTES_HEADER}\n" + "".join(tardis_quote(str(1 + i % 977)) for i in range(rows))
    else:
        text = "".join(agg_trade(str(1 + i % 977)) for i in range(rows))
    if name.endswith(".gz"):
        return gzip.compress(text.encode(), 1)
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", text)
    return out.getvalue()


PACKED = {
    "BTCUSDT-aggTrades-2024-08-08.zip": "zip",
    AGG_TRADES + ".gz": "gzip",
    QUOTES + ".gz": "gzip",
    RECORDING + ".gz": "gzip",
}


@pytest.mark.parametrize(("name", "kind"), PACKED.items())
def test_a_damaged_packing(tmp_path: Path, name: str, kind: str) -> None:
    whole = packed(name)
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    for body in (whole[: len(whole) // 2], b"no such thing at all, but long enough to be read"):
        message, hint = refused(tmp_path, name, body)
        assert message.startswith(f"{name}: is no {kind} file, or a damaged one: ")
        assert hint == "download or copy it again; nothing was written"
    # A flipped bit may also make a line that cannot be read, or only the sum at the end wrong.
    assert refused(tmp_path, name, bytes(flipped))[0].startswith(name)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("{}", "expected the receipt time in ns (19 digits), a space, and JSON; there is '{}'"),
        ("", "expected the receipt time in ns (19 digits), a space, and JSON; there is ''"),
        (
            message("trade", MS).strip(),
            "expected the receipt time in ns (19 digits), a space, and JSON; there is "
            '\'1723161256313 {"stream": "btcusdt@trade", "data": {"t": 7, "\'',
        ),
        (f"{NS}", f"expected the receipt time in ns (19 digits), a space, and JSON; there is '{NS}'"),
        (f"{NS} ", "expected a message of a combined stream: Input data was truncated; there is ''"),
        (
            f'{NS} {{"stream":"a@trade","data":{{"t"',
            "expected a message of a combined stream: Input data was truncated; there is "
            '\'{"stream":"a@trade","data":{"t"\'',
        ),
        (
            f'{NS} {{"stream":"a@trade","data":{{}}}}',
            "expected a message of a combined stream: Object missing required field `s`; there is "
            '\'{"stream":"a@trade","data":{}}\'',
        ),
    ],
)
def test_a_line_that_is_no_message(tmp_path: Path, line: str, expected: str) -> None:
    body = message("trade") + message("bookTicker") + line + "\n" + message("trade")
    assert refused(tmp_path, RECORDING, body, on_bad="skip") == (f"{RECORDING}:3: {expected}", LINE_HINT)


@pytest.mark.parametrize(
    "fields", [{"p": "1,5"}, {"p": None}, {"p": ""}, {"q": []}, {"t": -1}, {"t": 2**64}, {"m": "x"}, {"T": "now"}]
)
def test_a_field_of_another_type(tmp_path: Path, fields: dict[str, Any]) -> None:
    message_, hint = refused(tmp_path, RECORDING, message("trade") + message("trade", **fields))
    (field,) = fields
    assert message_.startswith(f"{RECORDING}:2: expected a message of a combined stream: ")
    assert f"`$.{field}`; there is " in message_
    assert hint == LINE_HINT


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    body = message("trade").encode() + f"{NS} ".encode() + b'{"stream":"\xff\xfe@trade","data":{}}\n'
    assert refused(tmp_path, RECORDING, body)[0].startswith(f"{RECORDING}:2: expected a message")


def test_a_line_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tickrail.data.importers import binance_recording

    monkeypatch.setattr(binance_recording, "LONGEST_LINE", 200)
    body = message("trade") + f"{NS} " + '{"stream":"' + "a" * 1_000
    assert refused(tmp_path, RECORDING, body)[0].startswith(f"{RECORDING}:2: expected a message")
