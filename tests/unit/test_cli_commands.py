"""The commands: run against a runtime of the test's making, init, info, help."""

from __future__ import annotations

import importlib
import json
import platform
import shlex
import subprocess
import sys
import threading
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner

from tickrail.cli import main
from tickrail.cli.failures import exit_code
from tickrail.cli.info import PACKAGES
from tickrail.cli.progress import progress_bar
from tickrail.config import load_config
from tickrail.data.importers.registry import format_names
from tickrail.errors import (
    ConfigError,
    DataError,
    HandlerError,
    ParameterError,
    RunFailed,
    StrategyImportError,
    WiringError,
)


class FakeShutdown:
    """No signal comes."""

    signals: tuple[int, ...] = ()
    deadline_s = 25.0
    grace_s = 26.0
    stopping_s = None

    def __init__(self, **_: Any) -> None: ...

    def __enter__(self) -> FakeShutdown:
        return self

    def __exit__(self, *_: object) -> None: ...

    def attach(self, dispatcher: object) -> None: ...

    def phase(self, phase: str, within_s: float | None = None) -> None: ...

    def ready(self) -> None: ...

    def set_report(self, *_: object, **__: object) -> None: ...

    def exit_code(self, code: int, *, abandoned: bool) -> int:
        return 70 if abandoned else code


class FakeDispatcher:
    dead_letter_counts: Mapping[str, int] = {}
    io = SimpleNamespace(abandoned=())


class FakeResult:
    fails: OSError | None = None

    def __init__(self, status: str, *, ok: bool) -> None:
        self.status, self.ok, self.digest = status, ok, "0123456789abcdef"
        self.stop_reason = None
        self.failures = () if ok else ("a strategy",)
        self.stats: dict[str, Any] = {}
        self.strategies = ()
        self.orders: dict[str, Any] = {name: np.empty(0) for name in ("strategy", "status")}

    def summary(self) -> str:
        return f"status {self.status}"

    def to_dict(self) -> dict[str, Any]:
        return {"status": self.status, "digest": self.digest}

    def write(self, folder: Path) -> Path:
        if self.fails is not None:
            raise self.fails
        folder.mkdir(parents=True)
        (folder / "result.json").write_text("{}")
        return folder


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """What the next run does: ``status``, ``ok``, or ``raises`` out of bootstrap."""
    plan: dict[str, Any] = {"status": "complete", "ok": True, "raises": None}

    class RuntimeBootstrapper:
        def __init__(self, env: str, **options: Any) -> None:
            plan["asked"] = {"env": env, **options}

        @classmethod
        def of(cls, loaded: Any) -> RuntimeBootstrapper:
            return cls(loaded.env, loaded=loaded)

        dispatcher = FakeDispatcher()
        http_port = None
        log_dropped = 0

        def bootstrap(self) -> RuntimeBootstrapper:
            if plan["raises"] is not None:
                raise plan["raises"]
            return self

        def __enter__(self) -> RuntimeBootstrapper:
            return self

        def __exit__(self, *_: object) -> None:
            plan["closed"] = True

        def run(self, progress: Any = None, started: Any = None) -> FakeResult:
            started()
            assert progress is None, "no terminal, no progress bar"
            return FakeResult(plan["status"], ok=plan["ok"])

    module = ModuleType("tickrail.orchestration.bootstrapper")
    module.RuntimeBootstrapper = RuntimeBootstrapper  # type: ignore[attr-defined]
    importlib.import_module("tickrail.orchestration.kept_trading")  # which is found though its package is a fake
    monkeypatch.setitem(sys.modules, "tickrail.orchestration", ModuleType("tickrail.orchestration"))
    monkeypatch.setitem(sys.modules, "tickrail.orchestration.bootstrapper", module)
    shutdown = ModuleType("tickrail.orchestration.shutdown")
    shutdown.Shutdown = FakeShutdown  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tickrail.orchestration.shutdown", shutdown)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "config" / "backtest").mkdir(parents=True)
    (tmp_path / "config" / "backtest" / "x.toml").write_text('[strategies.a]\nclass = "m:C"\n')
    monkeypatch.chdir(tmp_path)
    return plan


