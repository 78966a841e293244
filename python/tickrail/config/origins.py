"""Where values come from: origins, dotted paths, and the tree of merged layers that remembers both."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import msgspec

from tickrail.config.toml_lines import KeyLines

__all__ = ["DEFAULT", "Origin", "Origins", "Path", "Tree", "fold", "format_path", "near_miss", "quoted"]

Path = tuple[str, ...]

BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
NEAR_MISS_CUTOFF: Final = 0.6


class Origin(msgspec.Struct, frozen=True):
    """Who set a value.

    Attributes:
        kind: The layer.
        name: The file (of the configuration or of a secret), the variable, or the path given to ``--set`` or as an
            argument.
        line: The line in the file, from 1.
        over: The origin of the value that this one replaced.
    """

    kind: Literal["default", "file", "secret", "env", "set", "argument"]
    name: str = ""
    line: int | None = None
    over: Origin | None = None

    def __str__(self) -> str:
        if self.kind == "file":
            return self.name if self.line is None else f"{self.name}:{self.line}"
        return f"{WORDS[self.kind]} {self.name}".rstrip()

    def history(self) -> tuple[Origin, ...]:
        """This origin and all that it replaced, newest first."""
        found: list[Origin] = []
        origin: Origin | None = self
        while origin is not None:
            found.append(origin)
            origin = origin.over
        return tuple(found)


DEFAULT: Final = Origin("default")
WORDS: Final = {"default": "default", "secret": "secret", "env": "env", "set": "--set", "argument": "argument"}


class _Mark:
    """Who set the value at a path; the line is looked up when somebody asks, which few loads do."""

    __slots__ = ("lines", "origin", "over", "path")

    def __init__(self, path: Path, origin: Origin, lines: KeyLines | None, over: _Mark | None) -> None:
        self.path = path
        self.origin = origin
        self.lines = lines
        self.over = over

    def resolve(self) -> Origin:
        chain: list[_Mark] = []
        mark: _Mark | None = self
        while mark is not None:
            chain.append(mark)
            mark = mark.over
        found: Origin | None = None
        for mark in reversed(chain):
            line = None if mark.lines is None else mark.lines.line(mark.path)
            found = Origin(mark.origin.kind, mark.origin.name, line, found)
        return DEFAULT if found is None else found


Marks: TypeAlias = dict[Path, _Mark]


class _Layer(NamedTuple):
    """One value as it was laid over the others; never changed afterwards."""

    path: Path
    value: Any
    origin: Origin
    lines: KeyLines | None


class Tree:
    """Merged layers: tables merge, everything else is replaced; each value knows its origin.

    Who set what is worked out from the layers when it is first asked for: a load in which all is well never asks, and
    to note it for each value took a fifth of its time.
    """

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self._layers: list[_Layer] = []
        self._marked = _Marked()

    @property
    def origins(self) -> dict[Path, Origin]:
        """Of every value and table that a layer set."""
        return {path: mark.resolve() for path, mark in self.marks().items()}

    def named_origins(self) -> Origins:
        """The same by the paths as TOML writes them, worked out when they are asked for."""
        return Origins(self)

    def get(self, path: Path) -> Any:
        """The value at ``path``, or ``None``."""
        node: Any = self.values
        for part in path:
            node = node.get(part) if isinstance(node, dict) else None
        return node

    def set(self, path: Path, value: Any, origin: Origin, lines: KeyLines | None = None) -> None:
        """Lay ``value`` over what stands at ``path``; ``lines`` gives keys inside a table their own lines."""
        self._layers.append(_Layer(path, value, origin, lines))
        node = self.values
        for part in path[:-1]:
            table = node.get(part)
            if not isinstance(table, dict):
                table = node[part] = {}
            node = table
        _merge(node, path[-1], value)

    def origin(self, path: Path) -> Origin:
        """The origin of the value at ``path``, or of the innermost table around it that has one."""
        marks = self.marks()
        for depth in range(len(path), 0, -1):
            if path[:depth] in marks:
                return marks[path[:depth]].resolve()
        return DEFAULT

    def marks(self) -> Marks:
        """Who set each value and table, with all layers so far."""
        for layer in self._layers:
            self._marked.set(*layer)
        self._layers.clear()
        return self._marked.marks


def _merge(node: dict[str, Any], key: str, value: Any) -> None:
    """Lay ``value`` over ``node[key]``, without keeping any of its tables: they are not ours to change."""
    if not isinstance(value, dict):
        node[key] = value
        return
    table = node.get(key)
    if not isinstance(table, dict):
        table = node[key] = {}
    for name, item in value.items():
        if isinstance(item, dict):
            _merge(table, name, item)
        else:
            table[name] = item


class _Marked:
    """The same layers with the marks of every value in them."""

    def __init__(self) -> None:
        self.marks: Marks = {}
        self._values: dict[str, Any] = {}

    def set(self, path: Path, value: Any, origin: Origin, lines: KeyLines | None) -> None:
        node = self._values
        for depth in range(1, len(path)):
            node = self._table(node, path[:depth], origin, lines)
        self._lay(node, path, value, origin, lines)

    def _lay(self, node: dict[str, Any], path: Path, value: Any, origin: Origin, lines: KeyLines | None) -> None:
        if isinstance(value, dict):
            table = self._table(node, path, origin, lines)
            for key, item in value.items():
                self._lay(table, (*path, key), item, origin, lines)
            return
        self._forget_below(path, node.get(path[-1]))
        self._mark(path, origin, lines)
        node[path[-1]] = value

    def _table(self, node: dict[str, Any], path: Path, origin: Origin, lines: KeyLines | None) -> dict[str, Any]:
        table = node.get(path[-1])
        if not isinstance(table, dict):
            self._mark(path, origin, lines)
            table = node[path[-1]] = {}
        return table

    def _mark(self, path: Path, origin: Origin, lines: KeyLines | None) -> None:
        self.marks[path] = _Mark(path, origin, lines, self.marks.get(path))

    def _forget_below(self, path: Path, old: object) -> None:
        if isinstance(old, dict):
            for key, item in old.items():
                self._forget_below((*path, key), item)
                self.marks.pop((*path, key), None)


class Origins(Mapping[str, Origin]):
    """Path as TOML writes it -> who set it."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._known: dict[str, Origin] | None = None

    def _all(self) -> dict[str, Origin]:
        if self._known is None:
            self._known = {format_path(path): mark.resolve() for path, mark in self._tree.marks().items()}
        return self._known

    def __getitem__(self, path: str) -> Origin:
        return self._all()[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())


def format_path(path: Iterable[object]) -> str:
    """A path as TOML writes it: ``instruments."EURUSD.SIM".currency``."""
    return ".".join(part if BARE_KEY.fullmatch(part) else quoted(part) for part in map(str, path))


def quoted(text: str) -> str:
    """Text as TOML writes it: as JSON does, which only lets one more character stand as it is."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def fold(name: str) -> str:
    """What an id is called in a variable's name, which knows neither case nor ``-`` and ``.``."""
    return re.sub(r"[^a-z0-9]", "_", name.lower())


def near_miss(name: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant."""
    import difflib  # late: only mistakes need it

    by_fold = {fold(candidate): candidate for candidate in known}
    found = difflib.get_close_matches(fold(name), by_fold, n=1, cutoff=NEAR_MISS_CUTOFF)
    return by_fold[found[0]] if found else None
