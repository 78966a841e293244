"""What a user is told: golden files of messages, with exit code, silence on stdout and nothing written.

``UPDATE_GOLDEN=1 pytest tests/unit/test_cli_messages.py`` writes the files anew; read the difference.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from click.testing import CliRunner

from tickrail.cli import main

GOLDEN = Path(__file__).parent / "golden"

BASE = """\
[strategies.ema-eurusd]
class = "strategies.ema_cross:EmaCross"
instruments = ["EURUSD.SIM"]
params = { fast = 20, slow = 100 }
"""
BACKTEST = """\
[runtime]
seed = 1

[feeds.demo]
path = "data/demo.ticks"

[venues.SIM]
fee_rate = 0.00002
"""


@dataclass
class Case:
    name: str
    args: str = "run --env backtest"
    environ: dict[str, str] = field(default_factory=dict)
    prepare: Callable[[Path], object] = lambda project: None
    code: int = 78


def backtest(text: str | bytes) -> Callable[[Path], object]:
    def prepare(project: Path) -> None:
        content = text if isinstance(text, bytes) else text.encode()
        (project / "config" / "backtest" / "runtime.toml").write_bytes(content)

    return prepare


def several(project: Path) -> None:
    backtest(BACKTEST.replace("seed", "sed").replace("fee_rate = 0.00002", "fee_rate = -1"))(project)
    (project / "config" / "base" / "more.toml").write_text('[runtime]\norder_by = "sequence"\n')
    (project / "config" / "base" / "torn.toml").write_text("[feeds\n")


CASES = [
    Case("unknown_environment", args="run --env backtset"),
    Case("unknown_environment_without_near_miss", args="run --env qa"),
    Case("environment_is_a_path", args="run --env ../config/backtest"),
    Case("missing_root", args="run --env backtest --config-root nowhere"),
    Case("missing_env_option", args="run", code=2),
    Case("empty_environment", prepare=lambda p: (p / "config/backtest/runtime.toml").unlink()),
    Case("misspelt_key", prepare=backtest('[strategies.ema-eurusd]\nclas = "x:Y"\n')),
    Case("misspelt_key_and_nothing_right", prepare=backtest('[strategies.other]\n\nclas = "x:Y"\n')),
    Case("unknown_key_without_near_miss", prepare=backtest("[runtime]\nzzz = 1\n")),
    Case("misspelt_section", prepare=backtest("[runtme]\nseed = 1\n")),
    Case("missing_class", prepare=backtest("[strategies.other]\nenabled = true\n")),
    Case("wrong_type", prepare=backtest('[runtime]\nseed = "7"\nalways_fresh = 1\n')),
    Case("wrong_choice", prepare=backtest('[runtime]\ndigest = "half"\n')),
    Case("out_of_bounds", prepare=backtest("[runtime]\nslice_ticks = 0\n[venues.SIM]\nfee_rate = 1.5\n")),
    Case("not_finite", prepare=backtest("[venues.SIM]\nfee_rate = nan\n[strategies.ema-eurusd.params]\nfast = inf\n")),
    Case("scalar_for_table", prepare=backtest("strategies = 3\n")),
    Case("bad_class_path", prepare=backtest('[strategies.ema-eurusd]\nclass = "ema_cross.EmaCross"\n')),
    Case("bad_instruments", prepare=backtest('[strategies.ema-eurusd]\ninstruments = "EURUSD.SIM"\n')),
    Case("bad_instrument_id", prepare=backtest('[strategies.ema-eurusd]\ninstruments = ["EURUSD"]\n')),
    Case("bad_time", prepare=backtest('[feeds.demo]\nstart = "soon"\n')),
    Case("bad_id", prepare=backtest('[strategies."a b"]\nclass = "m:C"\n')),
    Case("colliding_ids", prepare=backtest('[strategies.ema_eurusd]\nclass = "m:C"\n')),
    Case("invalid_toml", prepare=backtest("[runtime]\nseed = \n")),
    Case("unclosed_toml", prepare=backtest("[runtime]\nseed = [1,\n")),
    Case("invalid_utf8", prepare=backtest(b"[runtime]\n# caf\xe9\n")),
    Case("too_large", prepare=backtest("#" * (1 << 20) + "\n")),
    Case("too_deep", prepare=backtest("[runtime]\nx = " + "[" * 5_000 + "]" * 5_000)),
    Case("too_deep_by_dots", prepare=backtest(".".join("a" * 40) + " = 1\n")),
    Case("directory_as_file", prepare=lambda p: (p / "config/base/extra.toml").mkdir()),
    Case("dangling_link", prepare=lambda p: (p / "config/base/extra.toml").symlink_to("gone.toml")),
    Case(
        "leaves_the_root",
        prepare=lambda p: (p / "config/base/extra.toml").symlink_to(GOLDEN.parent / "test_cli_messages.py"),
    ),
    Case("bad_variable", environ={"TICKRAIL_RUNTIME__SEED": "many"}),
    Case("misspelt_variable_section", environ={"TICKRAIL_STRATEGIE__EMA_EURUSD__FAST": "15"}),
    Case("misspelt_variable_id", environ={"TICKRAIL_STRATEGIES__EMA_ERUSD__FAST": "15"}),
    Case("misspelt_variable_key", environ={"TICKRAIL_RUNTIME__SED": "15"}),
    Case("variable_with_single_underscores", environ={"TICKRAIL_RUNTIME_SEED": "15"}),
    Case("variable_without_section", environ={"TICKRAIL_SEED": "15"}),
    Case("variable_too_deep", environ={"TICKRAIL_RUNTIME__SEED": "[" * 9_000}),
    Case("bad_set", args="run --env backtest --set runtime.seed=x --set runtime.sed=1 --set strategies.a=1"),
    Case("malformed_set", args="run --env backtest --set runtime.seed --set =3 --set a..b=1"),
    Case(
        "several_at_once",
        prepare=several,
        environ={"TICKRAIL_VENUES__SIN__FEE_RATE": "0"},
        args="run -e backtest --set runtime.x=1",
    ),
    Case("several_at_once_json", prepare=several, args="run --env backtest --json"),
    Case("out_not_empty", args="run --env backtest --out config", code=2),
    Case("out_below_a_file", args="run --env backtest --out config/base/strategies.toml/x", code=2),
    Case("unknown_command", args="rum", code=2),
    Case("unknown_option", args="run --evn backtest", code=2),
]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in {
        "base/strategies.toml": BASE,
        "backtest/runtime.toml": BACKTEST,
        "paper/runtime.toml": "",
    }.items():
        file = tmp_path / "config" / name
        file.parent.mkdir(parents=True)
        file.write_text(text)
    for name in [name for name in os.environ if name.startswith("TICKRAIL_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_message(case: Case, project: Path) -> None:
    case.prepare(project)
    before = sorted(project.rglob("*"))
    result = CliRunner().invoke(main, case.args.split(), env=case.environ, prog_name="tickrail")
    assert result.stdout == ""
    assert result.exit_code == case.code, result.stderr
    assert "Traceback" not in result.stderr
    assert sorted(project.rglob("*")) == before
    golden = GOLDEN / f"{case.name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(result.stderr)
    assert result.stderr == golden.read_text()


def test_every_golden_file_has_its_case() -> None:
    assert {file.stem for file in GOLDEN.glob("*.txt")} == {case.name for case in CASES}


@pytest.mark.parametrize("name", ["misspelt_key", "missing_env_option", "several_at_once_json"])
def test_the_same_in_a_process_of_its_own(name: str, project: Path) -> None:
    case = next(case for case in CASES if case.name == name)
    case.prepare(project)
    done = subprocess.run(
        [sys.executable, "-m", "tickrail", *case.args.split()],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=project,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},  # a debug build warns
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (case.code, "", (GOLDEN / f"{name}.txt").read_text())


def test_json_errors_are_json(project: Path) -> None:
    several(project)
    result = CliRunner().invoke(main, ["run", "--env", "backtest", "--json"])
    error = json.loads(result.stderr)["error"]
    assert (error["type"], error["exit_code"]) == ("ConfigProblems", 78)
    assert {problem["near_miss"] for problem in error["problems"]} == {None, "seed"}


@pytest.mark.parametrize(("args", "environ"), [(["--traceback"], {}), ([], {"TICKRAIL_TRACEBACK": "1"})])
def test_a_traceback_is_there_for_who_asks(project: Path, args: list[str], environ: dict[str, str]) -> None:
    result = CliRunner().invoke(main, ["run", "--env", "nowhere", *args], env=environ)
    assert result.exit_code == 78
    assert "Traceback (most recent call last)" in result.stderr
    assert "error: unknown environment 'nowhere'" in result.stderr


@pytest.mark.parametrize(("amid", "code"), [(KeyboardInterrupt, 130), (ValueError, 1)])
def test_ctrl_c_amid_a_wait_for_a_lock_is_an_interruption(
    monkeypatch: pytest.MonkeyPatch, amid: type[BaseException], code: int
) -> None:
    def waits(*_: object, **__: object) -> None:
        try:
            raise amid
        finally:  # as a condition does whose lock was not taken again
            raise RuntimeError("cannot release un-acquired lock")

    monkeypatch.setattr("tickrail.config.load_config", waits)
    result = CliRunner().invoke(main, ["run", "--env", "test"])
    assert result.exit_code == code
    assert result.stderr.startswith("error: interrupted" if code == 130 else "error: unexpected RuntimeError")