@pytest.mark.parametrize(
    ("status", "ok", "code"),
    [("complete", True, 0), ("stopped", True, 0), ("complete", False, 1), ("interrupted", True, 130)],
)
def test_run_ends_with_summary_folder_and_code(
    runtime: dict[str, Any], tmp_path: Path, status: str, ok: bool, code: int
) -> None:
    runtime |= {"status": status, "ok": ok}
    result = CliRunner().invoke(main, ["run", "--env", "backtest", "--set", "runtime.seed=3"])
    assert (result.exit_code, result.stderr) == (code, "")
    (folder,) = (tmp_path / "runs").iterdir()
    said, _, rest = result.stdout.partition("\n")
    assert (said, rest.splitlines()[-1]) == (f"status {status}", f"result: runs/{folder.name}")
    assert rest.startswith("shutdown: drained in ") is (folder / "shutdown.json").is_file() is (status != "complete")
    assert folder.name.startswith("backtest-") and folder.name.endswith("Z-01234567")
    assert runtime["asked"]["loaded"].config.runtime.seed == 3
    assert runtime["closed"]


def test_run_prints_json(runtime: dict[str, Any]) -> None:
    result = CliRunner().invoke(main, ["run", "--json"], env={"TICKRAIL_ENV": "backtest"})
    said = json.loads(result.stdout)
    assert said["status"] == "complete"
    assert Path(said["folder"]).is_dir()


@pytest.mark.parametrize("error", [OSError(28, "No space left"), OSError("8 requested and 0 written")], ids=str)
def test_a_result_that_cannot_be_written_is_said_all_the_same(
    runtime: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    monkeypatch.setattr(FakeResult, "fails", error)
    place = tmp_path / "out"
    result = CliRunner().invoke(main, ["run", "--env", "backtest", "--out", str(place), "--json"])
    said, lost = json.loads(result.stdout), f"result: {place}: {error.strerror or error}"
    assert (result.exit_code, result.stderr) == (70, f"error: {lost}\n")
    assert (said["status"], said["digest"], said["folder"]) == ("complete", FakeResult("", ok=True).digest, None)
    (file,) = tmp_path.glob("*.shutdown.json")
    assert json.loads(file.read_text()) == said["shutdown"]
    assert (said["shutdown"]["outcome"], said["shutdown"]["abandoned"]) == ("abandoned", [lost])
    result = CliRunner().invoke(main, ["run", "--env", "backtest", "--out", str(place)])
    status, ended, *rest = result.stdout.splitlines()
    assert (status, rest) == ("status complete", [f"  abandoned: {lost}", "result: not written"])
    assert ended.startswith("shutdown: abandoned in ")


def test_two_runs_in_one_second_have_two_folders(runtime: dict[str, Any], tmp_path: Path) -> None:
    for _ in range(3):
        assert CliRunner().invoke(main, ["run", "--env", "backtest"]).exit_code == 0
    assert len(list((tmp_path / "runs").iterdir())) == 3


def test_out_names_the_folder(runtime: dict[str, Any], tmp_path: Path) -> None:
    assert (
        CliRunner()
        .invoke(main, ["run", "--env", "backtest", "--out", "here/it/is"])
        .stdout.endswith("result: here/it/is\n")
    )
    assert (tmp_path / "here" / "it" / "is" / "result.json").exists()
    assert not (tmp_path / "runs").exists()


CODES = [
    (ConfigError("x"), 78),
    (StrategyImportError("x"), 78),
    (ParameterError("x"), 78),
    (HandlerError("x"), 78),
    (WiringError("x"), 78),
    (DataError("x"), 1),
    (RunFailed("x"), 1),
    (OSError(28, "No space left on device", "f"), 1),
    (ZeroDivisionError("x"), 1),
    (click.UsageError("x"), 2),
    (KeyboardInterrupt(), 130),
]


@pytest.mark.parametrize(("error", "code"), CODES, ids=lambda value: type(value).__name__)
def test_errors_become_codes_and_words(
    runtime: dict[str, Any], tmp_path: Path, error: BaseException, code: int
) -> None:
    runtime["raises"] = error
    result = CliRunner().invoke(main, ["run", "--env", "backtest"])
    assert result.exit_code == code == exit_code(error)
    assert result.stdout == ""
    assert result.stderr.lstrip().startswith("error: ")
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "runs").exists()


def test_hints_have_a_line_of_their_own(runtime: dict[str, Any]) -> None:
    runtime["raises"] = ConfigError("no", hint="do")
    assert CliRunner().invoke(main, ["run", "--env", "backtest"]).stderr == "error: no\n  hint: do\n"


