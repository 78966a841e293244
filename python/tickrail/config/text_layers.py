"""The layers that arrive as text: environment variables and ``--set``, and arguments given by dotted path."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, time
from typing import Any, Final

import tomli
from pydantic import SecretStr

from tickrail.config.limits import offences, too_deep
from tickrail.config.origins import Origin, Path, Tree, fold, format_path, near_miss
from tickrail.config.schema import (
    ID_TABLES,
    SECTIONS,
    field_type,
    keys_at,
    takes_list,
    takes_number,
    takes_secret,
    takes_text,
)
from tickrail.config.toml_lines import parse_key
from tickrail.errors import Problem

__all__ = [
    "PREFIX",
    "SEPARATOR",
    "UnknownKey",
    "lay_arguments",
    "lay_overrides",
    "lay_text",
    "lay_value",
    "lay_variables",
    "resolve_folded",
]

PREFIX: Final = "TICKRAIL_"
SEPARATOR: Final = "__"
OPEN_TABLES: Final = ("params", "options", "secrets")


class UnknownKey(Exception):
    """A part of a path that names nothing."""

    def __init__(self, path: Path, what: str, known: tuple[str, ...]) -> None:
        super().__init__()
        self.path = path
        self.what = what
        self.known = known

    def problem(self, origin: Origin) -> Problem:
        """The same as a problem of the layer that named it."""
        meant = near_miss(self.path[-1], self.known)
        expected = "one of " + ", ".join(self.known) if self.known else "no id here: no file makes one"
        return Problem(format_path(self.path), str(origin), f"unknown {self.what}", expected, meant)


def lay_variables(tree: Tree, environ: Mapping[str, str]) -> list[Problem]:
    """Lay the variables ``TICKRAIL_A__B__C`` over ``tree``."""
    problems: list[Problem] = []
    setters: dict[Path, str] = {}
    for name in sorted(name for name in environ if name.startswith(PREFIX)):
        origin = Origin("env", name)
        if SEPARATOR not in name:
            problems += _mistaken_switch(name, origin)
            continue
        try:
            path = resolve_folded(tree, tuple(name.removeprefix(PREFIX).lower().split(SEPARATOR)))
        except UnknownKey as unknown:
            problems.append(unknown.problem(origin))
            continue
        if path in setters:
            problems.append(Problem(format_path(path), str(origin), f"set by {setters[path]} as well", "one variable"))
        setters[path] = name
        problems += lay_text(tree, path, environ[name], origin)
    return problems


def lay_overrides(tree: Tree, overrides: Iterable[str]) -> list[Problem]:
    """Lay ``--set PATH=VALUE`` over ``tree``, in the order given."""
    problems: list[Problem] = []
    for override in overrides:
        key, equals, text = override.partition("=")
        try:
            path = _resolve_dotted(tree, parse_key(key.strip()))
        except ValueError:
            path = ()
        if not equals or not path:
            shown = key.strip()[:64]
            problems.append(Problem("", f"--set {shown}".rstrip(), "malformed", "PATH=VALUE, as runtime.seed=7"))
            continue
        problems += lay_text(tree, path, text.strip(), Origin("set", format_path(path)))
    return problems


def lay_arguments(tree: Tree, arguments: Mapping[str, Any]) -> list[Problem]:
    """Lay values given by dotted path (or as nested tables) over ``tree``."""
    problems: list[Problem] = []
    for key, value in arguments.items():
        try:
            path = _resolve_dotted(tree, parse_key(key))
        except ValueError:
            problems.append(Problem("", f"argument {key}", "malformed", "a dotted path, as runtime.seed"))
            continue
        problems += lay_value(tree, path, _plain(value), Origin("argument", format_path(path)))
    return problems


def _mistaken_switch(name: str, origin: Origin) -> list[Problem]:
    """A variable with single underscores is not ours unless it looks like a table's (Kubernetes sets TICKRAIL_PORT)."""
    rest = name.removeprefix(PREFIX).lower()
    for section in SECTIONS:
        if rest == section or rest.startswith(f"{section}_"):
            meant = PREFIX + SEPARATOR.join(filter(None, (section.upper(), rest[len(section) + 1 :].upper() or "KEY")))
            return [Problem("", str(origin), "parts are joined by two underscores", near_miss=meant)]
    if rest in keys_at(("runtime",)):
        return [Problem("", str(origin), "names no table", near_miss=f"{PREFIX}RUNTIME{SEPARATOR}{rest.upper()}")]
    return []


