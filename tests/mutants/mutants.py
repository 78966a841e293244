"""Faults seeded into the lock-free sources, one after the other, each of which a model has to catch: ``make mutants``.

The lists are ``faults.toml`` and ``faults_above.toml``. Only the sources that the models include are changed, in a
copy; the crate that the models link for its records stays as it is, so that one fault costs one small build.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
import tomllib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
LISTS = ("faults.toml", "faults_above.toml")
CORE = ROOT / "rust" / "core"
MODELS = ROOT / "rust" / "models"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
MOST_SECONDS = 300  # a model that takes longer with a fault than all of them without is no proof


class DoesNotApply(Exception):
    """The text that a fault changes is not in the sources, or more than once."""


@dataclass(frozen=True)
class Fault:
    """One change, and the model that has to fail for it."""

    name: str
    file: str
    find: str
    put: str
    model: str
    quick: bool = False

    def seeded(self, source: str) -> str:
        """``source`` with the fault in it."""
        find, put = self.find.strip("\n"), self.put.strip("\n")
        if (count := source.count(find)) != 1:
            raise DoesNotApply(f"{self.name}: found {count} times in {self.file}")
        return source.replace(find, put)


@dataclass(frozen=True)
class Verdict:
    """What became of a fault."""

    fault: Fault
    what: str
    seconds: float
    says: str = ""

    @property
    def is_good(self) -> bool:
        """Whether a model caught it."""
        return self.what == "killed"


def faults() -> list[Fault]:
    """The lists, in their order."""
    texts = [Path(__file__).with_name(name).read_text() for name in LISTS]
    return [Fault(**entry) for text in texts for entry in tomllib.loads(text)["fault"]]


class Copy:
    """The models beside a copy of the sources, in which faults come and go.

    Its crates have a version of their own. To cargo a member of a workspace is its name, its version and its path from
    the workspace's root: without that it takes what ``make models`` has built of the sound sources for the copy's,
    looks whether *those* have changed, and every fault survives unbuilt.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "rust"
        shutil.rmtree(self.folder, ignore_errors=True)
        # Written anew, with the time of now: a build with a fault in it, from before, must not pass for the newer one.
        shutil.copytree(CORE / "src", self.folder / "core" / "src", copy_function=shutil.copyfile)
        ignored = shutil.ignore_patterns("target")
        shutil.copytree(MODELS, self.folder / "models", ignore=ignored, copy_function=shutil.copyfile)
        self._replace("Cargo.toml", 'path = "../core"', f'path = "{CORE}"')
        sound, own = 'version = "0.0.0"', f'version = "0.0.{1 + zlib.crc32(bytes(self.folder))}"'
        for name in ("Cargo.toml", "schedules/Cargo.toml"):
            self._replace(name, sound, own)
        for name in ("tickrail-models", "tickrail-schedules"):
            self._replace("Cargo.lock", f'name = "{name}"\n{sound}', f'name = "{name}"\n{own}')

    def _replace(self, name: str, find: str, put: str) -> None:
        path = self.folder / "models" / name
        text = path.read_text()
        assert text.count(find) == 1, f"{find} in {name}"
        path.write_text(text.replace(find, put))

    def run(self, model: str, seconds: float = MOST_SECONDS) -> tuple[int, str]:
        """The exit code of a model, and what it printed."""
        command = ["cargo", "test", "--release", "--locked", "--manifest-path"]
        command += [str(self.folder / "models" / "Cargo.toml")]
        # Whole runs are a crate of their own: the core itself, with the fault in it.
        command += ["--package", "tickrail-schedules"] if model == "schedules" else ["--test", model]
        environment = {**os.environ, "CARGO_TARGET_DIR": str(TARGET / "models")}  # what `make models` built is there
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=seconds, check=False
            )
        except subprocess.TimeoutExpired:
            return 124, "took too long"
        return done.returncode, done.stdout + done.stderr

    def judge(self, fault: Fault) -> Verdict:
        """Seeds the fault, runs its model, and takes the fault out again."""
        path = self.folder / "core" / "src" / fault.file
        sound, start = path.read_text(), time.monotonic()
        try:
            path.write_text(fault.seeded(sound))
            code, output = self.run(fault.model)
        except DoesNotApply as error:
            return Verdict(fault, "does not apply", 0.0, str(error))
        finally:
            path.write_text(sound)
        return Verdict(fault, verdict_of(code, output), time.monotonic() - start, output[-2_000:])


def verdict_of(code: int, output: str) -> str:
    """``killed`` only where a model ran and failed, or aborted: a fault that was not compiled proves nothing."""
    if code == 0:
        return "SURVIVED" if "Compiling tickrail-" in output else "not built"
    if code == 124:
        return "undecided"
    return "killed" if "running " in output and "could not compile" not in output else "does not build"


def table(verdicts: Iterator[Verdict]) -> Iterator[Verdict]:
    """Prints a line for each, as it comes."""
    line = "| {:74} | {:11} | {:14} | {:>5} |"
    print(line.format("seeded fault", "model", "verdict", "s"))
    print(line.format(*("---",) * 4))
    for verdict in verdicts:
        print(line.format(verdict.fault.name, verdict.fault.model, verdict.what, f"{verdict.seconds:.0f}"), flush=True)
        yield verdict


def main(arguments: list[str] | None = None) -> int:
    """Print the table; the exit code is 1 where a fault survived, does not apply or does not build."""
    parser = argparse.ArgumentParser(prog="mutants.py", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="those marked quick alone")
    parser.add_argument("--only", default="", metavar="WORD", help="faults whose name contains WORD")
    parser.add_argument("--folder", type=Path, default=TARGET / "mutants", help="where the copy is kept")
    options = parser.parse_args(arguments)
    chosen = [fault for fault in faults() if (fault.quick or not options.quick) and options.only in fault.name]
    copy = Copy(options.folder.resolve())
    for model in sorted({fault.model for fault in chosen}):
        code, output = copy.run(model)
        if code != 0:
            print(f"the model {model} fails without any fault:\n{output}", file=sys.stderr)
            return 2
    verdicts = list(table(copy.judge(fault) for fault in chosen))
    bad = [verdict for verdict in verdicts if not verdict.is_good]
    for verdict in bad:
        print(f"\n{verdict.fault.name}: {verdict.what}\n{verdict.says}", file=sys.stderr)
    print(f"{len(verdicts) - len(bad)} of {len(verdicts)} seeded faults were caught")
    return int(bool(bad) or not verdicts)


if __name__ == "__main__":
    sys.exit(main())