def test_init_makes_a_project_that_loads(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "my-project"
    result = CliRunner().invoke(main, ["init", str(folder)])
    assert result.exit_code == 0, result.stderr
    assert sorted(entry.name for entry in folder.iterdir()) == [
        ".gitignore",
        "README.md",
        "config",
        "pyproject.toml",
        "strategies",
        "tests",
    ]
    assert list(folder.parent.iterdir()) == [folder], "nothing beside it"
    texts = [file.read_text() for file in folder.rglob("*") if file.is_file()]
    assert not any("@NAME@" in text for text in texts)
    assert "# my-project" in (folder / "README.md").read_text()
    for env in ("backtest", "paper", "live"):
        assert list(load_config(env, root=folder / "config", environ={}).config.strategies) == ["ema-eurusd"]
    for file in folder.rglob("*.py"):
        compile(file.read_text(), str(file), "exec")


def test_init_prints_a_line_that_a_shell_understands(tmp_path: Path) -> None:
    folder = tmp_path / "my desk; rm"
    said = CliRunner().invoke(main, ["init", str(folder), "--name", "desk"]).output
    (line,) = [line for line in said.splitlines() if line.startswith("  cd ")]
    assert shlex.split(line) == ["cd", str(folder)]


def test_info_names_the_compiler() -> None:
    assert "numba" in PACKAGES


def test_init_takes_an_empty_folder_and_a_name(tmp_path: Path) -> None:
    assert CliRunner().invoke(main, ["init", str(tmp_path), "--name", "desk"]).exit_code == 0
    assert (tmp_path / "README.md").read_text().startswith("# desk\n")


@pytest.mark.parametrize("obstacle", ["file inside", "a file", "a link"])
def test_init_refuses_what_is_there(tmp_path: Path, obstacle: str) -> None:
    folder = tmp_path / "project"
    if obstacle == "file inside":
        folder.mkdir()
        (folder / "mine.txt").write_text("mine")
    elif obstacle == "a file":
        folder.write_text("mine")
    else:
        folder.symlink_to(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    result = CliRunner().invoke(main, ["init", str(folder)])
    assert (result.exit_code, result.stdout) == (2, "")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("allowed", [0, 3])
def test_init_leaves_nothing_when_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: int) -> None:
    replace, calls = Path.replace, []

    def fail(self: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) > allowed:
            raise OSError(28, "No space left on device")
        return replace(self, target)

    folder = tmp_path / "p"
    if allowed:
        folder.mkdir()
    monkeypatch.setattr(Path, "replace", fail)
    result = CliRunner().invoke(main, ["init", str(folder)])
    assert (result.exit_code, result.stderr) == (1, "error: No space left on device\n")
    assert list(tmp_path.rglob("*")) == ([folder] if allowed else [])


def test_init_in_the_folder_where_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(main, ["init", "."]).exit_code == 0
    assert Path("config/backtest/runtime.toml").exists(), "the folder is still the same"


def test_help_imports_no_command(tmp_path: Path) -> None:
    code = (
        "import sys; from tickrail.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('tickrail.cli.run', 'tickrail.config', 'rich', 'pyarrow', 'dishka') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == "[]"
    for word in ("run", "init", "data", "info", "78", "130", "_TICKRAIL_COMPLETE"):
        assert word in done.stdout


def test_help_names_every_format() -> None:
    result = CliRunner().invoke(main, ["data", "import", "--help"])
    listed = result.stdout.partition("Formats:\n")[2]
    assert sorted(line.split()[0] for line in listed.splitlines()) == sorted(format_names())


def test_the_bar_is_drawn_on_a_terminal_and_left_to_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", screen)
    threads = threading.active_count()
    with progress_bar("backtest") as progress:
        assert progress is not None
        progress(5, 10)
        progress(10, 10)
        assert threading.active_count() == threads, "no thread that takes the interpreter lock from the run"
    assert "10/10" in screen.getvalue()


@pytest.mark.parametrize(("terminal", "wanted"), [(False, True), (True, False)])
def test_no_bar_where_nobody_sees_it(monkeypatch: pytest.MonkeyPatch, terminal: bool, wanted: bool) -> None:
    screen = StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stderr", screen)
    with progress_bar("backtest", wanted=wanted) as progress:
        assert progress is None
    assert screen.getvalue() == ""


def test_info_says_what_a_bug_report_needs() -> None:
    facts = json.loads(CliRunner().invoke(main, ["info", "--json"]).stdout)
    assert facts["tickrail"]["profile"] in {"debug", "release"}
    assert facts["python"]["version"] == platform.python_version()
    assert facts["machine"]["cores"] >= 1
    assert {"numpy", "pydantic"} <= set(facts["packages"])
    text = CliRunner().invoke(main, ["info"]).stdout
    for section, values in facts.items():
        assert section in text.splitlines()
        for name, value in values.items():
            assert any(line.split(None, 1) == [name, str(value)] for line in text.splitlines()), name
