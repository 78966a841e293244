"""What is wrong with a source is said with file and line, and nothing is left behind."""

import gzip
import importlib
import io
import json
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tickrail.data.importing import import_ticks
from tickrail.errors import BadRecord, DataError, ImportFormatError

pytestmark = pytest.mark.slow  # processes and compilers: half a second each, and there are many

pa = pytest.importorskip("pyarrow")

GOOD = "1700000000,1,2\n"
PIP = "pip install 'tickrail[data]'"


def zipped(text: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("a.csv", text)
    return made.getvalue()


def command(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tickrail", "data", "import", *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def refused(folder: Path, name: str, body: bytes, **options: Any) -> ImportFormatError:
    source = folder / "source" / name
    source.parent.mkdir(exist_ok=True)
    source.write_bytes(body)
    with pytest.raises(ImportFormatError) as caught:
        import_ticks(source, folder / "out.ticks", **({"instrument": "A.B"} | options))
    assert sorted(path.name for path in folder.iterdir()) == ["source"]
    assert name in caught.value.message
    return caught.value


def test_a_row_with_too_few_columns_names_its_line(tmp_path: Path) -> None:
    body = "time,bid,ask\n" + GOOD * 4 + "1700000000,1\n" + GOOD
    assert (
        "source.csv:6: expected 3 columns, as in the first row; here are 2"
        in refused(tmp_path, "source.csv", body.encode()).message
    )


def test_a_value_that_is_no_number_names_line_and_column(tmp_path: Path) -> None:
    body = "time,bid,ask\n" + GOOD * 200 + "1700000000,x,1\n" + GOOD
    message = refused(tmp_path, "source.csv", body.encode()).message
    assert "source.csv:202: column 'bid'" in message
    assert "'x'" in message


def test_a_missing_column_has_a_near_miss(tmp_path: Path) -> None:
    error = refused(tmp_path, "source.csv", b"time,bit,ask\n1,1,1\n", columns={"bid": "bitt"})
    assert "no column 'bitt'" in error.message
    assert error.hint == "did you mean 'bit'?"
    error = refused(tmp_path, "source.csv", b"time,bids,ask\n1,1,1\n")
    assert "make no quote: nothing is known as bid" in error.message
    assert error.hint == "say which column it is: --map bid=bids (columns=)"


def test_a_name_that_no_record_has(tmp_path: Path) -> None:
    source = tmp_path / "a.csv"
    source.write_text("time,bid,ask\n" + GOOD)
    with pytest.raises(ImportFormatError, match="a record has no 'bids'") as caught:
        import_ticks(source, tmp_path / "o.ticks", columns={"bids": "bid"})
    assert caught.value.hint is not None


@pytest.mark.parametrize("name", ["empty.csv", "empty.parquet", "empty.npy", "20140501_quote.zip"])
def test_an_empty_file(tmp_path: Path, name: str) -> None:
    assert "is empty" in refused(tmp_path, name, b"").message


def test_a_file_of_a_header_only(tmp_path: Path) -> None:
    assert "holds no records" in refused(tmp_path, "source.csv", b"time,bid,ask\n").message


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "a.npy", "a.csv.gz", "20140501_quote.zip"])
def test_a_file_of_something_else(tmp_path: Path, name: str) -> None:
    refused(tmp_path, name, b"PK no such thing at all, but long enough to be read", time_zone="UTC")


