"""Binance's dumps: the layout by name, header or shape; ms and us; the records that their columns say."""

import gzip
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tickrail._native import TickArray
from tickrail.data.importers.binance_layouts import LAYOUTS, layout_named, layout_of
from tickrail.data.importers.registry import importer_for
from tickrail.data.importers.text_files import BLOCK_BYTES
from tickrail.data.importing import import_ticks
from tickrail.errors import ImportFormatError

pytest.importorskip("pyarrow")

START_MS = 1_723_161_256_313
HEADERS = {
    "aggTrades": "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker",
    "trades": "id,price,qty,quote_qty,time,is_buyer_maker",
    "bookTicker": "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time",
}
#: Two rows a layout, as futures write them; spot has `best match` as one more column.
ROWS = {
    "aggTrades": ["77,61800.2,2.507,1,3,{0},true", "78,61800.3,0.006,4,4,{1},false"],
    "trades": ["77,61800.2,2.507,154932.9,{0},true", "78,61800.3,0.006,370.8,{1},false"],
    "bookTicker": ["77,61800.2,2.507,61800.3,2.51,{0},{1}", "78,61800.1,0,61800.3,2.5,{1},{1}"],
}


def times(unit: str) -> tuple[int, int]:
    step = {"ms": 1, "us": 1_000}[unit]
    return START_MS * step, START_MS * step + 9


def body(layout: str, *, header: bool = True, unit: str = "ms", spot: bool = False) -> str:
    more = "" if layout == "bookTicker" or not spot else ",True"
    rows = [row.format(*times(unit)) + more for row in ROWS[layout]]
    head = [HEADERS[layout] + (",is_best_match" if more else "")] if header else []
    return "\n".join([*head, *rows]) + "\n"


def dump(folder: Path, name: str, text: str) -> Path:
    """A file of that name; its suffix says how it is packed."""
    path = folder / name
    if name.endswith(".zip"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name.removesuffix(".zip").removesuffix(".csv") + ".csv", text)
    elif name.endswith(".gz"):
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


def facts(path: Path) -> list[tuple[Any, ...]]:
    """Every fact of every record, and that it was received when it happened."""
    ticks = list(TickArray.open(path))
    assert all(tick.ts_init == tick.ts_event for tick in ticks)
    return [
        (tick.kind, str(tick.instrument), tick.ts_event, tick.sequence, tick.side, tick.flags, *tick.values)
        for tick in ticks
    ]


def expected(layout: str, unit: str, instrument: str = "BTCUSDT.BINANCE") -> list[tuple[Any, ...]]:
    first, second = (time * {"ms": 1_000_000, "us": 1_000}[unit] for time in times(unit))
    if layout == "bookTicker":
        return [
            ("QUOTE", instrument, first, 77, "NONE", 0, 61800.2, 61800.3, 2.507, 2.51),
            ("QUOTE", instrument, second, 78, "NONE", 0, 61800.1, 61800.3, 0.0, 2.5),
        ]
    return [
        ("TRADE", instrument, first, 77, "SELL", 0, 61800.2, 0.0, 2.507, 0.0),
        ("TRADE", instrument, second, 78, "BUY", 0, 61800.3, 0.0, 0.006, 0.0),
    ]


@pytest.mark.parametrize("unit", ["ms", "us"])
@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("spot", [True, False])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout(tmp_path: Path, layout: str, spot: bool, header: bool, unit: str) -> None:
    source = dump(tmp_path, f"BTCUSDT-{layout}-2024-08-08.csv", body(layout, header=header, unit=unit, spot=spot))
    report = import_ticks(source, tmp_path / "out.ticks")
    assert (report.format, report.rows, report.count, report.problems, report.notes) == ("binance", 2, 2, {}, {})
    assert facts(tmp_path / "out.ticks") == expected(layout, unit)
    assert TickArray.open(tmp_path / "out.ticks").order_by == "ts_event"


@pytest.mark.parametrize("ending", ["-2024-08-08.zip", "-2024-08.zip", ".csv", "-2024-08-08.csv.gz", ".csv.zip"])
def test_every_packing_is_told_by_its_name(tmp_path: Path, ending: str) -> None:
    source = dump(tmp_path, f"btcusdt-trades{ending}", body("trades"))
    assert importer_for(source) == "binance"
    import_ticks(source, tmp_path / "out.ticks")
    assert facts(tmp_path / "out.ticks") == expected("trades", "ms")


@pytest.mark.parametrize("name", ["BTCUSDT-klines-2024-08-08.zip", "trades-2024.zip", "BTCUSDT-trades-2024.parquet"])
def test_names_of_something_else(name: str) -> None:
    assert importer_for(Path(name)) != "binance"


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("header", [True, False])
def test_a_file_of_any_name_by_its_columns(tmp_path: Path, layout: str, header: bool) -> None:
    source = dump(tmp_path, "day.csv", body(layout, header=header))
    import_ticks(source, tmp_path / "out.ticks", format="binance", instrument="BTCUSDT")
    assert facts(tmp_path / "out.ticks") == expected(layout, "ms")


