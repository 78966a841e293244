"""The check behind ``make coverage``: statements and branches, each by itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

CHECK = Path(__file__).parents[2] / ".ci" / "coverage_rooms.py"


@pytest.mark.parametrize(
    ("statements", "branches", "said"),
    [
        (95.0, 95.0, ""),
        (99.0, 94.9, "branches: 94.90 % covered, promised 95 %\n"),
        (94.0, 96.0, "statements: 94.00 % covered, promised 95 %\n"),
    ],
)
def test_neither_makes_up_for_the_other(tmp_path: Path, statements: float, branches: float, said: str) -> None:
    report = tmp_path / "report.json"
    totals = {"percent_statements_covered": statements, "percent_branches_covered": branches}
    report.write_text(json.dumps({"totals": totals}))
    done = subprocess.run(
        [sys.executable, CHECK, report, "95"], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stderr, done.returncode) == (said, 1 if said else 0)
