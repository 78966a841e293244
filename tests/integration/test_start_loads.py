"""What the start of a run loads, and what it leaves for later: numpy and results are a third of the way to a tick."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

from tickrail.data import generate_file

LATE = ("numpy", "pyarrow", "dishka", "rich", "asyncio", "difflib", "argparse", "tickrail.report.result")
WATCHES = """
    import json, sys
    from pathlib import Path
    from tickrail import Strategy

    class Watches(Strategy):
        def on_start(self):
            self.seen = 0

        def on_quote(self, tick):
            self.seen += 1
            if self.seen == 1:
                Path("loaded.json").write_text(json.dumps(list(sys.modules)))

    class Batches(Strategy):
        def on_start(self):
            Path("loaded.json").write_text(json.dumps(list(sys.modules)))

        def on_batch(self, batch): ...

"""


def loaded_at_the_first_tick(folder: Path, cls: str, feed: str = "") -> set[str]:
    """Names of the modules in a process of ``tickrail run`` then, or once the strategy is started."""
    (folder / "config" / "live").mkdir(parents=True)
    (folder / "config" / "live" / "a.toml").write_text(
        f'[feeds.demo]\npath = "demo.ticks"\n{feed}\n[venues.SIM]\n[strategies.s]\nclass = "watches:{cls}"\n'
    )
    (folder / "watches.py").write_text(dedent(WATCHES))
    generate_file(folder / "demo.ticks", 10, seed=1)
    subprocess.run(
        [sys.executable, "-m", "tickrail", "run", "--env", "live"],
        cwd=folder,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        check=True,
        timeout=60,
    )
    return set(json.loads((folder / "loaded.json").read_text()))


def test_a_simulation_loads_arrays_and_results_once_it_is_over(tmp_path: Path) -> None:
    loaded = loaded_at_the_first_tick(tmp_path, "Watches")
    assert "tickrail.orchestration.tick_dispatcher" in loaded
    assert [name for name in LATE if name in loaded] == []


def test_a_live_loop_stands_still_for_no_import(tmp_path: Path) -> None:
    loaded = loaded_at_the_first_tick(tmp_path, "Watches", feed='speed = "max"')
    assert {"numpy", "tickrail.report.result", "tickrail.report.stats", "tickrail.report.shutdown"} <= loaded


def test_who_is_handed_arrays_has_them_before_the_first(tmp_path: Path) -> None:
    assert {"numpy", "tickrail.domain.ticks"} <= loaded_at_the_first_tick(tmp_path, "Batches")
