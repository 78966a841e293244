"""Results: summary, JSON, folder, HTML, equity."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tickrail.domain.positions import Position
from tickrail.report.result import Result, StrategyError, StrategyResult

FILLS = np.dtype([("strategy", "<u4"), ("instrument", "<u4"), ("ts_ns", "<i8"), ("fee", "<f8"), ("realised", "<f8")])


def make(**changes: Any) -> Result:
    position = Position("EURUSD.SIM", "USD", 1.0, 1.1, 12.5, float("nan"), 0.5, 3, float("nan"))
    error = StrategyError("bad<b>", "on_tick", "ValueError", "<script>", "Traceback ...", 7, 1_000)
    accounts = {"published": 10, "delivered": 10, "filtered": 0, "skipped": 0, "pending": 0}
    fills = np.array([(0, 0, 1, 0.1, 2.0), (0, 0, 2, 0.1, 5.0), (1, 0, 3, 0.0, 1.0)], FILLS)
    given: dict[str, Any] = {
        "status": "complete",
        "ticks": 1_000_000,
        "elapsed_s": 0.5,
        "digest": "ab" * 32,
        "strategies": (
            StrategyResult("ema-eurusd", "STOPPED", 10, 3, 3, (position,), accounts),
            StrategyResult("bad<b>", "FAILED", 1, 0, 0, (), accounts, error),
        ),
        "orders": np.zeros(3, [("order", "<u4")]),
        "fills": fills,
        "errors": (error,),
        "instruments": ("EURUSD.SIM",),
        "stats": {"ticks": 1_000_000},
        "configuration": {"runtime": {"seed": 1, "run_dir": Path("runs")}},
    }
    return Result(**{**given, **changes})


def test_the_summary_says_what_counts_within_100_columns() -> None:
    text = make().summary()
    assert max(map(len, text.splitlines())) <= 100
    for part in (
        "complete, 1 failed: 1,000,000 ticks in 0.50 s (2.00 M ticks/s)",
        "ema-eurusd",
        "12.0000 USD",
        "ab" * 32,
    ):
        assert part in text
    assert "error in bad<b>.on_tick at loop position 7:\n  ValueError: <script>" in text


def test_a_summary_of_long_names_and_many_currencies_stays_narrow() -> None:
    many = tuple(Position(f"A{n}.X", f"CU{n}", 0, 0, 1e9, 0, 1e9, 1, 1) for n in range(9))
    wide = StrategyResult("n" * 64, "INITIALISED", 10**12, 10**9, 10**9, many, {})
    assert max(map(len, make(strategies=(wide,)).summary().splitlines())) <= 100


def test_ok_asks_for_a_complete_run_without_errors() -> None:
    assert not make().ok
    assert make(errors=()).ok
    assert make(errors=(), status="stopped").ok
    assert not make(errors=(), status="interrupted").ok
    assert not make(errors=(), status="failed").ok


def test_json_has_no_nan() -> None:
    table = json.loads(json.dumps(make().to_dict(), allow_nan=False))
    first = table["strategies"][0]
    assert first["positions"][0]["unrealised"] is None
    assert first["pnl"] == {"USD": 12.0}
    assert table["strategies"][1]["error"] == "ValueError: <script>"
    assert (table["status"], table["ok"], table["fills"]) == ("complete", False, 3)


def test_equity_counts_each_strategy_and_instrument_by_itself() -> None:
    curve = make().equity["USD"]
    assert curve["ts_ns"].tolist() == [1, 2, 3]
    assert np.allclose(curve["net"], [1.9, 4.8, 5.8])
    assert make(fills=np.zeros(0, FILLS)).equity == {}


def test_the_folder_appears_whole(tmp_path: Path) -> None:
    folder = make().write(tmp_path / "deep" / "run")
    assert sorted(path.name for path in folder.iterdir()) == [
        "configuration.json",
        "fills.npy",
        "held.npy",
        "orders.npy",
        "record.json",
        "refusals.npy",
        "result.json",
        "summary.txt",
        "worth.npy",
    ]
    assert json.loads((folder / "configuration.json").read_text()) == {"runtime": {"seed": 1, "run_dir": "runs"}}
    assert np.array_equal(np.load(folder / "fills.npy"), make().fills)
    assert [path.name for path in folder.parent.iterdir()] == ["run"]


def test_an_empty_folder_is_used_and_a_filled_one_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    folder = make().write(tmp_path / "run")
    with pytest.raises(FileExistsError, match="not an empty folder"):
        make().write(folder)


def test_nothing_is_left_of_a_folder_that_failed(tmp_path: Path) -> None:
    broken = make(orders=np.array([object()]))
    with pytest.raises(ValueError, match="allow_pickle"):
        broken.write(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_html_is_escaped() -> None:
    text = make(fills=np.empty(0, FILLS))._repr_html_()
    assert "<script>" not in text
    assert "bad&lt;b&gt;" in text


def test_money() -> None:
    result = make()
    assert result.pnl == {"USD": 12.0}
    assert result.strategy("ema-eurusd").money["USD"].fees == 0.5
    assert math.isclose(result.ticks_per_s, 2e6)
    with pytest.raises(KeyError):
        result.strategy("none")
