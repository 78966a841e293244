"""read_ticks takes whatever holds ticks; the data command makes and shows files."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from click.testing import CliRunner

from tickrail.cli.data import data
from tickrail.data.generator import generate_file, generate_ticks
from tickrail.data.reading import read_ticks
from tickrail.errors import ImportFormatError


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ticks") / "a.ticks"
    generate_file(path, 10_000, seed=1)
    return path


def test_files_and_their_ends(path: Path) -> None:
    ticks = read_ticks(path)
    assert len(ticks) == len(read_ticks(str(path))) == 10_000
    times = ticks.numpy()["ts_event"]
    middle = int(times[5_000])
    assert len(read_ticks(path, start=middle)) == (times >= middle).sum()
    assert len(read_ticks(path, end=middle)) == (times < middle).sum()
    second = datetime(2024, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert len(read_ticks(path, second)) == len(read_ticks(path, "2024-01-01T00:00:01Z")) < 10_000
    assert len(read_ticks(ticks, end="2024-01-01")) == 0


def test_arrays_and_npy(path: Path, tmp_path: Path) -> None:
    ticks = read_ticks(path)
    np.save(tmp_path / "a.npy", ticks.numpy())
    again = read_ticks(tmp_path / "a.npy", instruments=["EURUSD.SIM"])
    assert again.fingerprint == ticks.fingerprint
    assert read_ticks(ticks.numpy(), instrument="EURUSD.SIM").fingerprint == ticks.fingerprint
    with pytest.raises(ImportFormatError, match="instruments"):
        read_ticks(ticks.numpy())


@pytest.mark.parametrize("library", ["pyarrow", "polars", "pandas", "reader"])
def test_arrow_objects_by_their_columns(path: Path, library: str) -> None:
    ticks = read_ticks(path)
    table: pa.Table = ticks.to_arrow()
    source = {
        "pyarrow": lambda: table,
        "polars": lambda: pl.from_arrow(table),
        "pandas": lambda: table.to_pandas(),
        "reader": lambda: table.to_reader(),
    }[library]()
    assert read_ticks(source).fingerprint == ticks.fingerprint


def test_frames_of_other_layouts() -> None:
    frame = pd.DataFrame(
        {"timestamp": pd.to_datetime(["2024-01-01", "2024-01-02"]), "open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5}
    )
    bars = read_ticks(frame, instrument="AAPL.XNAS")
    assert [bar.kind for bar in bars] == ["BAR", "BAR"]
    trades = read_ticks(
        pl.DataFrame({"when": [1, 2], "px": [1.0, 2.0], "symbol": ["A", "B"]}),
        columns={"ts_event": "when", "price": "px"},
        time_unit="s",
        default_venue="X",
    )
    assert [str(trade.instrument) for trade in trades] == ["A.X", "B.X"]
    with pytest.raises(ImportFormatError, match="the columns when, px make no trade: nothing is known as ts_event"):
        read_ticks(pl.DataFrame({"when": [1], "px": [1.0]}))


@pytest.mark.parametrize("source", [5, None, {"a": 1}, object()])
def test_other_sources(source: object) -> None:
    with pytest.raises(TypeError, match="ticks come from"):
        read_ticks(source)


def test_missing_file() -> None:
    with pytest.raises(FileNotFoundError):
        read_ticks("no/such.ticks")


def test_command_generates_and_shows(tmp_path: Path) -> None:
    run = CliRunner().invoke
    out = str(tmp_path / "b.ticks")
    args = ["generate", out, "--ticks", "1000", "--seed", "7", "--instrument", "A.X", "--instrument", "B.X"]
    made = run(data, args, catch_exceptions=False)
    assert made.exit_code == 0 and "1,000 ticks of A.X, B.X, seed 7" in made.output
    again = run(data, args)
    assert again.exit_code == 2 and "--force" in again.output
    assert run(data, [*args, "--force", "--json"], catch_exceptions=False).exit_code == 0
    shown = run(data, ["info", out, "--verify", "--json"], catch_exceptions=False)
    facts = json.loads(shown.output)
    assert (
        facts["count"] == 1000 and facts["verified"] and [row["id"] for row in facts["instruments"]] == ["A.X", "B.X"]
    )
    expected = generate_ticks(1000, 7, instruments=["A.X", "B.X"])
    assert facts["checksum"] == expected.fingerprint.hex()
    plain = run(data, ["info", out], catch_exceptions=False).output
    assert "1,000" in plain and "2024-01-01T00:00:0" in plain
    lines = run(data, ["head", out, "-n", "3", "--json"], catch_exceptions=False).output.splitlines()
    assert [json.loads(line)["bid"] for line in lines] == [tick.bid for tick in expected[:3]]
    assert len(run(data, ["head", out], catch_exceptions=False).output.splitlines()) == 10


@pytest.mark.parametrize(
    "extra", [["--ticks", "-1"], ["--ticks", "5", "--start", "soon"], ["--ticks", "5", "--seed", "-1"]]
)
def test_command_refuses_nonsense(tmp_path: Path, extra: list[str]) -> None:
    result = CliRunner().invoke(data, ["generate", str(tmp_path / "c.ticks"), *extra])
    assert result.exit_code == 2
    assert list(tmp_path.iterdir()) == []
