"""The end of ``tickrail run``: its steps with their times, what is reported of them, and the exit code."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import click

from tickrail.orchestration.output import complain

if TYPE_CHECKING:
    from tickrail.orchestration.shutdown import Shutdown
    from tickrail.report.result import Result
    from tickrail.report.shutdown import EndStep, ShutdownReport

__all__ = ["FILE", "End", "left_undone"]

T = TypeVar("T")
FILE: Final = "shutdown.json"
LATER: Final = ("drain", "orders", "on_stop", "result", "services")
"""The steps of an end, in order: what is abandoned where it is given up."""
SHARES: Final = {"result": 0.6, "services": 0.4}
"""How much of the whole time a step beyond the loop may take: a result that cannot be written leaves time to close what
is open, and what does not close keeps only the end of the process."""


class End:
    """Notes how the process ends.

    Args:
        shutdown: Bounds it.
        file: Where is written what a process that has to be ended leaves undone, until there is a result folder.
        as_json: Whether that goes to stdout too.

    Attributes:
        abandoned: What these steps have not done, in words.
    """

    def __init__(self, shutdown: Shutdown, file: Path, *, as_json: bool) -> None:
        self._shutdown = shutdown
        self._file = file
        self._as_json = as_json
        self._steps: list[EndStep] = []
        self.abandoned: list[str] = []
        self._told = 0.0
        self.plan(LATER)

    def plan(self, later: tuple[str, ...]) -> None:
        """Say what is still to be done, in case that the process has to be ended; nothing: all is said already."""
        steps = [step.to_dict() for step in self._steps]
        facts = {"deadline_s": self._shutdown.deadline_s, "steps": steps, "abandoned": list(later)}
        self._shutdown.set_report(json.dumps(facts), self._file, to_stdout=self._as_json and bool(later))

    @property
    def file(self) -> Path:
        """Where the report of a process goes that has to be ended."""
        return self._file

    @contextmanager
    def step(self, name: str, phase: str, *, into: Path | None = None) -> Iterator[None]:
        """One step beyond the loop's own; ``into`` is where the report goes from now on."""
        if into is not None:
            self._file = into / FILE
        within_s = self._share_s(name)
        # What cannot be left behind ends the process; of the result only this thread's wait ends.
        self._shutdown.phase(phase, None if name == "result" else within_s)
        self.plan(LATER[LATER.index(name) :])
        began = time.perf_counter()
        try:
            yield
        finally:
            from tickrail.report.shutdown import EndStep  # late: it is made once the run is over

            took_s = time.perf_counter() - began
            self._steps.append(
                EndStep(name=name, took_s=took_s, deadline_s=within_s, late=within_s is not None and took_s > within_s)
            )

    def _share_s(self, name: str) -> float | None:
        """How long the step may take; ``None``: nothing has to end."""
        return None if self._shutdown.stopping_s is None else SHARES[name] * self._shutdown.deadline_s

    def within(self, name: str, act: Callable[[], T]) -> T | None:
        """What ``act`` returns; ``None`` where the system refuses it (a full disk) or the step's time is over before.

        What its time was over for is left on its thread; why there is nothing stands in ``abandoned``.
        """
        within_s = self._share_s(name)
        try:
            return act() if within_s is None else self._in_time(name, act, within_s)
        except OSError as error:
            self._not_done(f"{name}: {_why(error)}")
            return None

    def _in_time(self, name: str, act: Callable[[], T], within_s: float) -> T | None:
        from tickrail.orchestration.bounded import begun  # late: a run that comes to its end by itself needs it not

        done = begun(act, f"tickrail-{name}")
        try:
            return done.result(within_s)
        except TimeoutError:
            if done.done():  # which it has raised itself
                raise
            self.abandoned.append(f"{name}: its time was over after {within_s:.1f} s")
            return None

    def _not_done(self, what: str) -> None:
        self.abandoned.append(what)
        # At once: what follows may hang, and the process be ended for it.
        complain(lambda: click.echo(f"error: {what}", err=True))

    def report(self, result: Result, commands: dict[str, int]) -> ShutdownReport | None:
        """How it went; ``None`` where the run came to its end by itself, and nothing is left of it."""
        if result.status == "complete" and not self.abandoned and not left_undone(result):
            return None
        from tickrail.report.shutdown import ShutdownReport

        report = ShutdownReport.of(
            result, signals=self._shutdown.signals, deadline_s=self._shutdown.deadline_s, commands=commands
        )
        steps = (*report.steps, *self._steps)
        took_s = self._shutdown.stopping_s or sum(step.took_s for step in steps)
        return replace(report, steps=steps, took_s=took_s, abandoned=(*report.abandoned, *self.abandoned))

    def write(self, report: ShutdownReport, folder: Path | None = None) -> None:
        """Write it beside the result, or into ``folder``; where that cannot be done it is said all the same."""
        from tickrail.report.folder import write_file

        if folder is not None:
            self._file = folder / FILE
        try:
            write_file(self._file, json.dumps(report.to_dict(), indent=2) + "\n")
        except OSError as error:
            self._not_done(f"report: {_why(error, self._file)}")


def left_undone(result: Result) -> bool:
    """Whether the loop has abandoned something in its end, whatever brought that."""
    return bool(result.stats.get("ending", {}).get("abandoned"))


def _why(error: OSError, path: Path | None = None) -> str:
    """Where, and the reason: errors of writing name no file, and those of arrays have no number."""
    where = error.filename if path is None else path
    said = error.strerror or str(error)
    return said if where is None else f"{where}: {said}"