def test_the_user_says_layout_and_unit(tmp_path: Path) -> None:
    source = dump(tmp_path, "BTCUSDT-trades-2024-08-08.csv", body("aggTrades", header=False))
    import_ticks(source, tmp_path / "out.ticks", layout="AGGTRADES")
    assert facts(tmp_path / "out.ticks") == expected("aggTrades", "ms")
    # Whoever says a unit is believed: these times are of 1970.
    import_ticks(source, tmp_path / "out.ticks", layout="aggTrades", time_unit="us", overwrite=True)
    assert TickArray.open(tmp_path / "out.ticks")[0].ts_event == START_MS * 1_000


@pytest.mark.parametrize(
    ("options", "instrument"),
    [
        ({"venue": "BINANCE-PERP"}, "BTCUSDT.BINANCE-PERP"),
        ({"instrument": "XBT"}, "XBT.BINANCE"),
        ({"instrument": "XBT", "venue": "V"}, "XBT.V"),
        ({"instrument": "XBT.V", "venue": "W"}, "XBT.V"),
    ],
)
def test_names_that_are_given_win(tmp_path: Path, options: dict[str, Any], instrument: str) -> None:
    source = dump(tmp_path, "BTCUSDT-trades-2024-08-08.zip", body("trades"))
    assert import_ticks(source, tmp_path / "out.ticks", **options).instruments == [instrument]
    assert facts(tmp_path / "out.ticks") == expected("trades", "ms", instrument)


@pytest.mark.parametrize("word", ["camel", "upper", "spaces"])
def test_headers_in_another_spelling(tmp_path: Path, word: str) -> None:
    spelled = {
        "camel": "aggTradeId,price,quantity,firstTradeId,lastTradeId,transactTime,isBuyerMaker",
        "upper": HEADERS["aggTrades"].upper(),
        "spaces": HEADERS["aggTrades"].replace("_", " ").replace(",", ", "),
    }[word]
    text = body("aggTrades").replace(HEADERS["aggTrades"], "\N{ZERO WIDTH NO-BREAK SPACE}" + spelled)
    import_ticks(dump(tmp_path, "BTCUSDT-aggTrades-2024-08-08.csv", text), tmp_path / "out.ticks")
    assert facts(tmp_path / "out.ticks") == expected("aggTrades", "ms")


def test_columns_of_a_header_may_stand_in_any_order(tmp_path: Path) -> None:
    text = f"time,note,price,is_buyer_maker,id,qty\n{START_MS},x,61800.2,true,77,2.507\n"
    import_ticks(dump(tmp_path, "BTCUSDT-trades-2024-08-08.csv", text), tmp_path / "out.ticks")
    assert facts(tmp_path / "out.ticks") == expected("trades", "ms")[:1]


def test_each_file_has_its_own_header_and_unit(tmp_path: Path) -> None:
    dump(tmp_path, "BTCUSDT-trades-2025-01-01.zip", "79,1,2,2,1735689600000000,True,True\n")
    dump(tmp_path, "BTCUSDT-trades-2024-12-31.zip", body("trades"))
    report = import_ticks(tmp_path, tmp_path / "out.ticks")
    assert (report.files, report.count, report.last_ns) == (2, 3, 1_735_689_600_000_000_000)
    assert facts(tmp_path / "out.ticks")[:2] == expected("trades", "ms")


def test_crossed_quotes_are_kept_and_progress_is_told(tmp_path: Path) -> None:
    text = f"1,10,1,9,1,{START_MS},{START_MS}\n2,8,1,9,1,{START_MS},{START_MS}\n"
    seen: list[tuple[int, int]] = []
    source = dump(tmp_path, "BTCUSDT-bookTicker-2024-08-08.zip", text)
    report = import_ticks(source, tmp_path / "out.ticks", progress=lambda *step: seen.append(step))
    assert (report.count, report.crossed) == (2, 1)
    assert seen == sorted(seen)
    assert seen[-1] == (source.stat().st_size, source.stat().st_size)


def test_a_file_larger_than_a_block_comes_whole(tmp_path: Path) -> None:
    rows = "\n".join(f"{i},6{i % 9_000:04}.25,0.{i % 900 + 100},1,1,{START_MS + i},true,true" for i in range(150_000))
    source = dump(tmp_path, "BTCUSDT-aggTrades-2024-08.csv", rows)
    assert source.stat().st_size > BLOCK_BYTES
    report = import_ticks(source, tmp_path / "out.ticks")
    ticks = TickArray.open(tmp_path / "out.ticks").numpy()
    assert report.count == 150_000
    assert ticks["sequence"].tolist() == list(range(150_000))
    assert ticks["ts_event"][-1] == (START_MS + 149_999) * 1_000_000


@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_two_layouts_share_a_shape(layout: str) -> None:
    for spot in (True, False):
        for row in body(layout, header=False, spot=spot).split():
            assert layout_of(row.split(","), None, "x")[0] is LAYOUTS[layout]


def test_layouts_have_near_misses() -> None:
    assert layout_named("bookticker") == "bookTicker"
    with pytest.raises(ImportFormatError) as caught:
        layout_named("aggtrade")
    assert caught.value.message == (
        "there is no layout 'aggtrade' of Binance dumps; there are aggTrades, trades, bookTicker"
    )
    assert caught.value.hint == "did you mean 'aggTrades'?"
