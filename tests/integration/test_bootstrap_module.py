"""``python -m tickrail.orchestration.bootstrapper``: it runs, and exits as ``tickrail run`` does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from tickrail.cli import main as command
from tickrail.data import generate_file
from tickrail.orchestration.bootstrapper import main

MODULE = """
from tickrail import Inject, Provider, Strategy

class Quiet(Strategy):
    def on_quote(self, tick): ...

class Failing(Strategy):
    def on_quote(self, tick):
        raise ValueError("no such luck")

class Interrupting(Strategy):
    def on_quote(self, tick):
        raise KeyboardInterrupt

class Boom:
    def __init__(self):
        raise RuntimeError("boom")

class Interrupted:
    def __init__(self):
        raise KeyboardInterrupt

class NeedsBoom(Strategy):
    boom: Inject[Boom]

class NeedsInterrupted(Strategy):
    it: Inject[Interrupted]

services = Provider().singleton(Boom).singleton(Interrupted)
"""
RUNTIME = """
[runtime]
modules = ["module_strategies:services"]
[feeds.demo]
path = "demo.ticks"
[venues.SIM]
[strategies.one]
class = "module_strategies:Quiet"
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "config" / "test").mkdir(parents=True)
    (tmp_path / "config" / "test" / "x.toml").write_text(RUNTIME)
    (tmp_path / "module_strategies.py").write_text(MODULE)
    (tmp_path / "module_raises.py").write_text("1 / 0\n")
    (tmp_path / "module_ends.py").write_text("raise SystemExit(3)\n")
    generate_file(tmp_path / "demo.ticks", 100, seed=1)
    for name in [name for name in os.environ if name.startswith("TICKRAIL_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("module_strategies", None)


CASES = {
    "ok": ([], 0, "100 ticks"),
    "unknown environment": (
        ["--env", "tset"],
        78,
        "error: unknown environment 'tset' under 'config'; did you mean 'test'",
    ),
    "wrong key": (["--set", "runtime.sed=1"], 78, "error: --set runtime.sed: unknown key; did you mean 'seed'?"),
    "no class": (["--set", "strategies.one.class=module_strategies:Quite"], 78, "has no class 'Quite'"),
    "a strategy fails": (["--set", "strategies.one.class=module_strategies:Failing"], 1, "no such luck"),
    "interrupted": (["--set", "strategies.one.class=module_strategies:Interrupting"], 130, "interrupted"),
    "a service fails": (
        ["--set", "strategies.one.class=module_strategies:NeedsBoom"],
        1,
        "making Boom for one.boom raised RuntimeError: boom",
    ),
    "interrupted early": (
        ["--set", "strategies.one.class=module_strategies:NeedsInterrupted"],
        130,
        "error: interrupted",
    ),
    "no graph": (["--set", "runtime.modules=module_strategies:Quiet"], 78, "is a type; expected a Provider"),
    "a module that raises": (
        ["--set", "runtime.modules=module_raises:services"],
        78,
        "module 'module_raises:services' cannot be had: ZeroDivisionError: division by zero",
    ),
    "a module that ends the process": (["--set", "runtime.modules=module_ends:services"], 78, "SystemExit: 3"),
    "no module": (["--set", "runtime.modules=nowhere:services"], 78, "module 'nowhere:services' cannot be had"),
}


@pytest.mark.parametrize("name", CASES)
def test_it_exits_as_the_command_does(name: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words, code, said = CASES[name]
    given = words if "--env" in words else ["--env", "test", *words]
    assert main(given) == code
    printed = capsys.readouterr()
    assert said in (printed.out if code in (0, 1, 130) and not printed.err else printed.err)
    assert "Traceback" not in printed.err
    sys.modules.pop("module_strategies", None)
    assert CliRunner().invoke(command, ["run", *given]).exit_code == code


def test_a_wrong_use_is_one(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["--evn", "test"]):
        with pytest.raises(SystemExit) as caught:
            main(words)
        assert caught.value.code == 2
    assert "--env" in capsys.readouterr().err


def test_variables_stand_in_for_options(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TICKRAIL_ENV", "test")
    monkeypatch.setenv("TICKRAIL_CONFIG_ROOT", str(project / "config"))
    monkeypatch.chdir(project.parent)
    assert main([]) == 0
    (project / "secrets").mkdir()
    (project / "secrets" / "runtime__seed").write_text("many")
    monkeypatch.setenv("TICKRAIL_SECRETS_DIR", str(project / "secrets"))
    assert main([]) == 78
    assert "runtime.seed: found text" in capsys.readouterr().err


@pytest.mark.slow
def test_in_a_process_of_its_own(project: Path) -> None:
    def run(*words: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "tickrail.orchestration.bootstrapper", *words],
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )
        return done.returncode, done.stderr

    assert run("--env", "test") == (0, "")
    code, said = run("--env", "test", "--set", "strategies.one.class=module_strategies:Quite")
    assert code == 78
    assert said.startswith("error: --set strategies.one.class: module 'module_strategies' has no class 'Quite'")


LIGHT = """
import sys
from tickrail.orchestration.bootstrapper import main
code = main(["--env", "test"])
print([name for name in ("asyncio", "dishka", "rich", "pyarrow", "numba", "polars") if name in sys.modules])
sys.exit(code)
"""


def test_a_run_that_needs_no_service_loads_little(project: Path) -> None:
    """The time itself is a benchmark (``python -m benches --only "first tick"``); what costs it is named here."""
    done = subprocess.run(
        [sys.executable, "-c", LIGHT], capture_output=True, text=True, timeout=100, check=True, cwd=project
    )
    assert done.stdout.splitlines()[-1] == "[]"
