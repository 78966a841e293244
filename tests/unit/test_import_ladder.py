"""An import may only point to the left, for the interpreter and for the type checker alike, and there is no circle.

    errors < domain < ports < strategy < orchestration < cli

config, data, report and testing are leaves beside the ladder; adapters use ports and domain, and nobody imports them.
"""

import ast
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "python" / "tickrail"

LADDER = ("errors", "_native", "domain", "ports", "strategy", "orchestration", "cli")
ROOM_MAY_IMPORT: Mapping[str, frozenset[str]] = {
    **{room: frozenset(LADDER[:place]) for place, room in enumerate(LADDER)},
    "config": frozenset(LADDER[:4]),
    "data": frozenset(LADDER[:4]),
    "report": frozenset(LADDER[:4]),
    "adapters": frozenset(LADDER[:4]),
    # The leaves, seen from the two rooms that put a run together.
    "orchestration": frozenset({*LADDER[:5], "config", "data", "report"}),
    "cli": frozenset({*LADDER[:6], "config", "data", "report"}),
    "testing": frozenset({*LADDER[:6], "config", "data", "report"}),
    # The package itself gathers the public names; `python -m tickrail` is the command line.
    "": frozenset({*LADDER[:6], "config", "data", "report"}),
    "__main__": frozenset({"cli"}),
}


class Imports:
    """Every import of every module of a package, wherever it stands in the file."""

    def __init__(self, package: Path) -> None:
        self.name = package.name
        self.files = {self._module(package, path): path for path in sorted(package.rglob("*.py"))}
        self.known = {*self.files, *(f"{self.name}.{stub.stem}" for stub in package.glob("*.pyi"))}
        self.edges = {module: frozenset(self._of(module)) for module in self.files}

    def _module(self, package: Path, path: Path) -> str:
        parts = path.relative_to(package.parent).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def _of(self, module: str) -> Iterable[str]:
        path = self.files[module]
        home = module if path.name == "__init__.py" else module.rpartition(".")[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from (target for alias in node.names if (target := self._nearest(alias.name)))
            elif isinstance(node, ast.ImportFrom):
                yield from self._from(node, home)

    def _from(self, node: ast.ImportFrom, home: str) -> Iterable[str]:
        base = node.module or ""
        if node.level:
            upward = home.split(".")[: len(home.split(".")) - node.level + 1]
            base = ".".join([*upward, *([node.module] if node.module else [])])
        for alias in node.names:
            if target := self._nearest(f"{base}.{alias.name}"):
                yield target

    def _nearest(self, name: str) -> str | None:
        """The module that ``name`` is or stands in; ``None`` for another package."""
        while name and name not in self.known:
            name = name.rpartition(".")[0]
        return name or None

    def room(self, module: str) -> str:
        return module.removeprefix(self.name).lstrip(".").partition(".")[0]

    def strangers(self) -> list[str]:
        return [module for module in self.files if self.room(module) not in ROOM_MAY_IMPORT]

    def wrong_way(self) -> list[str]:
        return [
            f"{source} imports {target}"
            for source, targets in self.edges.items()
            for target in sorted(targets)
            if self.room(target) != self.room(source)
            and self.room(target) not in ROOM_MAY_IMPORT.get(self.room(source), frozenset())
        ]

    def circle(self) -> list[str]:
        """One circle as the modules along it, or nothing."""
        done: set[str] = set()
        for start in self.edges:
            if found := self._circle_from(start, [], done):
                return found
        return []

    def _circle_from(self, module: str, path: list[str], done: set[str]) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return []
        for target in sorted(self.edges.get(module, ())):
            if target != module and (found := self._circle_from(target, [*path, module], done)):
                return found
        done.add(module)
        return []


@pytest.fixture(scope="module")
def imports() -> Imports:
    return Imports(PACKAGE)


def test_every_module_stands_in_a_known_room(imports: Imports) -> None:
    assert imports.strangers() == []


def test_imports_point_left(imports: Imports) -> None:
    assert imports.wrong_way() == []


def test_no_circle(imports: Imports) -> None:
    assert imports.circle() == []


def package(root: Path, **files: str) -> Imports:
    """A small package with the given sources; ``__`` in a name stands for a folder."""
    for name, source in files.items():
        path = root / "tickrail" / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    (root / "tickrail" / "__init__.py").touch()
    return Imports(root / "tickrail")


@pytest.mark.parametrize(
    "source",
    [
        "import tickrail.strategy.actor",
        "from tickrail.strategy import actor",
        "from tickrail.strategy.actor import Actor",
        "from ..strategy.actor import Actor",
        "from ..strategy import actor",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from tickrail.strategy import actor",
        "def late():\n    from tickrail.strategy import actor",
    ],
)
def test_the_guard_sees_every_form_of_import(tmp_path: Path, source: str) -> None:
    imports = package(tmp_path, domain__time=source, strategy__actor="class Actor: ...")
    assert imports.wrong_way() == ["tickrail.domain.time imports tickrail.strategy.actor"]


def test_the_guard_refuses_the_package_itself_as_a_source(tmp_path: Path) -> None:
    imports = package(tmp_path, domain__time="from tickrail import Tick")
    assert imports.wrong_way() == ["tickrail.domain.time imports tickrail"]


def test_the_guard_refuses_adapters_as_a_source(tmp_path: Path) -> None:
    imports = package(tmp_path, cli__run="from tickrail.adapters import paper", adapters__paper="")
    assert imports.wrong_way() == ["tickrail.cli.run imports tickrail.adapters.paper"]


def test_the_guard_finds_a_circle(tmp_path: Path) -> None:
    imports = package(tmp_path, domain__a="from .b import B", domain__b="from .c import C", domain__c="from . import a")
    assert imports.circle() == ["tickrail.domain.a", "tickrail.domain.b", "tickrail.domain.c", "tickrail.domain.a"]


def test_the_guard_finds_a_stranger(tmp_path: Path) -> None:
    assert package(tmp_path, attic__old="").strangers() == ["tickrail.attic.old"]
