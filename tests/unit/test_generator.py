"""The generator: the same ticks for the same seed, whatever the process and the chunk."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tickrail._native import TickArray
from tickrail.data.generator import generate_file, generate_ticks, iter_ticks
from tickrail.domain.ticks import QUOTE_DTYPE


def test_seed_decides_and_chunks_do_not() -> None:
    whole = generate_ticks(5_000, seed=3, instruments=["A.X", "B.X"])
    for chunk in (1, 777, 5_000, 10_000):
        if chunk == 1:
            parts = [part.numpy() for part in iter_ticks(100, 3, instruments=["A.X", "B.X"], chunk=1)]
            assert np.concatenate(parts).tobytes() == whole[:100].numpy().tobytes()
            continue
        parts = [part.numpy() for part in iter_ticks(5_000, 3, instruments=["A.X", "B.X"], chunk=chunk)]
        assert np.concatenate(parts).tobytes() == whole.numpy().tobytes()
    assert generate_ticks(5_000, seed=4, instruments=["A.X", "B.X"]).fingerprint != whole.fingerprint


def test_the_same_in_another_process() -> None:
    code = "from tickrail.data.generator import generate_ticks; print(generate_ticks(1000, 9).fingerprint.hex())"
    found = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout.strip()
        for seed in ("0", "1")
    }
    assert found == {generate_ticks(1000, 9).fingerprint.hex()}


def test_files_equal_arrays(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    report = generate_file(tmp_path / "a.ticks", 300_000, 5, progress=lambda done, total: calls.append((done, total)))
    ticks = TickArray.open(tmp_path / "a.ticks")
    assert ticks.fingerprint == generate_ticks(300_000, 5).fingerprint
    assert report["count"] == 300_000 and report["crossed"] == 0
    assert calls == [(262_144, 300_000), (300_000, 300_000)]


def test_ticks_look_like_a_market() -> None:
    ticks = generate_ticks(100_000, 1, instruments=["A.X", {"id": "B.X", "price_increment": 0.01}], start="2024-01-01")
    records = ticks.numpy().view(QUOTE_DTYPE)
    assert (records["bid"] < records["ask"]).all() and (np.diff(records["ts_event"]) >= 0).all()
    assert abs(np.diff(records["ts_event"]).mean() / 1e6 - 1) < 0.02
    assert set(np.unique(records["instrument"])) == {0, 1}
    steps = records["bid"][records["instrument"] == 1] * 100
    assert np.abs(steps - np.round(steps)).max() < 1e-6
    assert records["ts_event"][0] >= 1_704_067_200_000_000_000


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"instruments": []}, ValueError),
        ({"instruments": [{"id": "A.X", "price_increment": 0.25}]}, ValueError),
        ({"start": "1969-01-01"}, ValueError),
        ({"mean_interval_ns": 0}, ValueError),
        ({"start": 2**63 - 5}, OverflowError),
        ({"count": -1}, ValueError),
    ],
)
def test_impossible_wishes(options: dict, error: type[Exception]) -> None:
    with pytest.raises(error):
        generate_ticks(**({"count": 10} | options))
