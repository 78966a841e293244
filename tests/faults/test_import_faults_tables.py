"""Tables as spreadsheets and other programs leave them: read for what they are, or refused in words that help."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from typing import Any

import click.testing
import pandas as pd
import pytest

import tickrail
from tickrail.cli import main
from tickrail.data.importing import import_ticks
from tickrail.errors import BadRecord, ImportFormatError

QUOTES = "timestamp,bid,ask\n1700000000,1.0,1.5\n1700000001,2.0,2.5\n"
DAY_NS = 86_400_000_000_000


def imported(folder: Path, body: str | bytes, name: str = "source.csv", **options: Any) -> tickrail.TickArray:
    source = folder / name
    source.write_bytes(body.encode() if isinstance(body, str) else body)
    import_ticks(source, folder / "out.ticks", **({"instrument": "A.B"} | options))
    return tickrail.TickArray.open(folder / "out.ticks")


def refused(folder: Path, body: str | bytes, name: str = "source.csv", **options: Any) -> ImportFormatError:
    with pytest.raises(ImportFormatError) as caught:
        imported(folder, body, name, **options)
    assert sorted(path.name for path in folder.iterdir()) == [name], "nothing was written"
    return caught.value


@pytest.mark.parametrize("date", ["20240102", "45293", "45293.375", "5"])
def test_a_number_that_is_no_time_of_our_days_is_not_taken_for_one(tmp_path: Path, date: str) -> None:
    error = refused(tmp_path, f"date,open,high,low,close\n{date},1,2,0.5,1.5\n")
    assert f"{date.partition('.')[0]} is no time since 1970 in s, ms, us or ns" in error.message
    assert "--time-unit" in str(error.hint)
    assert imported(tmp_path, f"date,open,high,low,close\n{date},1,2,0.5,1.5\n", time_unit="s")[0].open == 1.0


@pytest.mark.parametrize(
    ("text", "since_midnight_ns"),
    [
        ("2024-01-02", 0),
        ("2024/01/02", 0),
        ("2024-01-02 09:30-05", (14 * 60 + 30) * 60_000_000_000),
        ("2024-01-02t09:30:00z", (9 * 60 + 30) * 60_000_000_000),
        ("2024-01-02 09:30", (9 * 60 + 30) * 60_000_000_000),
    ],
)
def test_dates_alone_and_zones_are_told_apart(tmp_path: Path, text: str, since_midnight_ns: int) -> None:
    (bar,) = imported(tmp_path, f"Date,Open,High,Low,Close\n{text},1,2,0.5,1.5\n", time_zone="UTC")
    assert bar.ts_event == 1_704_153_600 * 1_000_000_000 + since_midnight_ns


@pytest.mark.parametrize("header", [",timestamp,bid,ask", "timestamp,bid,ask,"])
def test_an_index_and_a_last_delimiter_are_columns_without_a_name(tmp_path: Path, header: str) -> None:
    row = "0,1700000000,1.0,1.5" if header.startswith(",") else "1700000000,1.0,1.5,"
    assert [tick.bid for tick in imported(tmp_path, f"{header}\n{row}\n")] == [1.0]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_as_they_like(tmp_path: Path, end: str) -> None:
    assert [tick.bid for tick in imported(tmp_path, QUOTES.replace("\n", end))] == [1.0, 2.0]


def test_utf16_is_named(tmp_path: Path) -> None:
    assert "UTF-16" in refused(tmp_path, QUOTES.encode("utf-16")).message


def test_na_and_null_are_tickers_and_an_empty_symbol_is_none(tmp_path: Path) -> None:
    body = "timestamp,symbol,bid,ask\n1700000000,NA,1.0,1.5\n1700000001,null,NA,2.5\n"
    with pytest.raises(BadRecord, match=r"row 3: nan|row 3: NaN"):
        imported(tmp_path, body, instrument=None, venue="X")
    good = body.replace(",NA,2.5", ",2.0,2.5")
    assert imported(tmp_path, good, instrument=None, venue="X").instruments == ("NA.X", "null.X")
    with pytest.raises(BadRecord, match=r"row 3: null \(no_instrument"):
        imported(tmp_path, good.replace("null", ""), "other.csv", instrument=None, venue="X", overwrite=True)


def test_a_word_that_is_no_side_is_no_number(tmp_path: Path) -> None:
    with pytest.raises(BadRecord, match=r"row 3: another word \(unknown_side"):
        imported(tmp_path, "timestamp,price,size,side\n1700000000,1,1,buy\n1700000001,1,1,hold\n")


def test_a_zip_with_a_password_is_named(tmp_path: Path) -> None:
    source = tmp_path / "source.csv.zip"
    with zipfile.ZipFile(source, "w") as archive:
        archive.writestr("a.csv", QUOTES)
    packed = bytearray(source.read_bytes())
    for mark, flags_at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # say in both headers that it is encrypted
        at = packed.index(mark) + flags_at
        packed[at : at + 2] = struct.pack("<H", 1)
    error = refused(tmp_path, bytes(packed), source.name)
    assert "a.csv cannot be unpacked" in error.message
    assert "password" in error.message


def test_a_number_with_a_huge_exponent_is_a_bad_value_and_no_panic(tmp_path: Path) -> None:
    error = refused(tmp_path, f"{QUOTES}1e2147483647,1,2\n")
    assert "source.csv:4: column 'timestamp': expected a time" in error.message


def test_records_that_are_all_bad_make_no_file(tmp_path: Path) -> None:
    error = refused(tmp_path, "timestamp,bid,ask\n1700000000,nan,1\n1700000001,1,inf\n", on_bad="skip")
    assert "no record is good: 2 price_not_finite" in error.message


def test_a_source_is_not_replaced_by_what_is_made_of_it(tmp_path: Path) -> None:
    source = tmp_path / "source.csv"
    source.write_text(QUOTES)
    with pytest.raises(ImportFormatError, match="is a source of the import"):
        import_ticks(source, tmp_path / "." / "source.csv", instrument="A.B", overwrite=True)
    assert source.read_text() == QUOTES


@pytest.mark.parametrize(
    "words",
    [
        ["import", "missing.csv", "-o", "new/x.ticks"],
        ["import", "source.csv", "-o", "new/x.ticks", "--format", "cvs"],
        ["generate", "new/sub/x.ticks", "--ticks", "5", "--instrument", "bad"],
    ],
)
def test_a_command_that_fails_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "source.csv").write_text(QUOTES)
    assert click.testing.CliRunner().invoke(main, ["data", *words]).exit_code in (1, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["source.csv"]


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (["--format", "cvs"], "did you mean 'csv'?"),
        (["--map", "bd=3"], "did you mean 'bid'?"),
        (["--tz", "Amerika/New_York"], "did you mean 'America/New_York'?"),
    ],
)
def test_what_is_wrong_with_an_option_is_a_mistake_of_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "source.csv").write_text(QUOTES)
    result = click.testing.CliRunner().invoke(main, ["data", "import", "source.csv", "-o", "x.ticks", *option])
    assert result.exit_code == 2
    assert said in result.output


def test_frames_are_read_alike_by_notebooks_and_imports(tmp_path: Path) -> None:
    times = pd.to_datetime(["2024-01-02", "2024-01-03"])
    prices = {"Open": 1.0, "High": 2.0, "Low": 0.5, "Close": 1.5}
    named = pd.DataFrame(prices, index=pd.DatetimeIndex(times, name="Date"))
    unnamed = pd.DataFrame(prices, index=times)
    columns = pd.DataFrame({"bidPrice": 1.0, "askPrice": 2.0, "Time": times})
    for frame in (named, unnamed, columns):
        read = tickrail.read_ticks(frame, instrument="A.B")
        import_ticks(frame, tmp_path / "frame.ticks", instrument="A.B", overwrite=True)
        assert list(read) == list(tickrail.TickArray.open(tmp_path / "frame.ticks"))
        assert len(read) == 2
    integers = columns.assign(Time=[1_700_000_000, 1_700_000_001])
    with pytest.raises(ImportFormatError) as caught:
        tickrail.read_ticks(integers, instrument="A.B")
    assert "time_unit=" in str(caught.value.hint)
    assert len(tickrail.read_ticks(integers, instrument="A.B", time_unit="s")) == 2
