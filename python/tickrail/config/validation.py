"""From a merged tree to models, or to the list of everything that is wrong with it."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from tickrail.config.models import RuntimeConfig
from tickrail.config.origins import Path, Tree, fold, format_path, near_miss
from tickrail.config.schema import ID_TABLES, keys_at, retired
from tickrail.errors import Problem

__all__ = ["validate"]

KINDS: Final = {
    dict: "a table",
    list: "a list",
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
}
EXPECTED: Final = {
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "dict_type": "a table",
    "finite_number": "a finite number",
}
BOUNDS: Final = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "more than"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
}
MOST_ROUNDS: Final = 8  # a removal may uncover the next mistake, seldom twice
MISSING: Final = {"class": 'class = "module:Class"'}


def validate(tree: Tree) -> tuple[RuntimeConfig | None, list[Problem]]:
    """The models, without what is wrong where something is, and every problem; no models if nothing is left."""
    problems = [Problem(format_path(path), str(tree.origin(path)), text) for path, text in _collisions(tree)]
    try:
        return _made(tree.values), problems
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=True)
    return _left_of(tree.values, details), [*problems, *_translate(tree, details)]


def _made(values: Mapping[str, Any]) -> RuntimeConfig:
    """The models. The settings are always given: a default would be made by a second copy of their checks."""
    return RuntimeConfig.model_validate({"runtime": {}, **values})


def _left_of(values: Mapping[str, Any], details: Sequence[ErrorDetails]) -> RuntimeConfig | None:
    """What can be made of ``values`` without what is wrong, so that the rest can be looked at as well."""
    left = copy.deepcopy(dict(values))
    for _ in range(MOST_ROUNDS):
        for detail in details:
            _remove(left, _path(detail)[:-1] if detail["type"] == "missing" else _path(detail))
        try:
            return _made(left)
        except ValidationError as error:
            details = error.errors(include_url=False, include_context=True)
    return None


def _remove(values: dict[str, Any], path: Path) -> None:
    """Take out the value at ``path``, or the innermost value around it that is no table."""
    node = values
    for part in path:
        inner = node.get(part)
        if not isinstance(inner, dict) or part == path[-1]:
            node.pop(part, None)
            return
        node = inner


def _collisions(tree: Tree) -> Iterator[tuple[Path, str]]:
    """Ids that one variable name would mean."""
    for section in ID_TABLES:
        table = tree.get((section,))
        first: dict[str, str] = {}
        for name in table if isinstance(table, dict) else ():
            other = first.setdefault(fold(name), name)
            if other != name:
                place = tree.origin((section, other))
                yield (
                    (section, name),
                    f"differs from '{other}' ({place}) only by case or punctuation, which variables cannot say",
                )


def _translate(tree: Tree, details: Iterable[ErrorDetails]) -> Iterator[Problem]:
    listed = list(details)
    meant = {(*_path(detail)[:-1], miss) for detail in listed if (miss := _near(detail)) is not None}
    for detail in listed:
        path = _path(detail)
        if detail["type"] == "missing" and path in meant:
            continue  # said once, by the misspelt key
        message, expected = _say(detail)
        yield Problem(format_path(path), str(tree.origin(path)), message, expected, _near(detail))


def _path(detail: ErrorDetails) -> Path:
    return tuple(str(part) for part in detail["loc"] if part != "[key]")


def _near(detail: ErrorDetails) -> str | None:
    path = _path(detail)
    if detail["type"] != "extra_forbidden" or retired(path) is not None:
        return None
    return near_miss(path[-1], keys_at(path[:-1]))


def _say(detail: ErrorDetails) -> tuple[str, str | None]:
    kind, path, context = detail["type"], _path(detail), detail.get("ctx", {})
    if kind == "extra_forbidden":
        if (instead := retired(path)) is not None:
            return "is read no more", instead
        return "unknown key", "one of " + ", ".join(keys_at(path[:-1]))
    if kind == "missing":
        return "missing", MISSING.get(path[-1])
    if kind == "value_error":
        return str(context["error"]), None
    expected = _expected(kind, context)
    if expected is None:
        return _lower_first(detail["msg"]), None
    found = KINDS.get(type(detail["input"])) if "type" in kind else None
    wrong = "out of bounds" if kind in BOUNDS else "wrong value"
    return f"found {found}" if found else wrong, expected


def _expected(kind: str, context: dict[str, Any]) -> str | None:
    if kind in EXPECTED:
        return EXPECTED[kind]
    if kind in BOUNDS:
        key, word = BOUNDS[kind]
        return f"{word} {context[key]}"
    if kind == "string_pattern_mismatch":
        return "a currency code, as USD"
    return {"literal_error": context.get("expected"), "expected": context.get("expected")}.get(kind)


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]
