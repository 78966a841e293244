"""The seeded faults fit the sources, and the script that seeds them works; ``make mutants`` runs all of them."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

import mutants

LEAST = 25


def test_every_fault_still_applies_and_has_its_model() -> None:
    for fault in mutants.faults():
        source = (mutants.CORE / "src" / fault.file).read_text()
        assert fault.seeded(source) != source, fault.name
        tests = mutants.MODELS / (
            "schedules/tests/runs.rs" if fault.model == "schedules" else f"tests/{fault.model}.rs"
        )
        assert tests.is_file(), fault.name


def test_there_are_many_each_with_a_name_of_its_own() -> None:
    names = [fault.name for fault in mutants.faults()]
    assert len(names) == len(set(names)) >= LEAST


def test_a_fault_that_does_not_apply_is_told() -> None:
    fault = mutants.Fault("gone", "ring/shared.rs", "no such text", "", "ring")
    with pytest.raises(mutants.DoesNotApply, match=r"found 0 times in ring/shared.rs"):
        fault.seeded((mutants.CORE / "src" / fault.file).read_text())


@pytest.mark.parametrize(
    ("code", "output", "verdict"),
    [
        (0, "Compiling tickrail-models v0.0.7\nrunning 3 tests\ntest result: ok", "SURVIVED"),
        (0, "running 3 tests\ntest result: ok", "not built"),
        (101, "running 3 tests\ntest result: FAILED", "killed"),
        (101, "running 3 tests\nthread panicked; aborting (signal: 6)", "killed"),
        (101, "error: could not compile `tickrail-models`", "does not build"),
        (124, "took too long", "undecided"),
    ],
)
def test_only_a_model_that_ran_and_failed_has_caught_it(code: int, output: str, verdict: str) -> None:
    assert mutants.verdict_of(code, output) == verdict


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_some_faults_are_caught(capsys: pytest.CaptureFixture[str]) -> None:
    assert mutants.main(["--quick"]) == 0, capsys.readouterr()
    assert "3 of 3 seeded faults were caught" in capsys.readouterr().out


def test_whole_runs_are_built_with_what_the_core_is_built_with() -> None:
    def dependencies(folder: Path) -> dict[str, Any]:
        manifest = tomllib.loads((folder / "Cargo.toml").read_text())
        unix = manifest.get("target", {}).get("cfg(unix)", {}).get("dependencies", {})
        return {name: what for name, what in (manifest["dependencies"] | unix).items() if name != "shuttle"}

    assert dependencies(mutants.MODELS / "schedules") == dependencies(mutants.CORE)
