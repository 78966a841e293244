"""Machine code is kept between processes, never beyond a change, and its loss costs nothing but time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("numba")
pytestmark = pytest.mark.slow

PROGRAM = """
import json
import numba
import numpy as np
import tickrail
from tickrail import Strategy

FACTOR = {factor}

@numba.njit
def scaled(x):
    return x * FACTOR

class Sums(Strategy):
    state_dtype = np.dtype([("sum", "f8")])

    @staticmethod
    def on_quote(tick, state, out):
        state.sum += scaled(1.0)

strategy = Sums()
result = tickrail.backtest(strategy, tickrail.data.generate_ticks(100, seed=1))
print(json.dumps([result.ok, result.stats["compiled"]["Sums"]["cached"], float(strategy.snapshot()["sum"])]))
"""


def run(folder: Path, factor: float, **environ: str) -> Any:
    program = folder / "program.py"
    program.write_text(PROGRAM.format(factor=factor))
    done = subprocess.run(
        [sys.executable, str(program)],
        env={**os.environ, "TICKRAIL_CACHE_DIR": str(folder / "cache"), **environ},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_kept_until_something_changes(tmp_path: Path) -> None:
    assert run(tmp_path, 2.0) == [True, False, 200.0]
    assert run(tmp_path, 2.0) == [True, True, 200.0]
    assert run(tmp_path, 3.0) == [True, False, 300.0], "the constant is in another function"
    assert run(tmp_path, 2.0) == [True, True, 200.0]


def test_damage_and_a_folder_that_cannot_be_had_cost_time_only(tmp_path: Path) -> None:
    run(tmp_path, 2.0)
    kept = list((tmp_path / "cache").rglob("*.nb?"))
    assert kept, "machine code lies there"
    for path in kept:
        path.write_bytes(b"nonsense")
    assert run(tmp_path, 2.0) == [True, False, 200.0]
    (tmp_path / "file").write_text("")
    assert run(tmp_path, 2.0, TICKRAIL_CACHE_DIR=str(tmp_path / "file")) == [True, False, 200.0]
