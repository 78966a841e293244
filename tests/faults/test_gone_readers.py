"""Whoever reads what a run prints may have gone: that costs the words, and neither the result nor the exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from ended_runs import LONG_S

from tickrail.cli import main as command
from tickrail.orchestration.bootstrapper import main

ONE = ("--set", "strategies.one.class=told:Told", "--set", "strategies.one.params.how=")
BACKTEST = ("--env", "backtest", *ONE)


def ended(*words: str) -> object:
    """What the command line leaves this process with."""
    with pytest.raises(SystemExit) as left:
        command.main([*words], prog_name="tickrail")
    return left.value.code


def result_of(project: Path) -> Path:
    (folder,) = (project / "runs").glob("backtest-*")
    return folder.relative_to(project)


@pytest.mark.parametrize("more", [(), ("--json",)], ids=["text", "json"])
@pytest.mark.parametrize("stream", ["full", "none"])
def test_a_summary_that_cannot_be_printed_is_told_on_stderr(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stream: str, more: Sequence[str]
) -> None:
    monkeypatch.chdir(project)
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full if stream == "full" else None)
        assert ended("run", *BACKTEST, *more) == 0
        assert main(BACKTEST) == 0
    why = "No space left on device" if stream == "full" else "Bad file descriptor"
    said = f"error: the summary could not be printed: {why}"
    # What was written once to such a stream goes nowhere from then on.
    again = f"{said}\n" if stream == "none" else ""
    assert capsys.readouterr().err == f"{said}; result: {result_of(project)}\n{again}"
    assert json.loads((project / result_of(project) / "result.json").read_text())["status"] == "complete"


def test_without_a_stderr_the_exit_code_is_the_same(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    for stream in (Path("/dev/full").open("w"), None):  # noqa: SIM115, which of them is closed below
        monkeypatch.setattr(sys, "stderr", stream)
        assert ended("run", "--env", "backtest", "--set", "runtime.nonsense=1") == 78
        assert main(["--env", "backtest", "--set", "runtime.nonsense=1"]) == 78
        if stream is not None:
            stream.close()


@pytest.mark.slow
@pytest.mark.parametrize("module", ["tickrail", "tickrail.orchestration.bootstrapper"])
def test_a_reader_that_has_gone_leaves_a_process_its_exit_code(project: Path, module: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    words = ["run", *BACKTEST] if module == "tickrail" else BACKTEST
    with os.fdopen(writing, "wb") as pipe:
        done = subprocess.run(
            [sys.executable, "-m", module, *words],
            cwd=project,
            stdout=pipe,
            stderr=subprocess.PIPE,
            text=True,
            timeout=LONG_S,
            check=False,
        )
    place = f"; result: {result_of(project)}" if module == "tickrail" else ""
    assert (done.returncode, done.stderr) == (0, f"error: the summary could not be printed: Broken pipe{place}\n")
