"""From an empty folder to a result by the command line, in processes of their own; and what goes wrong on the way.

``UPDATE_GOLDEN=1 pytest tests/integration/test_cli_project.py`` writes the files of messages anew.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # processes and compilers: half a second each, and there are many

GOLDEN = Path(__file__).parent / "golden"
STRATEGY = "strategies.ema-eurusd"
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("TICKRAIL_")}
CLEAN["PYTHONWARNINGS"] = "ignore"  # a debug build warns


def tickrail(project: Path, *args: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tickrail", *args],
        cwd=project,
        env={**CLEAN, **environ},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "desk"
    assert tickrail(folder.parent, "init", "desk").returncode == 0
    made = tickrail(folder, "data", "generate", "data/demo.ticks", "--ticks", "20000", "--seed", "1")
    assert made.returncode == 0, made.stderr
    return folder


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Path:
    return shutil.copytree(template, tmp_path / "desk")


def test_a_run_ends_with_summary_digest_and_result_folder(project: Path) -> None:
    done = tickrail(project, "run", "--env", "backtest")
    assert (done.returncode, done.stderr) == (0, "")
    (folder,) = (project / "runs").iterdir()
    assert done.stdout.endswith(f"result: runs/{folder.name}\n")
    assert any(folder.iterdir())


@pytest.mark.parametrize("env", ["backtest", "paper", "live"])
def test_a_new_project_can_start_in_each_of_its_environments(project: Path, env: str) -> None:
    checked = tickrail(project, "check", "--env", env)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_the_digest_is_the_same_in_every_process_and_changes_with_a_parameter(project: Path) -> None:
    def digest(*args: str, **environ: str) -> str:
        done = tickrail(project, "run", "--env", "backtest", "--json", *args, **environ)
        assert done.returncode == 0, done.stderr
        return str(json.loads(done.stdout)["digest"])

    same = {digest(PYTHONHASHSEED=seed) for seed in ("0", "1", "random")}
    same |= {digest("--set", f"runtime.slice_ticks={ticks}") for ticks in (1, 7)}
    assert len(same) == 1
    by_variable = digest(TICKRAIL_STRATEGIES__EMA_EURUSD__FAST="15")
    assert by_variable not in same
    assert by_variable == digest("--set", "strategies.ema-eurusd.fast=15")


def test_the_tests_of_the_project_pass(project: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_ctrl_c_keeps_the_partial_result(project: Path) -> None:
    """The strategy says when it has begun, and would never end by itself within the test."""
    (project / "strategies" / "slow.py").write_text(
        "import time\nfrom pathlib import Path\n"
        "from tickrail import Tick\nfrom strategies.ema_cross import EmaCross\n\n\n"
        "class Slow(EmaCross):\n"
        "    def on_quote(self, tick: Tick) -> None:\n"
        "        Path('begun').touch()\n"
        "        time.sleep(0.02)\n"
    )
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tickrail",
            "run",
            "--env",
            "backtest",
            "--json",
            "--set",
            f"{STRATEGY}.class=strategies.slow:Slow",
        ],
        cwd=project,
        env=CLEAN,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not (project / "begun").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=30)
    assert (process.returncode, stderr) == (130, "")
    assert json.loads(stdout)["status"] == "interrupted"
    assert len(list((project / "runs").iterdir())) == 1


def test_a_strategy_that_fails_makes_the_command_fail(project: Path) -> None:
    (project / "strategies" / "bad.py").write_text(
        "from tickrail import Strategy, Tick\n\n\nclass Bad(Strategy):\n"
        "    def on_quote(self, tick: Tick) -> None:\n        raise ValueError('no such luck')\n"
    )
    done = tickrail(
        project,
        "run",
        "--env",
        "backtest",
        "--set",
        "strategies.bad.class=strategies.bad:Bad",
        "--set",
        "strategies.bad.instruments=*",
    )
    assert done.returncode == 1
    assert "no such luck" in done.stdout
    assert "Traceback" not in done.stderr


@dataclass
class Case:
    name: str
    args: tuple[str, ...]
    code: int = 78


def with_set(name: str, *overrides: str) -> Case:
    return Case(name, ("run", "--env", "backtest", *(word for override in overrides for word in ("--set", override))))


CASES = [
    with_set("unknown_adapters", "feeds.demo.adapter=websocket", "venues.SIM.adapter=exchange"),
    with_set("missing_tick_file", "feeds.demo.path=data/dmo.ticks"),
    with_set("no_tick_file", "feeds.demo.path=README.md"),
    with_set("class_module_missing", f"{STRATEGY}.class=strategies.ema_cros:EmaCross"),
    with_set("class_missing", f"{STRATEGY}.class=strategies.ema_cross:EmaCros"),
    with_set("class_is_no_strategy", f"{STRATEGY}.class=pathlib:Path"),
    with_set("class_module_raises", f"{STRATEGY}.class=strategies.broken:Broken"),
    with_set("misspelt_parameter", f"{STRATEGY}.fst=3"),
    with_set("wrong_parameter_type", f"{STRATEGY}.fast=soon"),
    with_set("unknown_instrument", f"{STRATEGY}.instruments=EURUSF.SIM"),
    with_set("unknown_venue", f"{STRATEGY}.instruments=EURUSD.SIN"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_wrong_is_said_before_anything_runs(case: Case, project: Path) -> None:
    (project / "strategies" / "broken.py").write_text("import nowhere_to_be_found\n")
    done = tickrail(project, *case.args)
    assert (done.returncode, done.stdout) == (case.code, ""), done.stderr
    assert "Traceback" not in done.stderr
    assert not (project / "runs").exists()
    said = done.stderr.replace(str(project), "PROJECT")
    golden = GOLDEN / f"{case.name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(said)
    assert said == golden.read_text()


def test_data_damaged_past_its_header_ends_the_run_by_name_and_keeps_what_was_done(project: Path) -> None:
    path = project / "data" / "demo.ticks"
    damaged = bytearray(path.read_bytes())
    at = 128 + 64 * 5_000  # ts_event of a record: back to the beginning of time
    damaged[at : at + 8] = (1).to_bytes(8, "little")
    path.write_bytes(damaged)
    done = tickrail(project, "run", "--env", "backtest")
    (folder,) = (project / "runs").iterdir()
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: feed demo ({path}): input 5000 runs backwards: its time is 1 ns, after ")
    assert done.stderr.endswith(f"; the partial result lies in runs/{folder.name}\n")
    assert json.loads((folder / "shutdown.json").read_text())["abandoned"] == []
    summary = json.loads((folder / "result.json").read_text())
    assert (summary["status"], summary["ticks"]) == ("failed", 5_000)


RAISING = """
from tickrail.orchestration.shutdown import Shutdown
def ready(self):
    raise ValueError("nobody to be told")
Shutdown.ready = ready
from tickrail.cli import main
main(["run", "--env", "backtest"])
"""


def test_a_run_that_ends_by_what_the_loop_does_not_know_leaves_its_result_too(project: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RAISING],
        cwd=project,
        env=CLEAN,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    (folder,) = (project / "runs").iterdir()
    assert (done.returncode, done.stdout) == (1, "")
    said = f"the partial result lies in runs/{folder.name}\nerror: unexpected ValueError: nobody to be told\n"
    assert done.stderr.startswith(said)
    assert json.loads((folder / "shutdown.json").read_text())["abandoned"] == []
    assert json.loads((folder / "result.json").read_text())["status"] == "failed"
