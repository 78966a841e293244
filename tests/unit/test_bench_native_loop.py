"""The base that delivery is measured against."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benches import delivery_table, native_loop
from tickrail.data import generate_ticks


def test_without_it_the_table_says_how_to_build_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(native_loop.load, "__defaults__", (tmp_path / "_bench_base.so",))
    assert delivery_table.main([]) == 2
    told = capsys.readouterr()
    assert (told.out, told.err) == (
        "",
        "error: _bench_base.so is not built; `make bench-delivery` builds it and prints the table\n",
    )


@pytest.mark.skipif(not native_loop.LIBRARY.exists(), reason="`make bench-delivery` was not run")
def test_it_hands_every_record_to_every_handler() -> None:
    ticks = generate_ticks(1_000, 7)
    seen: list[Any] = []
    other = SimpleNamespace(count=0)

    def count(tick: Any) -> None:
        other.count += 1

    loop = native_loop.load()
    records = np.ascontiguousarray(ticks.numpy()).view(np.uint8)
    assert loop(records, [lambda tick: seen.append((tick.ts_event, tick.bid, tick.ask_size)), count]) == 1_000
    rows = ticks.numpy()
    assert seen == list(zip(rows["ts_event"].tolist(), rows["value_0"].tolist(), rows["value_3"].tolist(), strict=True))
    assert other.count == 1_000
    with pytest.raises(ValueError, match="64-byte records"):
        loop(records[:-1], [count])
