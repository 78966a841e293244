"""The suite passes with a new object for every tick, too: nothing relies on objects that are used again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
WITH_TICKS = ("native", "property/test_dispatcher_model.py", "integration/test_forms.py", "integration/test_faces.py")


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_what_handles_ticks_passes_with_fresh_objects() -> None:
    chosen = [
        str(TESTS / name) for name in (*WITH_TICKS, "integration/test_bootstrap.py", "integration/test_documents.py")
    ]
    command = [sys.executable, "-m", "pytest", "-q", "-m", "not slow", "-p", "no:cacheprovider", "--always-fresh"]
    done = subprocess.run(
        [*command, *chosen], cwd=TESTS.parent, capture_output=True, text=True, check=False, timeout=380
    )
    assert done.returncode == 0, done.stdout[-4_000:] + done.stderr
    assert "passed" in done.stdout
