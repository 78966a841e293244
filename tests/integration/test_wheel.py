"""The wheel works outside the checkout, in an environment that has never heard of it."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import tickrail

ROOT = Path(__file__).parents[2]
MATURIN = Path(sysconfig.get_path("scripts")) / "maturin"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),  # after a clean build of another profile the wheel has to be built from nothing
    pytest.mark.skipif(shutil.which("cargo") is None or not MATURIN.exists(), reason="needs cargo and maturin"),
]

BACKTEST = """
import tickrail

class Count(tickrail.Strategy):
    def on_start(self):
        self.n = 0

    def on_tick(self, tick):
        self.n += 1

strategy = Count()
result = tickrail.backtest([strategy], tickrail.read_ticks("few.ticks"))
assert strategy.n == 1_000, strategy.n
print(tickrail.__file__, result.digest)
"""


def run(*command: str | Path, cwd: Path) -> str:
    """What the command prints; its own words where it fails."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    words = [str(part) for part in command]
    done = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=580)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built with the profile of the module that is installed, so that cargo finds most of its work done."""
    out = tmp_path_factory.mktemp("wheel")
    release = tickrail._native.build_info()["profile"] == "release"
    profile = ["--release"] if release else ["--profile", "dev"]
    run(MATURIN, "build", *profile, "--locked", "--interpreter", sys.executable, "--out", out, cwd=ROOT)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def outside(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel, over the dependencies that are installed here: no network is needed."""
    environment = tmp_path_factory.mktemp("outside") / "an environment"
    run(sys.executable, "-m", "venv", environment, cwd=ROOT)
    python = environment / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", wheel, cwd=environment)
    packages = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=environment).strip()
    # A line in a .pth file adds a folder without reading the .pth files in it, so the editable install stays out.
    (Path(packages) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return environment


def test_the_wheel_is_of_one_python_version(wheel: Path) -> None:
    version = f"cp{sys.version_info.major}{sys.version_info.minor}"
    assert re.fullmatch(rf"tickrail-[\w.]+-{version}-{version}-\w+\.whl", wheel.name)


def test_the_wheel_holds_what_it_should(wheel: Path) -> None:
    names = run(sys.executable, "-m", "zipfile", "-l", wheel, cwd=ROOT)
    for name in ("py.typed", "_native.pyi", "LICENSE-MIT", "LICENSE-APACHE"):
        assert name in names
    for stranger in ("\ntests/", "\nbenches/", "__pycache__"):
        assert stranger not in names


def test_the_command_works(outside: Path) -> None:
    assert tickrail.__version__ in run(outside / "bin" / "tickrail", "info", cwd=outside)
    assert tickrail.__version__ in run(outside / "bin" / "python", "-m", "tickrail", "info", cwd=outside)


def test_a_backtest_runs(outside: Path, tmp_path: Path) -> None:
    tickrail_command = outside / "bin" / "tickrail"
    options = ("--ticks", "1000", "--seed", "7", "--instrument", "EURUSD.SIM")
    run(tickrail_command, "data", "generate", "few.ticks", *options, cwd=tmp_path)
    printed = run(outside / "bin" / "python", "-c", BACKTEST, cwd=tmp_path)
    place, _, digest = printed.rpartition(" ")
    assert Path(place).is_relative_to(outside)
    assert digest.strip()
