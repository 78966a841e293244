"""The pinned environment fits what pyproject.toml asks for, and names no index."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
WANTED = [
    *PROJECT["project"]["dependencies"],
    *(line for extra in PROJECT["project"]["optional-dependencies"].values() for line in extra),
    *(line for group in PROJECT["dependency-groups"].values() for line in group),
]
LINES = [
    line
    for line in (ROOT / "requirements" / "constraints.txt").read_text().splitlines()
    if line and not line.startswith("#")
]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned() -> dict[str, set[str]]:
    versions: dict[str, set[str]] = {}
    for line in LINES:
        requirement = Requirement(line)
        versions.setdefault(normal(requirement.name), set()).add(str(requirement.specifier).removeprefix("=="))
    return versions


@pytest.mark.parametrize("wanted", sorted(set(WANTED)))
def test_every_dependency_is_pinned_within_its_bounds(wanted: str) -> None:
    requirement = Requirement(wanted)
    versions = pinned().get(normal(requirement.name), set())
    assert versions, f"{requirement.name} is not pinned: run `make constraints`"
    assert all(requirement.specifier.contains(version) for version in versions), versions


def test_every_line_pins_one_release() -> None:
    assert [line for line in LINES if not re.match(r"^[\w.-]+==[\w.]+( ; .+)?$", line)] == []


def test_no_index_is_named() -> None:
    text = (ROOT / "requirements" / "constraints.txt").read_text()
    assert "://" not in text
    assert "--" not in text
