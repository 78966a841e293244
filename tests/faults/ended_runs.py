"""Processes that have come to their end, and what is held of each: exit code, words, report, time, and what is left.

``UPDATE_GOLDEN=1 pytest tests/faults -k "shutdown or process or stuck"`` writes golden files anew; read the difference.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LONG_S = 60.0
SLACK_S = 10.0
"""A process on a busy machine takes seconds to be put up and torn down; what it did itself stands in its report."""
GOLDEN = Path(__file__).parent / "golden"
MARKS = frozenset({"log", "times", "go", "imported", "starting", "running", "stopping", "closed", "ready", "left.json"})
"""What strategies and drivers of these tests write themselves."""

LOADED = """
import asyncio as _asyncio
import gc as _gc
import json as _json
import os as _os
import threading as _threading
import time as _time
from concurrent.futures import Future as _Future

from tickrail.orchestration.bus.receipt import Receipt as _Receipt
"""
LEFT = """

def _places():
    for one in _os.listdir("/proc/self/fd"):
        try:
            yield _os.readlink(f"/proc/self/fd/{one}")
        except OSError:
            pass


def _native():
    names = []
    for one in _os.listdir("/proc/self/task"):
        try:
            names.append(open(f"/proc/self/task/{one}/comm").read().strip())
        except OSError:
            pass  # it has ended meanwhile
    return [name for name in names if name.startswith("tickrail")]


def _others():
    return [one.name for one in _threading.enumerate() if one is not _threading.main_thread()]


_gc.collect()
_awaited = (_Receipt, _Future, _asyncio.Future)
_waiting = [one for one in _gc.get_objects() if isinstance(one, _awaited) and not one.done()]
# The thread that watches handlers stays for a moment, for the next run; one that had an answer has to note it.
_patience = _time.monotonic() + 5.0
while (_native() or _others()) and _time.monotonic() < _patience:
    _time.sleep(0.01)
_left = {
    "threads": _others(),
    "native": _native(),
    "files": sorted(_places()),
    "futures": [repr(one) for one in _waiting],
}
with open("left.json", "w") as _file:
    _json.dump(_left, _file)
"""
"""Notes in ``left.json`` what there still is in the process; ``LOADED`` is what it needs."""

DRIVER = (
    """
import os
import sys
from tickrail.cli import main

exec(os.environ.get("FIRST", ""))
code = 0
try:
    main(prog_name="tickrail")
except SystemExit as left:
    code = left.code or 0
"""
    + LOADED
    + LEFT
    + """
