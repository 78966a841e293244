"""Fails where statements or branches of a measured room fall below what is promised: no room makes up for another.

``python .ci/coverage_rooms.py REPORT.json PERCENT``: the report is that of ``coverage json``.
"""

import json
import sys
from pathlib import Path
from typing import Any

ROOMS = ("config", "orchestration")
MEASURED = {"statements": ("covered_lines", "num_statements"), "branches": ("covered_branches", "num_branches")}


def shortfalls(files: dict[str, Any], least: float) -> list[str]:
    """What is below, in words; a room of which there is no file at all is."""
    found = []
    for room in ROOMS:
        summaries = [report["summary"] for file, report in files.items() if f"tickrail/{room}/" in file]
        for what, (covered, number) in MEASURED.items():
            whole = sum(one[number] for one in summaries)
            share = 100 * sum(one[covered] for one in summaries) / whole if whole else 0.0
            if share < least:
                found.append(f"{room}: {what}: {share:.2f} % covered, promised {least:g} %")
    return found


if __name__ == "__main__":
    found = shortfalls(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["files"], float(sys.argv[2]))
    sys.exit("\n".join(found) if found else 0)
