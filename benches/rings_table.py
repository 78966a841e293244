"""Records between threads, by goal: ``python -m benches.rings_table [--json] [--quick] [--only WORD]``.

``make bench-rings``. The rows of the core are measured by its benchmark (``rust/core/benches/cross_thread``), those of
the Python face here. Where the host puts the two processors changes such figures threefold: each is taken between two
probes, and its row says where the processors were. Goals of what is mostly calls of Python grow with the time that an
empty one takes here and now; their ratio is to it.
"""

import argparse
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benches import rings_python

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Row:
    """One path, what it is measured by, and whether the goal is met."""

    path: str
    unit: str
    own: float
    by: float
    ratio: float
    goal: float
    less_is_better: bool
    met: bool
    #: Where the processors were: ``smt``, ``l3``, ``far``, or ``mixed`` where they moved.
    placement: str
    round_trip_ns: float
    rounds: int

    @property
    def verdict(self) -> str:
        """As it is printed; figures from processors that moved say nothing."""
        return "no verdict" if self.placement == "mixed" else "met" if self.met else "MISSED"

    @property
    def target(self) -> str:
        """The goal, as it is printed."""
        sign = "<=" if self.less_is_better else ">="
        return f"{sign} {self.goal / 1e6:g} M/s" if self.goal >= 1e6 else f"{sign} {self.goal:.4g}"

    @property
    def figure(self) -> str:
        """What was measured, as it is printed."""
        if self.unit.startswith("M "):
            return f"{self.own / 1e6:,.1f} {self.unit}"
        return f"{self.own:,.0f} {self.unit}" if self.own >= 100 else f"{self.own:,.1f} {self.unit}"


COMMAND = ("cargo", "bench", "--quiet", "--locked", "--package", "tickrail-core", "--bench", "cross_thread", "--")


def objects(*arguments: str) -> Iterator[dict[str, Any]]:
    """What the core's benchmark prints."""
    with subprocess.Popen([*COMMAND, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        yield from (json.loads(line) for line in running.stdout if line.startswith("{"))
    if running.returncode != 0:
        raise SystemExit(running.returncode)


def core_rows(options: argparse.Namespace) -> Iterator[Row]:
    """Those of the core's benchmark."""
    wanted = (["--quick"] if options.quick else []) + ([options.only] if options.only else [])
    yield from map(row_of, objects(*wanted))


def python_rows(options: argparse.Namespace) -> Iterator[Row]:
    """Those of the Python face, each between two probes."""
    before = next(objects("--probe"))
    for figure in rings_python.figures(quick=options.quick, wanted=lambda name: options.only in name):
        after = next(objects("--probe"))
        placement = after["class"] if before["class"] == after["class"] else "mixed"
        yield Row(
            path=figure.path,
            unit="ns",
            own=figure.own,
            by=figure.by,
            ratio=figure.by / figure.own if figure.by else figure.own / (figure.base or 1.0),
            goal=figure.limit,
            less_is_better=not figure.by,
            met=figure.by >= figure.goal * figure.own if figure.by else figure.own <= figure.limit,
            placement=placement,
            round_trip_ns=(before["round_trip_ns"] + after["round_trip_ns"]) / 2,
            rounds=figure.rounds,
        )
        before = after


def row_of(facts: dict[str, Any]) -> Row:
    """A row from the core's words for it."""
    return Row(placement=facts.pop("class"), **facts)


LINE = "| {:42} | {:>24} | {:>8} | {:>11} | {:10} | {:9} | {:>9} | {:>6} |"


def main(arguments: list[str] | None = None) -> int:
    """Print the table; the exit code is 1 where a goal was missed."""
    parser = argparse.ArgumentParser(prog="python -m benches.rings_table", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object a row")
    parser.add_argument("--quick", action="store_true", help="fewer rounds: a first look, not a figure to quote")
    parser.add_argument("--only", default="", metavar="WORD", help="rows whose name contains WORD")
    options = parser.parse_args(arguments)
    if not options.json:
        print(LINE.format("path", "figure", "ratio", "goal", "verdict", "placement", "probe, ns", "rounds"))
        print(LINE.format(*("---",) * 8))
    missed = False
    for row in itertools.chain(core_rows(options), python_rows(options)):
        missed |= row.verdict == "MISSED"
        ratio = f"{row.ratio:.2f}" if row.ratio != row.own else ""
        where = (row.placement, f"{row.round_trip_ns:.0f}", row.rounds)
        shown = (row.path, row.figure, ratio, row.target, row.verdict, *where)
        print(json.dumps(asdict(row)) if options.json else LINE.format(*shown), flush=True)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