sys.exit(code)
"""
)
"""The command line, in a process that notes what it leaves; does before what ``FIRST`` says."""


@dataclass(frozen=True)
class Ended:
    """A process that has ended.

    Attributes:
        project: The folder in which it ran.
        code: Its exit code.
        out: What it printed as JSON.
        err: What it said on stderr.
        took_s: How long it took, from its start or from whatever was to end it.
        before: The files of the folder before it began.
    """

    project: Path
    code: int
    out: dict[str, Any]
    err: str
    took_s: float
    before: frozenset[Path] = field(default_factory=frozenset)

    def held(self, name: str, *, within_s: float, by_force: bool = False) -> Ended:
        """Assert that it went as its golden file says, in time, and that nothing is left in it.

        ``by_force``: it did not end by itself, and so told nobody what was left; its files still are looked at.
        """
        assert self.took_s < within_s + SLACK_S, f"{self.took_s:.1f} s"
        assert self.out.get("shutdown", {}).get("took_s", 0.0) < within_s, "what it measured itself needs no slack"
        assert (self.project / "left.json").exists() != by_force, self.err
        if not by_force:
            assert_nothing_left(self.project)
        compare(name, self.told())
        return self

    def told(self) -> str:
        """How it ended, without what differs from run to run."""
        lines = [f"exit code {self.code}"]
        if "status" in self.out:
            lines.append(f"run {self.out['status']}: {self.out['stop_reason'] or '-'}")
            for one in self.out["strategies"]:
                lines.append(f"  {one['name']} {one['state']}" + (f": {one['error']}" if one["error"] else ""))
        if (report := self.out.get("shutdown")) is not None:
            lines += [f"cause: {report['cause']}"] if "cause" in report else []
            signals = report.get("signals")
            if signals is not None:  # two at one moment come in any order
                signals = [*signals[:1], *sorted(signals[1:])]
            lines.append(f"shutdown {report['outcome']}, signals {'-' if signals is None else signals}")
            steps = (step["name"] + (" (late)" if step.get("late") else "") for step in report["steps"])
            lines.append(f"  done: {', '.join(steps)}")
            lines.append(f"  abandoned: {'; '.join(report['abandoned']) or '-'}")
            lines += [
                f"  {name}: {one['open_orders']} open orders, positions {one['positions']}"
                for name, one in report.get("standing", {}).items()
            ]
        said = [f"  {line}" for line in without_stacks(self.err).splitlines() if line]
        lines += ["stderr:", *said] if said else []
        # Sorted by what is shown: some names are drawn.
        files = sorted(shown(name, self.project) for name in self.files())
        lines.append(f"files: {', '.join(files) or '-'}")
        return shown("\n".join(lines) + "\n", self.project)

    def files(self) -> list[str]:
        """What it has left in its folder; a folder of results counts as one."""
        here = {path for path in files(self.project) - self.before if "__pycache__" not in path.parts}
        folders = {path.parent for path in here if path.name == "result.json"}
        rest = {path for path in here if not folders & set(path.parents) and not MARKS & set(path.parts)}
        # The mark of a run that died is where its socket is: see ``orchestration/run_mark.py``.
        rest = {path for path in rest if path.with_name(path.name.replace(".run.json", ".sock")) not in rest - {path}}
        found = folders | {path for path in rest if not path.is_dir()}
        return sorted(str(path.relative_to(self.project)) for path in found)


def ended(
    process: subprocess.Popen[str],
    project: Path,
    *,
    since: float,
    before: frozenset[Path] = frozenset(),
    said: str | None = None,
) -> Ended:
    """Wait for the end of ``process``."""
    try:
        out, err = process.communicate(said, timeout=LONG_S)
    finally:
        process.kill()
        process.wait()
    took_s = time.monotonic() - since
    _, found, rest = (out or "").partition("{")  # a debugger speaks first
    return Ended(project, process.returncode, json.loads(found + rest) if found else {}, err or "", took_s, before)


def files(folder: Path) -> frozenset[Path]:
    """All that is in a folder."""
    return frozenset(folder.rglob("*"))


def assert_nothing_left(project: Path) -> None:
    """No thread, no file, no socket, no Future was left in the process that ran in ``project``."""
    left = json.loads((project / "left.json").read_text())
    assert (left["threads"], left["native"], left["futures"]) == ([], [], []), left
    mine = [name for name in left["files"] if str(project) in name or "socket" in name]
    assert mine == [], left
    assert not list(project.glob("runs/control/*.sock"))


STACKS = re.compile(
    r"^(?:Fatal Python error.*\n\n?)?"
    r"(?:(?:Current thread|Thread) 0x[0-9a-f]+.*\n(?:  File .*\n|  <.*\n|  \.\.\.\n)*\n?)+"
    r"(?:\n?Extension modules:.*\n)?",
    re.MULTILINE,
)


BACKTRACE = re.compile(r"^stack backtrace:\n(?:^ +.*\n)*", re.MULTILINE)
STACK = re.compile(r"(?:^ *File \".*\n(?:^ {4}.*\n)*)+", re.MULTILINE)


def without_stacks(said: str) -> str:
    """What was said, with ``STACKS`` for those of all threads, ``STACK`` for one of Python, and none of Rust."""
    said = re.sub(r"^note: .*\n", "", BACKTRACE.sub("", said), flags=re.MULTILINE)
    said = re.sub(r"^thread '.*' \(\d+\) panicked at .*", "thread panicked at PLACE:", said, flags=re.MULTILINE)
    return STACK.sub("STACK\n", STACKS.sub("STACKS\n", said))


def shown(said: str, project: Path) -> str:
    """What was said, without what differs from run to run and from machine to machine."""
    said = said.replace(f"{project}/", "").replace(str(project), "PROJECT").replace(os.uname().nodename, "HOST")
    said = re.sub(r"\b(\w+)-\d{8}T\d{6}Z-[0-9a-f]{8}", r"\1-RESULT", said)
    said = re.sub(r"http://127\.0\.0\.1:\d+", "http://HERE", said)
    said = re.sub(r"/\.[\w.]+\.\w{8}\.tmp\b", "/.NAME.tmp", said)
    said = re.sub(r"-\d{8}T\d{6}Z-\d+\b", "-TIME-PID", said)
    said = re.sub(r"\b(process |live-|paper-|idle-|backtest-)\d+", r"\1PID", said)
    return re.sub(r"\b\d+\.\d+ s\b", "TIME", said)


def compare(name: str, said: str) -> None:
    """Assert that this is what the golden file ``name`` says."""
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(said)
    assert said == golden.read_text()
