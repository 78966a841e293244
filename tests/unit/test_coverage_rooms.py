"""The check behind ``make coverage``: each room, and statements and branches, each by itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

CHECK = Path(__file__).parents[2] / ".ci" / "coverage_rooms.py"


def summary(lines: int, branches: int, of: int = 1_000) -> dict[str, dict[str, int]]:
    covered = {"covered_lines": lines, "num_statements": of, "covered_branches": branches, "num_branches": of}
    return {"summary": covered}


@pytest.mark.parametrize(
    ("config", "orchestration", "said"),
    [
        (summary(950, 950), summary(950, 950), ""),
        (summary(990, 949), summary(950, 950), "config: branches: 94.90 % covered, promised 95 %\n"),
        (summary(1_000, 1_000), summary(940, 960), "orchestration: statements: 94.00 % covered, promised 95 %\n"),
        (
            summary(0, 0, of=0),
            summary(950, 950),
            "config: statements: 0.00 % covered, promised 95 %\nconfig: branches: 0.00 % covered, promised 95 %\n",
        ),
    ],
    ids=["enough", "branches", "another room", "nothing measured"],
)
def test_nothing_makes_up_for_something_else(
    tmp_path: Path, config: dict[str, object], orchestration: dict[str, object], said: str
) -> None:
    report = tmp_path / "report.json"
    files = {"python/tickrail/config/a.py": config, "python/tickrail/orchestration/bus/b.py": orchestration}
    report.write_text(json.dumps({"files": files}))
    done = subprocess.run(
        [sys.executable, CHECK, report, "95"], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stderr, done.returncode) == (said, 1 if said else 0)