def resolve_folded(tree: Tree, parts: Path) -> Path:
    """The path that a name means which knows neither case nor punctuation.

    Raises:
        UnknownKey: There is no such section or id.
    """
    section, *rest = parts
    if section not in SECTIONS:
        raise UnknownKey((section,), "key", SECTIONS)
    if section not in ID_TABLES or not rest:
        return parts
    table = tree.get((section,))
    ids = tuple(table) if isinstance(table, dict) else ()
    chosen = [candidate for candidate in ids if fold(candidate) == fold(rest[0])]
    if not chosen:
        raise UnknownKey((section, rest[0]), f"id in [{section}]", ids)
    return _into_params(tree, (section, chosen[0], *rest[1:]))


def _resolve_dotted(tree: Tree, parts: Path) -> Path:
    if len(parts) < 2 or parts[0] not in ID_TABLES:
        return parts
    table = tree.get(parts[:1])
    ids = tuple(table) if isinstance(table, dict) else ()
    if parts[1] not in ids:
        folded = [candidate for candidate in ids if fold(candidate) == fold(parts[1])]
        parts = (parts[0], folded[0] if folded else parts[1], *parts[2:])
    return _into_params(tree, parts)


def _into_params(tree: Tree, path: Path) -> Path:
    """``strategies.ID.fast`` means the parameter ``fast``, as long as a strategy's table has no key of that name."""
    if len(path) < 3:
        return path
    if path[0] == "strategies" and path[2] not in keys_at(path[:2]):
        path = (*path[:2], "params", *path[2:])
    if path[2] in OPEN_TABLES and len(path) > 3:
        table = tree.get(path[:3])
        same = [name for name in table if fold(name) == fold(path[3])] if isinstance(table, dict) else []
        path = (*path[:3], path[3] if path[3] in same or not same else same[0], *path[4:])
    return path


def lay_text(tree: Tree, path: Path, text: str, origin: Origin) -> list[Problem]:
    """Lay a value that arrived as text."""
    annotation = field_type(path)
    if takes_secret(annotation) and text:
        return lay_value(tree, path, SecretStr(text), origin)
    try:
        value = _value(text, annotation, tree.get(path))
    except RecursionError:
        return [Problem(format_path(path), str(origin), too_deep())]
    return lay_value(tree, path, value, origin)


def lay_value(tree: Tree, path: Path, value: Any, origin: Origin) -> list[Problem]:
    """Lay a value, or say which limits it breaks."""
    wrong = [Problem(format_path(place), str(origin), message) for place, message in offences(path, value)]
    if not any(problem.message == too_deep() for problem in wrong):
        tree.set(path, value, origin)
    return wrong


def _value(text: str, annotation: Any, present: Any) -> Any:
    found, value = _toml_value(text)
    if annotation is not None and takes_text(annotation):
        return value if found and isinstance(value, str) else text
    if found and takes_number(annotation, value):
        return value
    if takes_list(annotation) or isinstance(present, list):
        if not found and "," not in text and text == "*":
            return text
        return (
            value
            if found and isinstance(value, list)
            else [_item(part.strip()) for part in text.split(",") if part.strip()]
        )
    if annotation is not None and isinstance(value, date | time):
        return text  # the model reads times itself, to the nanosecond; TOML's end at the microsecond
    return value if found else text


def _item(text: str) -> Any:
    found, value = _toml_value(text)
    return value if found else text


def _toml_value(text: str) -> tuple[bool, Any]:
    try:
        table = tomli.loads(f"value = {text}")
    except ValueError:
        return False, None
    return set(table) == {"value"} and "\n[" not in text, table["value"]


def _plain(value: Any) -> Any:
    return {key: _plain(item) for key, item in value.items()} if isinstance(value, Mapping) else value
