"""Where values come from: origins, dotted paths, and the tree of merged layers that remembers both."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

__all__ = ["DEFAULT", "Origin", "Path", "Tree", "fold", "format_path", "near_miss"]

Path = tuple[str, ...]

BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
NEAR_MISS_CUTOFF: Final = 0.6


@dataclass(frozen=True, slots=True)
class Origin:
    """Who set a value.

    Attributes:
        kind: The layer.
        name: The file, the variable, or the path given to ``--set`` or as an argument.
        line: The line in the file, from 1.
        over: The origin of the value that this one replaced.
    """

    kind: Literal["default", "file", "env", "set", "argument"]
    name: str = ""
    line: int | None = None
    over: Origin | None = None

    def __str__(self) -> str:
        if self.kind == "file":
            return self.name if self.line is None else f"{self.name}:{self.line}"
        prefix = {"default": "default", "env": "env", "set": "--set", "argument": "argument"}[self.kind]
        return f"{prefix} {self.name}".rstrip()

    def history(self) -> tuple[Origin, ...]:
        """This origin and all that it replaced, newest first."""
        return (self,) if self.over is None else (self, *self.over.history())


DEFAULT: Final = Origin("default")


class Tree:
    """Merged layers: tables merge, everything else is replaced; each value knows its origin."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.origins: dict[Path, Origin] = {}

    def get(self, path: Path) -> Any:
        """The value at ``path``, or ``None``."""
        node: Any = self.values
        for part in path:
            node = node.get(part) if isinstance(node, dict) else None
        return node

    def set(self, path: Path, value: Any, origin: Origin, lines: Mapping[Path, int] | None = None) -> None:
        """Lay ``value`` over what stands at ``path``; ``lines`` gives keys inside a table their own lines."""
        node = self.values
        for depth, part in enumerate(path[:-1], start=1):
            node = self._table(node, part, path[:depth], _at(origin, path[:depth], lines))
        self._lay(node, path, value, origin, lines or {})

    def origin(self, path: Path) -> Origin:
        """The origin of the value at ``path``, or of the innermost table around it that has one."""
        for depth in range(len(path), 0, -1):
            if path[:depth] in self.origins:
                return self.origins[path[:depth]]
        return DEFAULT

    def _lay(self, node: dict[str, Any], path: Path, value: Any, origin: Origin, lines: Mapping[Path, int]) -> None:
        here = _at(origin, path, lines)
        if isinstance(value, dict):
            table = self._table(node, path[-1], path, here)
            for key, item in value.items():
                self._lay(table, (*path, key), item, here, lines)
            return
        self._forget_below(path, node.get(path[-1]))
        self._mark(path, here)
        node[path[-1]] = value

    def _table(self, node: dict[str, Any], part: str, path: Path, origin: Origin) -> dict[str, Any]:
        if not isinstance(node.get(part), dict):
            self._mark(path, origin)
            node[part] = {}
        table: dict[str, Any] = node[part]
        return table

    def _mark(self, path: Path, origin: Origin) -> None:
        over = self.origins.get(path)
        self.origins[path] = origin if over is None else replace(origin, over=over)

    def _forget_below(self, path: Path, old: object) -> None:
        if isinstance(old, dict):
            for key, item in old.items():
                self._forget_below((*path, key), item)
                self.origins.pop((*path, key), None)


def _at(origin: Origin, path: Path, lines: Mapping[Path, int] | None) -> Origin:
    return Origin(origin.kind, origin.name, lines[path]) if lines and path in lines else origin


def format_path(path: Iterable[object]) -> str:
    """A path as TOML writes it: ``instruments."EURUSD.SIM".currency``."""
    parts = [str(part) for part in path]
    return ".".join(part if BARE_KEY.fullmatch(part) else '"' + part.replace('"', '\\"') + '"' for part in parts)


def fold(name: str) -> str:
    """What an id is called in a variable's name, which knows neither case nor ``-`` and ``.``."""
    return re.sub(r"[^a-z0-9]", "_", name.lower())


def near_miss(name: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant."""
    by_fold = {fold(candidate): candidate for candidate in known}
    found = difflib.get_close_matches(fold(name), by_fold, n=1, cutoff=NEAR_MISS_CUTOFF)
    return by_fold[found[0]] if found else None
