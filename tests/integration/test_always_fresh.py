"""The suite passes with a new object for every tick, too: nothing relies on objects that are used again."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

TESTS: Final = Path(__file__).resolve().parents[1]
#: How a file shows that it takes ticks: a handler, a generator, a pulled run.
TAKES_TICKS: Final = re.compile(r"def (on_(tick|quote|trade|bar|batch)|ticks)\(|open_(run|live)\(")
#: And that it looks at them as objects, which is where one that is used again could show: it keeps, compares or passes
#: on the tick itself. What only counts ticks or reads their fields cannot tell, and there are a thousand such tests.
AS_OBJECTS: Final = re.compile(
    r"append\(\(?tick\b|\(tick\)|= tick$|\btick is |for tick in|always_fresh|id\(tick|refcount|Keeper", re.MULTILINE
)
#: These start processes of their own, which have no such switch, build something for minutes, or only count ticks.
ELSEWHERE: Final = (
    "test_always_fresh.py",
    "test_bootstrap_module.py",
    "test_cli_project.py",
    "test_command_soak.py",
    "test_compiled_bootstrap.py",
    "test_compiled_cache.py",
    "test_config_faults.py",
    "test_control.py",
    "test_environments.py",
    "test_golden_faults.py",
    "test_installed_adapters.py",
    "test_kill_restart.py",
    "test_live_soak.py",
    "test_probes.py",
    "test_process_faults.py",
    "test_report_in_browser.py",
    "test_script_faults.py",
    "test_shutdown.py",
    "test_start_faults.py",
    "test_start_loads.py",
    "test_strategy_typing.py",
    "test_stuck_handlers.py",
    "test_suspend.py",
    "test_top.py",
    "test_wheel.py",
)


def files_with_ticks() -> list[str]:
    """Every test file in which ticks are handed out and looked at as objects."""
    paths = sorted(path for path in TESTS.rglob("test_*.py") if path.name not in ELSEWHERE)
    texts = {path: path.read_text() for path in paths}
    found = [path for path, text in texts.items() if TAKES_TICKS.search(text) and AS_OBJECTS.search(text)]
    return [str(path.relative_to(TESTS.parent)) for path in found]


def test_files_that_hand_out_ticks_are_found() -> None:
    found = {Path(name).name for name in files_with_ticks()}
    assert found > {
        "test_dispatcher.py",
        "test_tick.py",
        "test_faces.py",
        "test_live_run.py",
        "test_compiled_faults.py",
    }


@pytest.mark.slow
@pytest.mark.timeout(1_500)
def test_what_handles_ticks_passes_with_fresh_objects() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "-m", "not slow", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "--always-fresh", *files_with_ticks()],
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=1_440,
    )
    assert done.returncode == 0, done.stdout[-4_000:] + done.stderr
    assert "passed" in done.stdout