def test_a_truncated_zip(tmp_path: Path) -> None:
    whole = tmp_path / "whole.zip"
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", "\n".join(f"{i},{i % 977},2000" for i in range(200_000)))
    body = whole.read_bytes()
    whole.unlink()
    message = refused(tmp_path, "20140501_quote.zip", body[: len(body) // 2], time_zone="UTC").message
    assert "no zip file, or a damaged one" in message
    flipped = bytearray(body)
    flipped[len(body) // 2] ^= 0xFF
    assert "damaged" in refused(tmp_path, "20140501_quote.zip", bytes(flipped), time_zone="UTC").message


def test_nothing_names_the_instrument(tmp_path: Path) -> None:
    error = refused(tmp_path, "source.csv", b"time,bid,ask\n" + GOOD.encode(), instrument=None)
    assert "--instrument" in (error.hint or "")


def test_an_unknown_format_and_file(tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_text("x")
    with pytest.raises(ImportFormatError, match="does not tell its format"):
        import_ticks(tmp_path / "a.xyz", tmp_path / "o.ticks")
    with pytest.raises(ImportFormatError, match="no format 'cvs'") as caught:
        import_ticks(tmp_path / "a.xyz", tmp_path / "o.ticks", format="cvs")
    assert caught.value.hint == "did you mean 'csv'?"
    with pytest.raises(FileNotFoundError):
        import_ticks(tmp_path / "absent.csv", tmp_path / "o.ticks")
    with pytest.raises(ImportFormatError, match="no file of a known format"):
        import_ticks(tmp_path, tmp_path / "o.ticks")


def test_files_that_overlap_in_time(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("time,bid,ask\n1700000000,1,2\n1700000009,1,2\n")
    with pytest.raises(BadRecord) as caught:
        import_ticks(sorted(tmp_path.glob("*.csv")), tmp_path / "o.ticks", instrument="A.B")
    assert "files of their own" in (caught.value.hint or "")
    assert not (tmp_path / "o.ticks").exists()


def test_text_is_read_without_the_extra(tmp_path: Path) -> None:
    """CSV in every form needs no package beyond tickrail's own; the others say what they need."""
    (tmp_path / "a.csv").write_text("time,bid,ask\n2024-07-01 09:00,1,2\n")
    (tmp_path / "20240701_quote.zip").write_bytes(zipped("1787,1.38727,1.38729\n"))
    (tmp_path / "BTCUSDT-trades-2024-07-01.csv").write_text("1,2.5,1,2.5,1719792000000,True,True\n")
    (tmp_path / "v_trades_2024-07-01_A.csv").write_text(
        "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\nv,A,1719792000000000,1719792000000001,1,buy,1,1\n"
    )
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('pyarrow', 'pandas', 'polars', 'msgspec')))\n"
        "from tickrail.data.importing import import_ticks\n"
        "from tickrail.errors import DataError\n"
        "for name in sys.argv[1:]:\n"
        "    try:\n"
        "        done = import_ticks(name, name + '.ticks', instrument='A.B', time_zone='America/New_York')\n"
        "        print(name, done.count)\n"
        "    except DataError as error: print(name, error.hint)\n"
    )
    names = sorted(path.name for path in tmp_path.iterdir())
    done = subprocess.run(
        [sys.executable, "-c", code, *names], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=100
    )
    assert done.stdout.splitlines() == [f"{name} {1 if 'parquet' not in name else PIP}" for name in names]


def test_damage_is_said_before_what_it_made_of_a_record(tmp_path: Path) -> None:
    body = bytearray(gzip.compress(b"time,bid,ask\n" + GOOD.encode() + b"1700000000,-1,2\n" + GOOD.encode()))
    body[-8] ^= 0xFF  # the checksum
    assert "damaged" in refused(tmp_path, "a.csv.gz", bytes(body)).message


def test_a_missing_package_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}", name="pyarrow")

    (tmp_path / "a.csv").write_text("time,bid,ask\n" + GOOD)
    monkeypatch.setattr(importlib, "import_module", absent)
    from tickrail.data.importers.extra import require

    with pytest.raises(DataError) as caught:
        require("pyarrow.csv")
    assert caught.value.hint == "pip install 'tickrail[data]'"


def test_the_command_refuses_an_existing_output(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("time,bid,ask\n" + GOOD)
    (tmp_path / "o.ticks").write_text("precious")
    done = command("a.csv", "-o", "o.ticks", "--instrument", "EURUSD.SIM", cwd=tmp_path)
    assert (done.returncode, (tmp_path / "o.ticks").read_text()) == (2, "precious")
    assert "--force" in done.stderr
    done = command("a.csv", "-o", "o.ticks", "--instrument", "EURUSD.SIM", "--force", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["count"] == 1


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("time,bid,ask\n1700000000,x,2\n")
    done = command("a.csv", "-o", "o.ticks", "--instrument", "EURUSD.SIM", cwd=tmp_path)
    assert done.returncode == 1
    assert "a.csv:2: column 'bid'" in done.stderr
    assert "Traceback" not in done.stderr
    for words in (("--map", "bid"), ("--bar-duration", "1x"), ("--on-bad", "ignore")):
        done = command("a.csv", "-o", "o.ticks", *words, cwd=tmp_path)
        assert done.returncode == 2, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv"]


def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    # Two hundred million rows, packed into little by repetition: the import would not end by itself within the test.
    part = gzip.compress(GOOD.encode() * 70_000)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"time,bid,ask\n") + part * 3_000)
    process = subprocess.Popen(
        [sys.executable, "-m", "tickrail", "data", "import", "a.csv.gz", "-o", "o.ticks", "--instrument", "A.B"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and len(list(tmp_path.iterdir())) < 2 and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "interrupted" in stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv.gz"]
