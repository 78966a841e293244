"""docs/traceability.md maps every acceptance criterion of the design to tests that exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CRITERIA = (
    "configuration loaded, strategies instantiated, ports validated",
    "shared services and ports resolved lazily; factories, singletons, scopes",
    "ticks routed with backpressure",
    "commands sync and async; pause, resume, cancel orders",
    "graceful shutdown with signals and clean-up",
    "integration tests of bootstrap, dispatch, shutdown",
    "configuration from config/<env>/ and environment variables",
    "scheduling by the clock port",
    "unit tests of the container, a mock strategy under the bootstrapper, load tests of the dispatcher",
    "adapters for backtest, paper and live plug in",
    "start-up is the same, and deterministic, everywhere",
)
TEXT = (ROOT / "docs" / "traceability.md").read_text()
TESTS = sorted(set(re.findall(r"`([\w/.-]+\.(?:py|rs)::\w+)`", TEXT)))


def rows() -> dict[str, str]:
    """Criterion to the cell that names what holds it."""
    cells = (re.split(r"(?<!\\)\|", line.strip().strip("|")) for line in TEXT.splitlines() if line.startswith("| "))
    return {row[0].strip().replace("`", ""): row[1] for row in cells if len(row) > 1}


@pytest.mark.parametrize("criterion", CRITERIA)
def test_every_criterion_has_a_row(criterion: str) -> None:
    held_by = rows().get(criterion)
    assert held_by is not None, "no row"
    assert "::" in held_by or re.search(r"issue \d", held_by), "neither a test nor the issue that will bring it"


@pytest.mark.parametrize("test", TESTS)
def test_every_named_test_exists(test: str) -> None:
    path, _, name = test.partition("::")
    assert (ROOT / path).is_file(), f"{path} does not exist"
    assert name in names_in(ROOT / path), f"{path} has no {name}"


def test_whatever_is_named_like_a_test_is_checked() -> None:
    loose = re.findall(r"`((?:tests|rust)/[^`]*)`", TEXT)
    assert [reference for reference in loose if reference not in TESTS] == []


def names_in(path: Path) -> set[str]:
    source = path.read_text()
    if path.suffix == ".rs":
        return set(re.findall(r"^\s*(?:pub )?fn (\w+)", source, re.MULTILINE))
    return {
        node.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }


def test_every_decision_is_listed_under_its_own_number() -> None:
    folder = ROOT / "docs" / "decisions"
    files = sorted(path.name for path in folder.glob("[0-9]*.md"))
    listed = re.findall(r"^\| \[(\d{4})\]\((\S+)\) \|", (folder / "README.md").read_text(), re.MULTILINE)
    assert [name for _, name in listed] == files
    assert [name[:4] for _, name in listed] == [number for number, _ in listed]
    assert len({number for number, _ in listed}) == len(listed), "two decisions of one number"
    titles = [(folder / name).read_text().partition(":")[0] for name in files]
    assert titles == [f"# {name[:4]}" for name in files]
