"""Fails where statements or branches of the measured rooms fall below what is promised; the report has both in one.

``python .ci/coverage_rooms.py REPORT.json PERCENT``: the report is that of ``coverage json``.
"""

import json
import sys
from pathlib import Path


def shortfalls(totals: dict[str, float], least: float) -> list[str]:
    """What is below, in words."""
    measured = {"statements": totals["percent_statements_covered"], "branches": totals["percent_branches_covered"]}
    return [f"{name}: {share:.2f} % covered, promised {least:g} %" for name, share in measured.items() if share < least]


if __name__ == "__main__":
    found = shortfalls(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["totals"], float(sys.argv[2]))
    sys.exit("\n".join(found) if found else 0)
