"""The table of measured figures: ``python -m benches [--json] [--quick] [--only WORD]``."""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import tickrail
from benches import delivery, processes, wiring

MOST_IMPORT_MS = 60.0
LEAST_ROWS = {"csv": 3e6, "parquet": 10e6}
MOST_GROWTH_MB = 16.0  # the interpreter's own arenas and the result; ten times the ticks must not show in it
MOST_SLOWDOWN = 1.25  # "the same cost": what the ratio of two processes on a noisy machine cannot tell from 1


@dataclass(frozen=True)
class Row:
    """One line of the table, as text for a reader and with its figures for a program."""

    name: str
    figure: str
    ratio: str
    goal: str
    met: bool | None
    values: dict[str, float]

    @property
    def verdict(self) -> str:
        """As it is printed."""
        return {True: "met", False: "MISSED", None: ""}[self.met]


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    rounds: int
    share: float
    mapped: tuple[int, ...]
    rows: int


FULL = Effort(rounds=11, share=1.0, mapped=(1_000_000, 10_000_000, 100_000_000), rows=2_000_000)
QUICK = Effort(rounds=3, share=0.2, mapped=(1_000_000, 10_000_000), rows=300_000)


def delivery_row(case: delivery.Case, effort: Effort) -> Row:
    found = case.compare(rounds=effort.rounds, ticks=max(int(case.ticks * effort.share), 100_000))
    low, high = found.quartiles
    return Row(
        name=case.name,
        figure=f"{1e3 / found.case_ns:,.1f} M ticks/s",
        ratio=f"{found.ratio:.3f} ({low:.3f} to {high:.3f})",
        goal=str(case.goal),
        met=case.goal.verdict(found),
        values={
            "ns": found.case_ns,
            "yardstick_ns": found.yardstick_ns,
            "ratio": found.ratio,
            "ratio_low": low,
            "ratio_high": high,
        },
    )


def import_row(effort: Effort) -> Row:
    took = processes.import_ms(effort.rounds)
    return Row(
        "import tickrail", f"{took:.0f} ms", "", f"<= {MOST_IMPORT_MS:g} ms", took <= MOST_IMPORT_MS, {"ms": took}
    )


def start_up_row(effort: Effort) -> Row:
    took = processes.start_up_ms(effort.rounds)
    return Row("start-up, tickrail info", f"{took:.0f} ms", "", "", None, {"ms": took})


def wiring_row(name: str, effort: Effort) -> Row:
    found = wiring.row(name, effort.rounds)
    goal = f"<= {found.limit:.3g} {found.unit}"
    values = {"value": found.value, "call_ns": found.call_ns, "promised": found.promised}
    return Row(name, f"{found.value:.3g} {found.unit}", found.beside, goal, found.is_met, values)


def importer_row(kind: str, effort: Effort, folder: Path) -> Row:
    rate, most = processes.import_rows_per_second(kind, effort.rows, folder)
    least = LEAST_ROWS[kind]
    return Row(
        f"import {kind}",
        f"{rate / 1e6:.1f} M rows/s",
        f"{rate / most:.2f} of reading and writing",
        f">= {least / 1e6:g} M/s",
        rate >= least,
        {"rows_per_second": rate, "floor_rows_per_second": most},
    )


def mapped_rows(effort: Effort, folder: Path) -> Iterator[Row]:
    """The smallest file is the measure of the others; the better of two counts, as a file may be cold at first."""
    first = None
    for ticks in effort.mapped:
        found = min((processes.mapped(ticks, folder) for _ in range(2)), key=lambda figures: figures["ns"])
        first = first or found
        slowdown, grown = found["ns"] / first["ns"], found["grown_mb"]
        yield Row(
            f"mapped file, {ticks // 1_000_000} M ticks",
            f"{found['ns']:.0f} ns/tick, +{grown:.1f} MB",
            f"{slowdown:.2f} of the first",
            f"<= {MOST_SLOWDOWN:g}, +{MOST_GROWTH_MB:g} MB",
            slowdown <= MOST_SLOWDOWN and grown <= MOST_GROWTH_MB,
            {**found, "slowdown": slowdown},
        )
        (folder / f"{ticks}.ticks").unlink()


def rows(effort: Effort, folder: Path, wanted: Callable[[str], bool]) -> Iterator[Row]:
    """Every row whose name is wanted, measured when it is asked for."""
    for case in delivery.CASES:
        if wanted(case.name):
            yield delivery_row(case, effort)
    if wanted("import tickrail"):
        yield import_row(effort)
    if wanted("start-up, tickrail info"):
        yield start_up_row(effort)
    for name in wiring.PROMISES:
        if wanted(name):
            yield wiring_row(name, effort)
    # In memory where that can be had: an import ends with a sync, and how fast the disk is says nothing about it.
    memory = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(prefix="tickrail-benches-", dir=memory) as quick:
        for kind in LEAST_ROWS:
            if wanted(f"import {kind}"):
                yield importer_row(kind, effort, Path(quick))
    if wanted("mapped file"):
        yield from mapped_rows(effort, folder)


LINE = "| {:32} | {:26} | {:26} | {:18} | {:7} |"


def main(arguments: list[str] | None = None) -> int:
    """Print the table; the exit code is 1 where a goal was missed."""
    parser = argparse.ArgumentParser(prog="python -m benches", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object a row")
    parser.add_argument(
        "--quick", action="store_true", help="fewer rounds and ticks: a first look, not a figure to quote"
    )
    parser.add_argument("--only", default="", metavar="WORD", help="rows whose name contains WORD")
    options = parser.parse_args(arguments)
    if tickrail._native.build_info()["profile"] != "release":
        print("warning: this is a debug build; `make build` makes the release build", file=sys.stderr)
    if not options.json:
        print(LINE.format("case", "figure", "ratio to the yardstick", "goal", "verdict"))
        print(LINE.format(*("---",) * 5))
    missed = False
    with tempfile.TemporaryDirectory(prefix="tickrail-benches-") as folder:
        for row in rows(QUICK if options.quick else FULL, Path(folder), lambda name: options.only in name):
            missed |= row.met is False
            shown = (row.name, row.figure, row.ratio, row.goal, row.verdict)
            print(json.dumps(asdict(row)) if options.json else LINE.format(*shown), flush=True)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
