"""`make` on a machine that lacks something says in one line what it is and how to get it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("sh", "find", "cksum", "cut", "awk", "touch", "cat", "mkdir", "rm")

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


class Machine:
    """A checkout without an environment, and a PATH that holds only what a test puts there."""

    def __init__(self, folder: Path) -> None:
        self.checkout = folder / "a check out"
        self.bin = folder / "bin"
        self.bin.mkdir(parents=True)
        for name in ("Makefile", "Cargo.toml", "Cargo.lock", "pyproject.toml"):
            self.copy(name)
        for path in ROOT.glob(".ci/*.sh"):
            self.copy(str(path.relative_to(ROOT)))
        self.copy("requirements/constraints.txt")
        for crate in ("core", "python"):
            (self.checkout / "rust" / crate).mkdir(parents=True)
        for tool in (*TOOLS, "make"):
            found = shutil.which(tool)
            assert found is not None
            (self.bin / tool).symlink_to(found)
        self.install("cargo", 'echo "cargo 1.99.0 (0123456 2030-01-01)"')
        self.install("cc", "exit 0")
        self.install("python3", "echo 3.11")

    def copy(self, name: str) -> None:
        target = self.checkout / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)

    def install(self, name: str, body: str) -> None:
        path = self.bin / name
        path.unlink(missing_ok=True)
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def remove(self, name: str) -> None:
        (self.bin / name).unlink()

    def make(self, target: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.bin / "make"), target],
            cwd=self.checkout,
            env={"PATH": str(self.bin), "HOME": str(self.bin)},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    def complaint(self, target: str = "run") -> str:
        done = self.make(target)
        assert done.returncode != 0, done.stdout
        ours = [line for line in done.stderr.splitlines() if not line.startswith("make")]
        assert len(ours) == 1, done.stderr
        assert not (self.checkout / ".venv").exists()
        return ours[0]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize("target", ["run", "test", "check", "lint"])
def test_no_cargo(machine: Machine, target: str) -> None:
    machine.remove("cargo")
    complaint = machine.complaint(target)
    assert complaint.startswith("tickrail: cargo is missing (Rust 1.")
    assert "rustup.rs" in complaint


@pytest.mark.parametrize("version", ["1.60.0", "1.84.1", "0.99.0"])
def test_an_old_cargo(machine: Machine, version: str) -> None:
    machine.install("cargo", f'echo "cargo {version} (abcdef 2022-01-01)"')
    complaint = machine.complaint()
    assert complaint.startswith(f"tickrail: cargo {version} is too old (Rust 1.")
    assert "rustup update" in complaint


def test_no_linker(machine: Machine) -> None:
    machine.remove("cc")
    assert "C linker is missing: install gcc or clang" in machine.complaint()


def test_no_python(machine: Machine) -> None:
    machine.remove("python3")
    assert machine.complaint().startswith("tickrail: Python is missing (3.11 or newer): install it")


def test_an_old_python(machine: Machine) -> None:
    machine.install("python3", "echo 3.9")
    assert machine.complaint().startswith("tickrail: Python is too old (python3 is 3.9; 3.11 or newer is needed)")


def test_a_second_python_that_is_new_enough_is_taken(machine: Machine) -> None:
    machine.install("python3", "echo 3.9")
    machine.install("python3.12", "echo 3.12")
    done = subprocess.run(
        ["sh", ".ci/require.sh"], cwd=machine.checkout, env={"PATH": str(machine.bin)}, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "python3.12\n", "")


def test_python_without_venv(machine: Machine) -> None:
    machine.install("python3", 'case "$2" in *ensurepip*) exit 1;; esac; echo 3.11')
    complaint = machine.complaint()
    assert "python3 has no venv module" in complaint
    assert "or install uv" in complaint


def test_help_needs_nothing(machine: Machine) -> None:
    for name in ("cargo", "cc", "python3"):
        machine.remove(name)
    done = machine.make("help")
    assert done.returncode == 0
    for target in ("run", "test", "check", "lint", "quick", "bench", "wheel", "clean", "help"):
        assert f"make {target} " in done.stdout
    assert os.linesep.join(done.stderr.splitlines()) == ""
